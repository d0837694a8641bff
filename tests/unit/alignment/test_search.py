import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from labse.alignment.search import (
    Band,
    SpanVectors,
    Step,
    encode_documents,
    full_band,
    halve_spans,
    join_spans,
    path_band,
    search_band,
    span_costs,
    unit_spans,
)
from labse.errors import LabseError

STEPS = [Step(1, 1), Step(1, 2), Step(2, 1), Step(2, 2)]


def random_spans(num_lines: int, seed: int, num_spans: int = 2) -> SpanVectors:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((num_spans, num_lines, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    return SpanVectors(vectors, rng.uniform(0.5, 1.0, (num_spans, num_lines)).astype(np.float32))


def plain_cost(source: SpanVectors, target: SpanVectors, step: Step, i: int, j: int) -> float:
    """The formula in the docstring of `span_costs` for the bead that ends with lines i and j."""
    x, y = step.num_source, step.num_target
    cosine = float(source.vectors[x - 1, i] @ target.vectors[y - 1, j])
    scale = (source.distances[x - 1, i] + target.distances[y - 1, j]) / 2
    return (1 - cosine) * x * y / float(scale)


def plain_best_cost(source: SpanVectors, target: SpanVectors, skip_cost: float) -> float:
    """The cheapest path by the textbook table, cell by cell."""
    n, m = source.num_lines, target.num_lines
    best: NDArray[np.float64] = np.full((n + 1, m + 1), np.inf)
    best[0, 0] = 0
    for i, j in itertools.product(range(n + 1), range(m + 1)):
        if i:
            best[i, j] = min(best[i, j], best[i - 1, j] + skip_cost)
        if j:
            best[i, j] = min(best[i, j], best[i, j - 1] + skip_cost)
        for step in STEPS:
            x, y = step.num_source, step.num_target
            if i >= x and j >= y:
                cost = plain_cost(source, target, step, i - 1, j - 1)
                best[i, j] = min(best[i, j], best[i - x, j - y] + cost)
    return float(best[n, m])


def path_cost(
    source: SpanVectors, target: SpanVectors, path: list[Step], skip_cost: float
) -> float:
    total, i, j = 0.0, 0, 0
    for step in path:
        i, j = i + step.num_source, j + step.num_target
        is_pair = step.num_source and step.num_target
        total += plain_cost(source, target, step, i - 1, j - 1) if is_pair else skip_cost
    assert (i, j) == (source.num_lines, target.num_lines)
    return total


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.floats(0.01, 2.0), st.integers(0, 10_000))
def test_the_path_is_as_cheap_as_that_of_the_textbook_table(
    num_source: int, num_target: int, skip_cost: float, seed: int
) -> None:
    source, target = random_spans(num_source, seed), random_spans(num_target, seed + 1)
    path = search_band(source, target, full_band(num_source, num_target), STEPS, skip_cost)
    expected = plain_best_cost(source, target, skip_cost)
    assert path_cost(source, target, path, skip_cost) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("num_source", "num_target"), [(150, 140), (2, 900), (900, 2)])
def test_blocks_of_rows_make_no_difference(num_source: int, num_target: int) -> None:
    # More rows than a block has, and more columns than leave room for all rows in a block.
    source, target = random_spans(num_source, 3), random_spans(num_target, 4)
    path = search_band(source, target, full_band(num_source, num_target), STEPS, 0.6)
    expected = plain_best_cost(source, target, 0.6)
    assert path_cost(source, target, path, 0.6) == pytest.approx(expected, abs=1e-3)


def test_rows_of_a_wide_band_are_worked_off_one_by_one() -> None:
    source, target = random_spans(4, 5), random_spans(40_000, 6)
    path = search_band(source, target, full_band(4, 40_000), STEPS, 0.1)
    assert sum(step.num_target for step in path) == 40_000
    assert sum(step.num_source for step in path) == 4


def test_a_band_around_the_best_path_finds_it() -> None:
    source = random_spans(300, 7, num_spans=1)
    target = SpanVectors(source.vectors.copy(), source.distances.copy())
    rows = np.arange(301)
    band = Band(np.clip(rows - 3, 0, 300), np.clip(rows + 4, 1, 301))
    assert search_band(source, target, band, [Step(1, 1)], 0.3) == [Step(1, 1)] * 300


def test_costs_of_a_block_are_the_formula() -> None:
    source, target = random_spans(5, 8), random_spans(6, 9)
    for step in STEPS:
        costs = span_costs(source, target, step, slice(1, 4), slice(2, 6))
        expected = [
            [plain_cost(source, target, step, i, j) for j in range(2, 6)] for i in range(1, 4)
        ]
        np.testing.assert_allclose(costs, expected, rtol=1e-5)


