import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.corpus.records import Sentence, SentencePair, TextRecord
from labse.corpus.statistics import (
    CorpusStatistics,
    count_corpus,
    draw_statistics,
    render_statistics,
    script_name,
    to_json,
)


def test_sentences_and_pairs_are_counted_by_language() -> None:
    rows = [
        ("a", Sentence("Haus", "deu")),
        ("a", TextRecord("дом мой", "rus", "", "a")),
        ("b", SentencePair("house", "Haus", "eng", "deu")),
        ("b", SentencePair("", "дом", "eng", "rus")),
        ("b", SentencePair("du", "ihr", "deu", "deu")),
    ]
    statistics = count_corpus(rows)
    counts = {tag: (one.num_sentences, one.num_pairs) for tag, one in statistics.langs.items()}
    assert counts == {"deu": (1, 2), "eng": (0, 2), "rus": (1, 1)}
    assert list(counts) == ["deu", "eng", "rus"]
    assert statistics.lang_pairs == {"deu-deu": 1, "eng-deu": 1, "eng-rus": 1}
    assert statistics.origins == {"b": 3, "a": 2}
    russian = statistics.langs["rus"]
    assert (russian.num_characters, russian.scripts) == (10, {"Cyrillic": 9})
    assert russian.lengths == {3: 1, 2: 1}  # 7 and 3 characters: 4 to 7, 2 to 3.
    assert statistics.langs["eng"].lengths == {0: 1, 3: 1}


def test_scripts_are_those_of_letters() -> None:
    assert script_name("a") == "Latin"
    assert script_name("あ") == "Hiragana"
    assert script_name("中") == "Han"
    assert script_name("\U000e0080") == "Unknown"
    (one,) = count_corpus([("x", Sentence("1 2, a\u0301 жж 3", "und"))]).langs.values()
    assert one.scripts == {"Latin": 1, "Cyrillic": 2}


@given(st.lists(st.tuples(st.text(max_size=20), st.sampled_from(["deu", "eng"])), max_size=20))
def test_every_text_falls_into_one_class_of_length(texts: list[tuple[str, str]]) -> None:
    texts = [(text.replace("\n", "").replace("\r", ""), lang) for text, lang in texts]
    texts = [(text.encode(errors="ignore").decode(), lang) for text, lang in texts]
    statistics = count_corpus(("x", Sentence(text, lang)) for text, lang in texts)
    assert sum(one.lengths.total() for one in statistics.langs.values()) == len(texts)
    assert sum(one.num_characters for one in statistics.langs.values()) == sum(
        len(text) for text, _ in texts
    )
    for one in statistics.langs.values():
        least = sum(count * (1 << bits - 1) for bits, count in one.lengths.items() if bits)
        assert least <= one.num_characters <= 2 * least


@pytest.fixture
def statistics() -> CorpusStatistics:
    rows = [("a", Sentence("Haus am See", "deu")), ("a", Sentence("", "deu"))]
    return count_corpus([*rows, ("b", SentencePair("a house", "дом", "eng", "rus"))])


def test_the_table_has_a_row_a_language_and_a_total(statistics: CorpusStatistics) -> None:
    rows = [line.split("\t") for line in render_statistics(statistics)]
    assert rows[0][:4] == ["lang", "name", "sentences", "pairs"]
    assert rows[1] == ["deu", "German", "2", "0", "11", "0", "Latin 100%"]
    assert rows[2] == ["eng", "English", "0", "1", "7", "4-7", "Latin 100%"]
    assert rows[3] == ["rus", "Russian", "0", "1", "3", "2-3", "Cyrillic 100%"]
    assert rows[4][:5] == ["all", "3 languages", "2", "1", "21"]


def test_json_has_every_count(statistics: CorpusStatistics) -> None:
    value = json.loads(json.dumps(to_json(statistics)))
    assert value["langs"]["deu"]["lengths"] == {"0": 1, "8": 1}
    assert value["lang_pairs"] == {"eng-rus": 1}
    assert value["origins"] == {"a": 2, "b": 1}


def test_the_picture_is_a_png_also_of_nothing(statistics: CorpusStatistics) -> None:
    pytest.importorskip("matplotlib")
    for one in (statistics, count_corpus([])):
        assert draw_statistics(one).startswith(b"\x89PNG\r\n")
