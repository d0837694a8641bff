"""Hard negatives on vectors that are put on a circle by hand."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from labse.corpus.records import SentencePair
from labse.errors import LabseError
from labse.files.stage import Stage, open_stage
from labse.mining import hard_negatives
from labse.mining.hard_negatives import (
    NegativeOptions,
    group_pairs,
    iter_hard_negatives,
    negative_row_columns,
)


class AngleEncoder:
    """The number in a text is its angle in degrees."""

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        digits = ["".join(filter(str.isdigit, sentence)) for sentence in sentences]
        radians = np.radians(np.array(digits, np.float64))
        return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def mine(
    folder: Path, pairs: Sequence[tuple[str, str]], **options: object
) -> tuple[list[tuple[str, ...]], Counter[str]]:
    records = [SentencePair(source, target, "eng", "deu") for source, target in pairs]
    counts: Counter[str] = Counter()
    values: dict[str, object] = {"k": 2, "relative_margin": 0.0} | options
    chosen = NegativeOptions(**values)  # type: ignore[arg-type]
    with open_stage(folder, {}) as stage:
        (group,) = group_pairs(records, stage)
        rows = list(iter_hard_negatives(group, AngleEncoder(), chosen, counts))
    return rows, counts


# Angles apart from their source's: the first pair's target by 10 degrees.
PAIRS = [("s0", "T10"), ("s90", "T90"), ("s20", "T20"), ("s40", "T40"), ("s60", "T60")]


def negatives(rows: list[tuple[str, ...]]) -> list[list[str]]:
    return [list(row[4:]) for row in rows]


def test_the_nearest_targets_that_are_no_translation_are_taken_in_order(tmp_path: Path) -> None:
    rows, counts = mine(tmp_path, PAIRS)
    assert rows[0] == ("s0", "T10", "eng", "deu", "T20", "T40")
    # T20 and T60 are as far from s40: the first of the file comes first.
    assert negatives(rows)[3] == ["T20", "T60"]
    assert counts == Counter(pairs=5, negatives=10, blank=0, without=0)


def test_a_sentence_nearer_than_the_positive_is_guarded_away(tmp_path: Path) -> None:
    rows, counts = mine(tmp_path, [*PAIRS, ("s1000", "T5")])
    assert negatives(rows)[0] == ["T20", "T40"]
    assert counts["guarded"] >= 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"relative_margin": 0.05}, ["T40", "T60"]),  # cos 10 - 5 % is 0.936, cos 20 is 0.940.
        ({"relative_margin": 0.04}, ["T20", "T40"]),
        ({"absolute_margin": 0.05}, ["T40", "T60"]),  # 0.985 - 0.05 = 0.935.
        ({"absolute_margin": 0.04}, ["T20", "T40"]),
        ({"relative_margin": 0.2, "absolute_margin": 0.3}, ["T60", "T90"]),  # Both hold.
    ],
)
def test_the_margins_are_between_the_cosines(
    tmp_path: Path, options: dict[str, object], expected: list[str]
) -> None:
    rows, _ = mine(tmp_path, PAIRS, **options)
    assert negatives(rows)[0] == expected


@given(st.floats(-1, 1, width=32), st.floats(0, 1), st.floats(0, 2))
def test_no_margin_lets_a_negative_above_the_positive(
    positive: float, relative: float, absolute: float
) -> None:
    options = NegativeOptions(relative_margin=relative, absolute_margin=absolute)
    assert options.max_cosines(np.array([positive], np.float32))[0] <= np.float32(positive)


def test_known_translations_are_never_taken(tmp_path: Path) -> None:
    # T20 translates s0 too; T40 and the positive T10 translate s15 both.
    known = [("s0", "T20"), ("s15", "T10"), ("s15", "T40")]
    rows, counts = mine(tmp_path, [PAIRS[0], *known, ("s60", "T60"), ("s90", "T90")])
    assert negatives(rows)[0] == ["T60", "T90"]
    assert counts["known"] >= 2


def test_copies_but_for_case_and_punctuation_are_never_taken(tmp_path: Path) -> None:
    rows, counts = mine(tmp_path, [*PAIRS, ("x300", "t10!"), ("y300", "S0")])
    assert "t10!" not in negatives(rows)[0]
    assert "S0" not in negatives(rows)[0]
    assert counts["known"] + counts["guarded"] >= 2


def test_both_sides_have_negatives_on_request(tmp_path: Path) -> None:
    rows, _ = mine(tmp_path, PAIRS, both_sides=True)
    assert negatives(rows)[4] == ["T40", "T90", "s40", "s90"]
    columns = negative_row_columns(NegativeOptions(k=2, both_sides=True))
    assert columns[4:] == (
        "target_negative_1",
        "target_negative_2",
        "source_negative_1",
        "source_negative_2",
    )


def test_blank_and_repeated_pairs_keep_their_rows(tmp_path: Path) -> None:
    pairs = [PAIRS[0], ("", "T20"), PAIRS[0], ("s40", " "), ("s60", "T60")]
    rows, counts = mine(tmp_path, pairs)
    assert [row[:2] for row in rows] == pairs
    assert negatives(rows)[1] == negatives(rows)[3] == ["", ""]
    assert negatives(rows)[0] == negatives(rows)[2]
    assert (counts["blank"], counts["pairs"]) == (2, 5)


def test_a_single_pair_has_none_and_is_counted(tmp_path: Path) -> None:
    rows, counts = mine(tmp_path, PAIRS[:1])
    assert negatives(rows) == [["", ""]]
    assert counts == Counter(pairs=1, without=1, negatives=0, blank=0)


def test_only_blank_pairs_give_rows_without_negatives(tmp_path: Path) -> None:
    rows, counts = mine(tmp_path, [("", "T1"), ("s1", "")])
    assert negatives(rows) == [["", ""]] * 2
    assert counts["blank"] == counts["without"] == 2


def test_chunks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    pairs = [(f"s{a}", f"T{b}") for a, b in generator.integers(0, 360, (60, 2)).tolist()]
    whole, counts = mine(tmp_path / "a", pairs, both_sides=True)
    monkeypatch.setattr(hard_negatives, "_CHUNK_PAIRS", 7)
    parts, again = mine(tmp_path / "b", pairs, both_sides=True)
    assert (parts, again) == (whole, counts)


MIXED = [
    SentencePair("\ufeffa", "A\u2028", "eng", "deu"),
    SentencePair("b", "B\tB", "eng", "fra"),
    SentencePair("", "C", "eng", "deu"),
    SentencePair("D", "d", "deu", "eng"),
]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_stage(tmp_path / "stage", {}) as opened:
        yield opened


def test_pairs_are_sorted_by_language_pair_and_their_text_is_kept(stage: Stage) -> None:
    groups = group_pairs(MIXED, stage)
    assert [(*g.langs, g.num_pairs) for g in groups] == [
        ("eng", "deu", 2),
        ("eng", "fra", 1),
        ("deu", "eng", 1),
    ]
    assert list(groups[0].lines("source")) == ["\ufeffa", ""]
    assert list(groups[0].lines("target")) == ["A\u2028", "C"]
    assert list(groups[1].lines("target")) == ["B\tB"]


def test_it_is_done_once(stage: Stage) -> None:
    first = group_pairs(MIXED, stage)
    assert group_pairs(iter(()), stage) == first


def test_what_a_killed_call_left_is_replaced(stage: Stage) -> None:
    def dying() -> Iterator[SentencePair]:
        yield MIXED[0]
        raise LabseError("broken row")

    for _ in range(2):
        with pytest.raises(LabseError):
            group_pairs(dying(), stage)
    groups = group_pairs(MIXED, stage)
    assert list(groups[0].lines("target")) == ["A\u2028", "C"]


def test_more_than_a_buffer_keeps_its_order(stage: Stage) -> None:
    pairs = [SentencePair(f"s{n}", f"t{n}", "eng", "deu") for n in range(50)]
    (group,) = group_pairs(pairs, stage, buffered_chars=10)
    assert list(group.lines("source")) == [f"s{n}" for n in range(50)]
    assert list(group.lines("target")) == [f"t{n}" for n in range(50)]


def test_no_pairs_make_no_groups(stage: Stage) -> None:
    assert group_pairs([], stage) == []