paths = st.lists(st.sampled_from([Step(1, 1), Step(1, 0), Step(0, 1)]), min_size=1, max_size=40)


@given(paths, st.integers(0, 1), st.integers(0, 1))
def test_a_band_holds_the_corners_of_its_path_and_only_grows(
    path: list[Step], odd_source: int, odd_target: int
) -> None:
    num_source = max(2 * sum(step.num_source for step in path) - odd_source, 0)
    num_target = max(2 * sum(step.num_target for step in path) - odd_target, 0)
    band = path_band(path, num_source, num_target, scale=2, margin=2)
    assert len(band.low) == len(band.high) == num_source + 1
    assert (np.diff(band.low) >= 0).all()
    assert (np.diff(band.high) >= 0).all()
    assert band.low[0] == 0
    assert band.high[-1] == num_target + 1
    # Connected: a step down or to the right always stays in it.
    assert (band.low[1:] < band.high[:-1]).all()

    x = y = 0
    for before, step in itertools.pairwise([Step(1, 1), *path, Step(1, 1)]):
        is_run = not (before.num_source and before.num_target) and not (
            step.num_source and step.num_target
        )
        row, column = min(2 * x, num_source), min(2 * y, num_target)
        if not is_run:
            assert band.low[row] <= column < band.high[row]
        x, y = x + step.num_source, y + step.num_target


def test_a_band_is_linear_in_the_lines_of_unlike_documents() -> None:
    skips = [Step(1, 0)] * 2_000 + [Step(0, 1)] * 3_000
    band = path_band(skips, 4_000, 6_000, scale=2, margin=10)
    assert (band.high - band.low).sum() < 40 * 4_000


class LengthEncoder:
    """A vector tells its text: the numbers of characters and of spaces."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        self.calls.append(list(sentences))
        return np.array([[len(s), s.count(" "), 1] for s in sentences], np.float32)


def test_every_span_is_embedded_from_its_own_text_in_one_call() -> None:
    encoder = LengthEncoder()
    source, target = encode_documents(encoder, ["a", "bb", "ccc"], ["d"], 2)
    assert encoder.calls == [["a", "bb", "ccc", "a bb", "bb ccc", "d"]]
    assert source.shape == (2, 3, 3)
    assert source[0].tolist() == [[1, 0, 1], [2, 0, 1], [3, 0, 1]]
    # The span of two lines that ends with line 1 is "a bb".
    assert source[1, 1:].tolist() == [[4, 1, 1], [6, 1, 1]]
    assert target.shape == (2, 1, 3)


def test_a_span_longer_than_the_document_has_no_text() -> None:
    assert join_spans(["a", "b"], 3) == []
    assert join_spans([], 1) == []


def test_a_line_of_a_million_characters_is_cut() -> None:
    spans = join_spans(["x" * 1_000_000, "y"], 2)
    assert [len(span) for span in spans] == [10_000]


def test_unit_rows_are_a_copy_and_missing_spans_do_not_matter() -> None:
    spans = np.full((2, 3, 4), 2.0, np.float32)
    spans[1, 0] = np.nan  # There is no span of two lines that ends with the first.
    before = spans.copy()
    result = unit_spans("source", spans, 2)
    np.testing.assert_array_equal(spans, before)
    np.testing.assert_allclose(np.linalg.norm(result, axis=2), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("value", "fault"),
    [(np.nan, "NaN or infinity"), (np.inf, "NaN or infinity"), (0, "only zeros")],
)
def test_a_broken_vector_is_named_by_its_lines(value: float, fault: str) -> None:
    spans = np.ones((2, 3, 4), np.float32)
    spans[1, 2] = value
    with pytest.raises(
        LabseError, match=f"target: the vector of 2 lines that end with line 3.*{fault}"
    ):
        unit_spans("target", spans, 2)


def test_a_wrong_shape_is_told() -> None:
    with pytest.raises(ValueError, match="at least 3, lines, dimensions"):
        unit_spans("source", np.ones((2, 3, 4), np.float32), 3)


@pytest.mark.parametrize("num_lines", [3, 4, 7, 8])
def test_halving_averages_two_by_two_without_what_is_common(num_lines: int) -> None:
    spans = np.random.default_rng(num_lines).standard_normal((2, num_lines, 5)).astype(np.float32)
    sums = np.array([spans[0, i : i + 2].sum(axis=0) for i in range(0, num_lines, 2)])
    sums -= sums.mean(axis=0)
    expected = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    np.testing.assert_allclose(halve_spans(spans)[0], expected, atol=1e-5)


def test_halving_one_line_repeated_keeps_finite_rows() -> None:
    halved = halve_spans(np.full((1, 9, 4), 0.5, np.float32))
    np.testing.assert_allclose(np.linalg.norm(halved[0], axis=1), 1, rtol=1e-5)
