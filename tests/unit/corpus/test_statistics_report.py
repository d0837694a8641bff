import json

import pytest

from labse.corpus.records import Sentence, SentencePair
from labse.corpus.statistics import CorpusStatistics, count_corpus
from labse.corpus.statistics_report import draw_statistics, render_statistics, to_json


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
