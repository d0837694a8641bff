import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.corpus.languages import all_languages
from labse.corpus.records import TextRecord
from labse.corpus.sentence_splitting import split_records, split_sentences
from labse.errors import UsageError

pytest.importorskip("sentencex")
PAPER = sorted(language.tag for language in all_languages() if language.in_paper)
MARKS = ".!?…。！？।॥။၊။؟۔!?་།༔៕។៖፡።։\"'«»“”)( \t\n\r\u00a0\u200b\u2028\x00"
# Letters of many scripts, and what ends or seems to end sentences in them.
any_text = st.text(
    st.one_of(
        st.sampled_from(MARKS),
        st.sampled_from("aZäжあ中กมខကབअதეАა1٣֏"),
        st.characters(exclude_categories=("Cs",)),
    ),
    max_size=80,
)


def squeeze(text: str) -> str:
    return "".join(text.split())


@given(any_text, st.sampled_from(PAPER))
@settings(max_examples=100, deadline=None)
def test_no_text_is_lost_or_made(text: str, lang: str) -> None:
    sentences = split_sentences(text, lang)
    assert squeeze("".join(sentences)) == squeeze(text)
    assert all(sentence == sentence.strip() != "" for sentence in sentences)
    place = 0
    for sentence in sentences:  # Each stands in the text as it is, after the one before.
        place = text.index(sentence, place) + len(sentence)


@pytest.mark.parametrize(
    ("lang", "sentences"),
    [
        ("eng", ["Mr. Smith went to Washington.", "He paid $3.50, i.e. too much!", "Why?"]),
        ("deu", ["Das kostet z.B. 3,50 Euro.", "Wer weiß das?", "Niemand."]),
        ("rus", ["Он родился в 1950 г. в Москве.", "Когда?", "Давно."]),
        ("zho", ["你好。", "今天是星期一！", "3月有31天。"]),
        ("jpn", ["これは本です。", "あれは何ですか？", "木です。"]),
        ("hin", ["यह एक किताब है।", "वह क्या है?", "पेड़।"]),
        ("urd", ["یہ کتاب ہے۔", "وہ کیا ہے؟", "درخت ہے۔"]),
        ("amh", ["ይህ መጽሐፍ ነው።", "እ.ኤ.አ. በ2020 ነበር።"]),
        ("hye", ["Սա գիրք է։", "Դա ծառ է։"]),
        ("kat", ["ეს წიგნია.", "ის ხეა."]),
        ("tam", ["இது சார்ஸ்-கோ.வி-2 ஆகும்.", "அது மரம்."]),
        ("khm", ["នេះជាសៀវភៅ។", "តើនោះជាអ្វី?", "ដើមឈើ៕"]),
        ("mya", ["ဒါ စာအုပ်၊ ခဲတံ ဖြစ်ပါတယ်။", "ဟိုဟာ သစ်ပင်ပါ။"]),
        ("lao", ["ນີ້ແມ່ນປຶ້ມ.", "ນັ້ນແມ່ນຕົ້ນໄມ້."]),
        ("bod", ["འདི་དེབ་རེད།", "དེ་ཤིང་སྡོང་རེད། །"]),
        ("tha", ["นี่คือหนังสือเล่มใหม่", "นั่นคือต้นไม้ใหญ่"]),
        ("ell", ["Τι είναι αυτό;", "Είναι ένα βιβλίο."]),
        ("heb", ["זה ספר.", "מה זה?"]),
    ],
)
def test_sentences_that_were_joined_are_found_again(lang: str, sentences: list[str]) -> None:
    glue = "" if lang in ("zho", "jpn") else " "
    assert split_sentences(glue.join(sentences), lang) == sentences


def test_every_language_of_the_paper_is_split() -> None:
    assert len(PAPER) == 109
    ends = {"Thai": " ", "Khmr": "។ ", "Mymr": "။ ", "Tibt": "། "}
    for language in all_languages():
        if language.in_paper:
            end = ends.get(language.script, "! ")
            letter = {"Thai": "ก", "Tibt": "ཀ"}.get(language.script, "A")
            assert len(split_sentences((letter * 12 + end) * 3, language.tag)) == 3, language.tag


def test_an_unknown_language_is_split_and_an_unknown_code_is_an_error() -> None:
    for lang in ("und", "qaa", "srp-Latn", "yue"):
        assert split_sentences("One thing. Two things.", lang) == ["One thing.", "Two things."]
    with pytest.raises(UsageError, match="unknown language"):
        split_sentences("a", "klingonish")


@pytest.mark.parametrize("lang", ["eng", "tha", "mya", "bod", "zho"])
@pytest.mark.parametrize(
    "text", ["x" * 1_000_000, ". " * 500_000, "།" * 1_000_000, "a. B " * 200_000]
)
def test_a_line_of_a_million_characters_takes_seconds(lang: str, text: str) -> None:
    start = time.process_time()
    sentences = split_sentences(text, lang)
    assert time.process_time() - start < 10
    assert squeeze("".join(sentences)) == squeeze(text)


def test_a_long_paragraph_is_cut_only_where_there_is_space() -> None:
    text = "word " * 20_000
    assert all(set(sentence.split()) == {"word"} for sentence in split_sentences(text, "eng"))


def test_records_keep_where_they_come_from() -> None:
    records = [
        TextRecord("Eins. Zwei.", "deu", "page 1", "a.wet"),
        TextRecord("", "deu", "page 1", "a.wet"),
        TextRecord("Drei.", "deu", "page 2", "a.wet"),
    ]
    split = [(record.text, record.document) for record in split_records(records)]
    assert split == [
        ("Eins.", "page 1"),
        ("Zwei.", "page 1"),
        ("", "page 1"),
        ("Drei.", "page 2"),
    ]
