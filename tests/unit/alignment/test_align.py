import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from labse.alignment.align import Bead, align_documents, align_embeddings, bead_sizes
from labse.alignment.search import Step
from labse.errors import LabseError


class BagEncoder:
    """The sum of one random vector a word: translations here are lines of the same words."""

    def __init__(self) -> None:
        self.words: dict[str, NDArray[np.float32]] = {}

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        rows = [sum(map(self.word, sentence.split())) for sentence in sentences]
        return np.array(rows, np.float32)

    def word(self, word: str) -> NDArray[np.float32]:
        if word not in self.words:
            seed = int.from_bytes(word.encode()[:8], "little")
            self.words[word] = np.random.default_rng(seed).standard_normal(32).astype(np.float32)
        return self.words[word]


def lines(count: int, start: int = 0) -> list[str]:
    return [" ".join(f"w{3 * n + k}" for k in range(3)) for n in range(start, start + count)]


def spans_of(bead: Bead) -> tuple[list[int], list[int]]:
    return (
        list(range(bead.source_start, bead.source_stop)),
        list(range(bead.target_start, bead.target_stop)),
    )


def assert_whole(beads: Sequence[Bead], num_source: int, num_target: int) -> None:
    """Each line stands in one bead, in order; no bead is empty; scores are numbers."""
    assert [i for bead in beads for i in spans_of(bead)[0]] == list(range(num_source))
    assert [j for bead in beads for j in spans_of(bead)[1]] == list(range(num_target))
    assert all(any(spans_of(bead)) for bead in beads)
    assert np.isfinite([bead.score for bead in beads]).all()
    for before, after in itertools.pairwise(beads):
        assert (after.source_start, after.target_start) == (before.source_stop, before.target_stop)


def test_merged_split_dropped_and_added_lines_are_found() -> None:
    source = lines(40)
    target = lines(40)
    target[5:7] = [" ".join(target[5:7])]  # 2:1
    source[20:21] = ["w60", "w61 w62"]  # 2:1, split on the source
    del target[29]  # Source line 31 (30 before the split) has no counterpart.
    target.insert(10, "unrelated words here")
    beads = align_documents(BagEncoder(), source, target)
    assert_whole(beads, 41, 39)
    found = [spans_of(bead) for bead in beads]
    assert ([5, 6], [5]) in found
    assert ([20, 21], [20]) in found
    assert ([], [10]) in found
    assert ([31], []) in found
    assert sum(len(source) == len(target) == 1 for source, target in found) == 36


def test_a_translation_scores_one_and_a_skip_zero() -> None:
    beads = align_documents(BagEncoder(), lines(10), [*lines(10)[:4], *lines(10)[5:]])
    assert [bead.score for bead in beads if not bead.target_stop - bead.target_start] == [0.0]
    pairs = [bead.score for bead in beads if bead.target_stop > bead.target_start]
    np.testing.assert_allclose(pairs, 1, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(["", " ", "a", "b", "a b", "c d e"]), max_size=12),
    st.lists(st.sampled_from(["", "\t", "a", "b", "a b", "c d e"]), max_size=12),
    st.integers(2, 6),
    st.floats(0, 100),
)
def test_every_line_stands_in_exactly_one_bead(
    source: list[str], target: list[str], max_size: int, skip_percentile: float
) -> None:
    beads = align_documents(
        BagEncoder(), source, target, max_size=max_size, skip_percentile=skip_percentile
    )
    assert_whole(beads, len(source), len(target))
    for bead in beads:
        sizes = [
            sum(bool(text.strip()) for text in texts[start:stop])
            for texts, start, stop in (
                (source, bead.source_start, bead.source_stop),
                (target, bead.target_start, bead.target_stop),
            )
        ]
        assert sum(sizes) <= max_size


@pytest.mark.parametrize("sizes", [(1, 1000), (1000, 1), (700, 500), (0, 5), (5, 0), (0, 0)])
def test_documents_of_any_size_are_aligned_whole(sizes: tuple[int, int]) -> None:
    beads = align_documents(BagEncoder(), lines(sizes[0]), lines(sizes[1]))
    assert_whole(beads, *sizes)


