"""Attention without padding equals attention with it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labse.network.flat import LengthGroup, attend, lay_flat, lay_rows

LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=9)


@given(LENGTHS)
def test_tokens_are_sorted_by_the_length_of_their_sentence_and_found_again(
    lengths: list[int],
) -> None:
    input_ids = np.arange(100, 100 + sum(lengths), dtype=np.int32)
    flat = lay_flat(input_ids, np.array(lengths))
    assert [group.length for group in flat.groups] == sorted(set(lengths))
    assert [group.num_sentences for group in flat.groups] == [
        lengths.count(length) for length in sorted(set(lengths))
    ]
    assert flat.input_ids.tolist() == input_ids[flat.tokens.numpy()].tolist()
    rows = np.split(input_ids, np.cumsum(lengths)[:-1])
    for row, start in zip(rows, flat.starts.tolist(), strict=True):
        assert flat.input_ids[start : start + len(row)].tolist() == row.tolist()
        assert flat.position_ids[start : start + len(row)].tolist() == list(range(len(row)))


def test_rows_lose_their_padding_and_tokens_say_where_they_were() -> None:
    rows = torch.tensor([[7, 8, 9], [5, 0, 0], [4, 6, 0]])
    flat = lay_rows(rows, rows > 0)
    assert flat.input_ids.tolist() == [5, 4, 6, 7, 8, 9]
    assert flat.tokens.tolist() == [3, 6, 7, 0, 1, 2]
    assert flat.starts.tolist() == [3, 0, 1]
    assert lay_rows(rows, None).tokens.tolist() == list(range(9))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("lengths", [[1], [3, 3, 3], [1, 4, 4, 9], [70, 70]])
def test_each_sentence_attends_to_itself_alone(lengths: list[int], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(sum(lengths), 3 * 8, generator=generator, dtype=dtype).requires_grad_()
    groups = tuple(LengthGroup(lengths.count(length), length) for length in sorted(set(lengths)))
    ours = attend(qkv, groups, num_heads=2, dropout_prob=0.0)
    sums = torch.randn(ours.shape, generator=generator, dtype=dtype)
    (our_gradient,) = torch.autograd.grad(ours, qkv, sums)

    wide = qkv.detach().double().requires_grad_()
    contexts = []
    for sentence in wide.split(lengths):
        query, key, value = sentence.view(-1, 3, 2, 4).permute(1, 2, 0, 3)
        weights = (query @ key.transpose(1, 2) / 2).softmax(-1)
        contexts.append((weights @ value).transpose(0, 1).reshape(-1, 8))
    theirs = torch.cat(contexts)
    (their_gradient,) = torch.autograd.grad(theirs, wide, sums.double())

    # bfloat16 has 8 bits; some dozen roundings follow each other.
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.05}[dtype]
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.double(), theirs, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(
        our_gradient.double(), their_gradient, rtol=tolerance, atol=tolerance
    )


def test_weights_are_dropped_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    qkv = torch.zeros(20_000, 6)  # Queries and keys of 0: each weight is a quarter.
    qkv[:, 4:] = 1
    context = attend(qkv, (LengthGroup(5000, 4),), num_heads=1, dropout_prob=0.25)
    assert context.mean().item() == pytest.approx(1, abs=0.01)
    # Of four weights all are kept with probability 0.75^4: then the context is 4 / 4 / 0.75.
    assert (context > 1.3).float().mean().item() == pytest.approx(0.75**4, abs=0.02)
