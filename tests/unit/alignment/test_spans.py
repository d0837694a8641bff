from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from labse.alignment.spans import encode_documents, halve_spans, join_spans, unit_spans
from labse.errors import LabseError


class LengthEncoder:
    """A vector tells its text: the numbers of characters and of spaces."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        self.calls.append(list(sentences))
        return np.array([[len(s), s.count(" "), 1] for s in sentences], np.float32)


def test_every_run_of_lines_is_embedded_from_its_own_text_in_one_call() -> None:
    encoder = LengthEncoder()
    source, target = encode_documents(encoder, ["a", "bb", "ccc"], ["d"], 2)
    assert encoder.calls == [["a", "bb", "ccc", "a bb", "bb ccc", "d"]]
    assert source.shape == (2, 3, 3)
    assert source[0].tolist() == [[1, 0, 1], [2, 0, 1], [3, 0, 1]]
    # The run of two lines that ends with line 1 is "a bb".
    assert source[1, 1:].tolist() == [[4, 1, 1], [6, 1, 1]]
    assert target.shape == (2, 1, 3)


def test_a_run_longer_than_the_document_has_no_text() -> None:
    assert join_spans(["a", "b"], 3) == []
    assert join_spans([], 1) == []


def test_a_line_of_a_million_characters_is_cut() -> None:
    spans = join_spans(["x" * 1_000_000, "y"], 2)
    assert [len(span) for span in spans] == [10_000]


def test_unit_rows_are_a_copy_and_missing_runs_do_not_matter() -> None:
    spans = np.full((2, 3, 4), 2.0, np.float32)
    spans[1, 0] = np.nan  # There is no run of two lines that ends with the first.
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