def test_long_documents_are_found_through_a_long_insertion() -> None:
    source = lines(900)
    target = [*lines(300), *lines(500, start=5_000), *lines(600, start=300)]
    beads = align_documents(BagEncoder(), source, target)
    assert_whole(beads, 900, 1400)
    pairs = [spans_of(bead) for bead in beads if spans_of(bead)[0] and spans_of(bead)[1]]
    expected = [([i], [i if i < 300 else i + 500]) for i in range(900)]
    # The edge of the insertion may blur by a few lines.
    assert sum(pair in pairs for pair in expected) >= 890


@pytest.mark.parametrize("sizes", [(50, 50), (400, 400), (400, 390)])
def test_documents_of_one_line_repeated_pair_what_they_can(sizes: tuple[int, int]) -> None:
    beads = align_documents(BagEncoder(), ["same words"] * sizes[0], ["same words"] * sizes[1])
    assert_whole(beads, *sizes)
    num_skipped = sum(not all(spans_of(bead)) for bead in beads)
    assert num_skipped <= sizes[0] - sizes[1] + 2


def test_blank_lines_inside_a_bead_belong_to_it_and_others_stand_alone() -> None:
    source = ["", "w1 w2", "", "w3 w4", "w5 w6", " "]
    target = ["w1 w2 w3 w4", "", "w5 w6"]
    beads = align_documents(BagEncoder(), source, target)
    assert [spans_of(bead) for bead in beads] == [
        ([0], []),
        ([1, 2, 3], [0]),
        ([], [1]),
        ([4], [2]),
        ([5], []),
    ]


def test_blank_documents_need_no_vector() -> None:
    class NoEncoder:
        def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
            raise AssertionError("asked for vectors")

    beads = align_documents(NoEncoder(), ["", ""], ["text"])
    assert_whole(beads, 2, 1)


def test_the_same_documents_give_the_same_beads() -> None:
    rng = np.random.default_rng(0)
    source = rng.standard_normal((3, 500, 16)).astype(np.float32)
    target = source[:, ::-1].copy() + rng.standard_normal((3, 500, 16)).astype(np.float32)
    first = align_embeddings(source, target, seed=3)
    assert first == align_embeddings(source, target, seed=3)
    assert_whole(first, 500, 500)


def test_the_arguments_are_not_changed_and_need_no_unit_rows() -> None:
    source = np.random.default_rng(1).standard_normal((3, 20, 8)).astype(np.float32)
    before = source.copy()
    beads = align_embeddings(source, source * 7)
    np.testing.assert_array_equal(source, before)
    assert [spans_of(bead) for bead in beads] == [([i], [i]) for i in range(20)]
    assert align_embeddings(source.astype(np.float16), source) is not None


def test_swapped_documents_give_swapped_beads() -> None:
    rng = np.random.default_rng(2)
    target = rng.standard_normal((3, 60, 16)).astype(np.float32)
    source = target[:, :50] + 0.3 * rng.standard_normal((3, 50, 16)).astype(np.float32)
    forward = {tuple(map(tuple, spans_of(bead))) for bead in align_embeddings(source, target)}
    backward = {tuple(map(tuple, spans_of(bead))) for bead in align_embeddings(target, source)}
    assert forward == {(b, a) for a, b in backward}


def test_sizes_of_beads_are_those_up_to_the_sum() -> None:
    assert set(bead_sizes(4)) == {
        *(Step(1, n) for n in (1, 2, 3)),
        *(Step(2, n) for n in (1, 2)),
        Step(3, 1),
    }
    assert bead_sizes(2) == [Step(1, 1)]


def test_wrong_options_and_vectors_are_told() -> None:
    spans = np.ones((3, 4, 8), np.float32)
    with pytest.raises(ValueError, match="max_size must be at least 2"):
        align_embeddings(spans, spans, max_size=1)
    with pytest.raises(ValueError, match="skip_percentile must be 0 to 100"):
        align_embeddings(spans, spans, skip_percentile=101)
    with pytest.raises(ValueError, match="8 dimensions and the target 5"):
        align_embeddings(spans, spans[:, :, :5])
    with pytest.raises(ValueError, match="at least 4"):
        align_embeddings(spans, spans, max_size=5)
    with pytest.raises(LabseError, match="source: the vector of 1 lines that end with line 2"):
        align_embeddings(np.where(np.arange(4)[:, None] == 1, np.nan, spans), spans)


def test_an_encoder_that_returns_nan_is_told() -> None:
    class Broken:
        def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
            return np.full((len(sentences), 3), np.nan, np.float32)

    with pytest.raises(LabseError, match="NaN or infinity"):
        align_documents(Broken(), ["a"], ["b"])
