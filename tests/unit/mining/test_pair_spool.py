from collections.abc import Iterator
from pathlib import Path

import pytest

from labse.corpus.records import SentencePair
from labse.errors import LabseError
from labse.mining import pair_spool
from labse.mining.pair_spool import spool_pairs

PAIRS = [
    SentencePair("\ufeffa", "A\u2028", "eng", "deu"),
    SentencePair("b", "B\tB", "eng", "fra"),
    SentencePair("", "C", "eng", "deu"),
    SentencePair("D", "d", "deu", "eng"),
]


def test_pairs_are_sorted_by_language_pair_and_their_text_is_kept(tmp_path: Path) -> None:
    groups = spool_pairs(PAIRS, tmp_path)
    assert [(g.source_lang, g.target_lang, g.num_pairs) for g in groups] == [
        ("eng", "deu", 2),
        ("eng", "fra", 1),
        ("deu", "eng", 1),
    ]
    assert list(groups[0].lines("source")) == ["\ufeffa", ""]
    assert list(groups[0].lines("target")) == ["A\u2028", "C"]
    assert list(groups[1].lines("target")) == ["B\tB"]


def test_it_is_done_once(tmp_path: Path) -> None:
    first = spool_pairs(PAIRS, tmp_path)
    assert spool_pairs(iter(()), tmp_path) == first


def test_what_a_killed_call_left_is_replaced(tmp_path: Path) -> None:
    def dying() -> Iterator[SentencePair]:
        yield PAIRS[0]
        raise LabseError("broken row")

    for _ in range(2):
        with pytest.raises(LabseError):
            spool_pairs(dying(), tmp_path)
    groups = spool_pairs(PAIRS, tmp_path)
    assert list(groups[0].lines("target")) == ["A\u2028", "C"]


def test_more_than_a_buffer_keeps_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_spool, "_BUFFERED_CHARS", 10)
    pairs = [SentencePair(f"s{n}", f"t{n}", "eng", "deu") for n in range(50)]
    (group,) = spool_pairs(pairs, tmp_path)
    assert list(group.lines("source")) == [f"s{n}" for n in range(50)]
    assert list(group.lines("target")) == [f"t{n}" for n in range(50)]


def test_no_pairs_make_no_groups(tmp_path: Path) -> None:
    assert spool_pairs([], tmp_path) == []
