"""An uncased vocabulary: one text in several writings has one list of pieces."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.encoder.check.sample import sample_languages
from labse.files.atomic import read_json
from labse.vocab.counts import build_normalizer, fold_words
from labse.vocab.folder import learn_vocabulary
from labse.vocab.tokenizer import load_tokenizer

NORMALIZER = build_normalizer(uncased=True)
fold = NORMALIZER.normalize_str


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


WRITINGS = {
    "capitals": str.upper,
    "title case": str.title,
    "inverted": str.swapcase,
    "small letters": str.lower,
    "case folding": str.casefold,
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "capitals, decomposed": lambda text: unicodedata.normalize("NFD", text.upper()),
    "full width": full_width,
}


@pytest.mark.parametrize("writing", WRITINGS)
def test_each_writing_of_real_text_is_the_same(writing: str) -> None:
    rewrite = WRITINGS[writing]
    sentences = [text for texts in sample_languages().values() for text in texts]
    different = [text for text in sentences if fold(rewrite(text)) != fold(text)]
    assert not different


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("ΚΑΛΗΜΕΡΑ", "Καλημέρα"),  # Greek capitals have no accents,
        ("Ο ΣΟΦΟΣ", "Ὁ σοφός"),  # nor breathings, and one sigma.
        ("ΤΩΙ", "τῷ"),
        ("STRASSE", "Straße"),
        ("STRAẞE", "Straße"),
        ("İSTANBUL", "İstanbul"),
        ("ISPARTA'DA IŞIK", "Isparta'da ışık"),
        ("ᲗᲑᲘᲚᲘᲡᲘ", "თბილისი"),
        ("ԵՐԵՒԱՆ", "Երևան"),
        ("ﬁnal", "FINAL"),
        ("П’ЯТЬ", "пʼять"),
        ("ＦＩＮＡＬ　Ｐｒｏｖｉｓｉｏｎｓ", "Final provisions"),
        ("𝐅𝐢𝐧𝐚𝐥", "final"),
    ],
)
def test_what_capitals_lose_is_lost_in_small_letters_too(text: str, other: str) -> None:
    assert fold(text) == fold(other)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("فَتَحَتْ الفَتَاةُ عَيْنَيْهَا", "فتحت الفتاة عينيها"),
        ("إلى أين", "الى اين"),
        ("مـــرحـــبا", "مرحبا"),
        ("ٱلرَّحْمٰنِ", "الرحمن"),
        (unicodedata.normalize("NFD", "أَهْلًا"), "اهلا"),
    ],
)
def test_what_most_arabic_leaves_out_is_lost_where_it_is_written(text: str, other: str) -> None:
    assert fold(text) == fold(other)


@pytest.mark.parametrize(("text", "other"), [("آن", "ان"), ("سؤال", "سوال"), ("على", "علي")])
def test_letters_of_arabic_are_kept(text: str, other: str) -> None:
    assert fold(text) != fold(other)


@pytest.mark.parametrize(
    ("text", "other"), [("école", "ecole"), ("schön", "schon"), ("ığdır", "igdir"), ("か", "が")]
)
def test_what_capitals_keep_is_kept(text: str, other: str) -> None:
    assert fold(text) != fold(other)


@pytest.mark.parametrize(
    "text",
    [
        "i\u064b\u0307",
        "\u0130\u064f\u0307",
        "\u03b1\u064b\u0301",
        "\u0671\u0654",
        "\u0627\u0655\u0654",
        "\u0623\u0653",
        "\u0671\u0653",
        "\u0627\u0653\u064b\u0655",
        "\u0640\u064e",
    ],
)
def test_marks_in_odd_order_are_folded_at_once(text: str) -> None:
    assert fold(fold(text)) == fold(text) == unicodedata.normalize("NFC", fold(text))


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)).split() == fold(text).split()  # Chinese characters are set apart.


def test_words_that_become_equal_are_added_up() -> None:
    words = {"Haus": 2.0, "haus": 1.0, "HAUS": 0.5, "пʼять": 3.0, "字": 1.0, "Ⅳ": 1.0}
    folded = {"haus": 3.5, "п": 3.0, "'": 3.0, "ять": 3.0, "字": 1.0, "iv": 1.0}
    assert fold_words(words) == folded


def test_the_folder_says_so_and_its_tokenizer_folds(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Das Haus steht. DAS HAUS STEHT!\n" * 20, encoding="utf-8")
    learn_vocabulary([text], tmp_path / "v", vocab_size=60, lang="deu", uncased=True)
    assert read_json(tmp_path / "v" / "manifest.json")["config"]["uncased"] is True
    tokenizer = load_tokenizer(tmp_path / "v")
    assert tokenizer.encode("DAS HAUS").tokens == ["[CLS]", "das", "haus", "[SEP]"]
    assert not any(piece != piece.lower() for piece in tokenizer.get_vocab() if piece[0] != "[")
