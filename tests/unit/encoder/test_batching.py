import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.encoder.streaming import split_by_budget, token_budget_batches

LENGTHS = st.lists(st.integers(0, 70), max_size=200)


@given(LENGTHS, st.integers(1, 500))
def test_batches_hold_each_index_exactly_once(lengths: list[int], max_tokens: int) -> None:
    batches = token_budget_batches(lengths, max_tokens)

    indices = [int(index) for batch in batches for index in batch]
    assert sorted(indices) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 500))
def test_a_padded_batch_fits_the_budget_unless_it_is_one_sentence(
    lengths: list[int], max_tokens: int
) -> None:
    for batch in token_budget_batches(lengths, max_tokens):
        padded_tokens = len(batch) * max(lengths[index] for index in batch)
        assert padded_tokens <= max_tokens or len(batch) == 1


def test_the_longest_come_first_and_equal_lengths_keep_their_order() -> None:
    batches = token_budget_batches([2, 5, 2, 3, 5], 10)

    assert [batch.tolist() for batch in batches] == [[1, 4], [3, 0, 2]]


def test_lengths_may_be_an_array_and_stays_as_it_was() -> None:
    lengths = np.array([1, 3, 2])

    token_budget_batches(lengths, 4)

    assert lengths.tolist() == [1, 3, 2]


def test_a_budget_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_tokens is 0"):
        token_budget_batches([1], 0)


def test_a_batch_holds_no_more_sentences_than_asked_for() -> None:
    batches = token_budget_batches([1] * 5, 100, max_sentences=2)
    assert [len(batch) for batch in batches] == [2, 2, 1]
    with pytest.raises(ValueError, match="max_sentences is 0"):
        token_budget_batches([1], 1, max_sentences=0)


def test_a_stream_is_cut_after_so_many_sentences_or_characters() -> None:
    parts = list(split_by_budget(iter(["a", "b", "c", "long" * 9, "", "d"]), 2, 10))
    assert parts == [["a", "b"], ["c", "long" * 9], ["", "d"]]
    assert list(split_by_budget(["x" * 20, "y"], 5, 10)) == [["x" * 20], ["y"]]
    assert list(split_by_budget([], 2, 10)) == []
