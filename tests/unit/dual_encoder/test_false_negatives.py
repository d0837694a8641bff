"""Candidates that are right answers, though no pair says so, are found and left out."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from labse.dual_encoder.data.batch import Batch
from labse.dual_encoder.data.numbering import sentence_keys
from labse.dual_encoder.data.pairs import sides_of
from labse.dual_encoder.false_negatives import FalseNegatives, find_false_negatives

CPU = torch.device("cpu")
# Sentences by number, source and target of four pairs: 0 and 2 share a source, 3 stands alone, and
# the target of 1 is the source of 2's other copy.
PAIRS = torch.tensor([[10, 20], [11, 10], [10, 22], [13, 23]])


def expected_by_sets(pairs: list[list[int]]) -> list[list[bool]]:
    return [
        [row != column and bool(set(own) & set(other)) for column, other in enumerate(pairs)]
        for row, own in enumerate(pairs)
    ]


def test_a_pair_that_shares_a_sentence_is_no_negative_on_whichever_side_it_stands() -> None:
    mask = FalseNegatives(PAIRS).mask(torch.zeros(4, 4), torch.arange(4))
    assert mask.tolist() == [
        [False, True, True, False],
        [True, False, True, False],
        [True, True, False, False],
        [False, False, False, False],
    ]


@given(pairs=st.lists(st.lists(st.integers(0, 6), min_size=2, max_size=2), min_size=1, max_size=8))
def test_the_mask_is_that_of_sets_of_sentences(pairs: list[list[int]]) -> None:
    size = len(pairs)
    mask = FalseNegatives(torch.tensor(pairs)).mask(torch.zeros(size, size), torch.arange(size))
    assert mask.tolist() == expected_by_sets(pairs)


def test_rows_that_stand_for_some_pairs_get_the_rows_of_the_whole_mask() -> None:
    whole = FalseNegatives(PAIRS).mask(torch.zeros(4, 4), torch.arange(4))
    some = FalseNegatives(PAIRS).mask(torch.zeros(2, 4), torch.tensor([2, 0]))
    assert torch.equal(some, whole[[2, 0]])


def test_the_bound_is_on_what_a_cosine_has_above_the_positive() -> None:
    cosines = torch.tensor([[0.5, 0.75, 0.625], [0.0, 0.25, 0.5], [0.9, 0.9, 0.9]])
    mask = FalseNegatives(None, max_excess=0.125).mask(cosines, torch.arange(3))
    assert mask.tolist() == [[False, True, False], [False, False, True], [False] * 3]


def find(sides: list[list[int]], max_excess: float | None = None) -> FalseNegatives | None:
    """Takes sentences of one piece: sources, then targets."""
    flat = np.array([*sides[0], *sides[1]], dtype=np.int32)
    lengths = np.ones(len(flat), dtype=np.int64)
    indices = np.arange(len(sides[0]))
    batch = Batch(flat, lengths, sentence_keys(flat, lengths), sides_of(indices))
    forward, backward = find_false_negatives(batch, max_excess=max_excess, device=CPU)
    assert backward is forward
    return forward


def test_a_batch_without_repeats_or_a_bound_has_nothing_to_look_for() -> None:
    assert find([[1, 2], [3, 4]]) is None
    # A pair of two equal sentences shares nothing with another pair.
    assert find([[1, 2], [1, 4]]) is None


def test_repeats_are_found_within_and_across_the_sides() -> None:
    for sides in ([[1, 1], [3, 4]], [[1, 2], [3, 3]], [[1, 2], [2, 4]], [[1, 2], [3, 1]]):
        found = find(sides)
        assert found is not None
        mask = found.mask(torch.zeros(2, 2), torch.arange(2))
        assert mask.tolist() == [[False, True], [True, False]], sides


def test_a_bound_alone_compares_no_sentences() -> None:
    found = find([[1, 2], [3, 4]], max_excess=0.2)
    assert found == FalseNegatives(None, 0.2)
