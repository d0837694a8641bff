"""Row-sparse gradients of a table that many passes add to."""

import random

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from labse.network.row_gradients import RowMerger

VOCAB, WIDTH = 1000, 3


def table_with(least_rows: int | None) -> nn.Parameter:
    torch.manual_seed(0)
    table = nn.Parameter(torch.randn(VOCAB, WIDTH, dtype=torch.float64))
    if least_rows is not None:
        RowMerger(least_rows).watch(table)
    return table


def float_table() -> nn.Parameter:
    table = nn.Parameter(torch.zeros(VOCAB, WIDTH))
    RowMerger(8).watch(table)
    return table


def backward(table: nn.Parameter, ids: list[int], *, sparse: bool) -> None:
    rows = F.embedding(torch.tensor(ids), table, sparse=sparse)
    weights = torch.arange(1.0, rows.shape[1] + 1, dtype=rows.dtype)
    (rows * weights).sum().backward()


def shuffled(num_passes: int) -> list[list[int]]:
    draw = random.Random(0)
    return [draw.sample([1, 2, 3, 4, 5, 5], 6) for _ in range(num_passes)]


@given(
    st.lists(st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=20), min_size=1, max_size=12),
    st.integers(0, 30),
)
def test_the_gradient_is_that_of_a_dense_table(passes: list[list[int]], least_rows: int) -> None:
    merged, dense = table_with(least_rows), table_with(None)
    for ids in passes:
        backward(merged, ids, sparse=True)
        backward(dense, ids, sparse=False)

    assert merged.grad is not None
    assert dense.grad is not None
    assert torch.allclose(merged.grad.to_dense(), dense.grad, rtol=0, atol=1e-12)


def test_rows_stay_within_twice_the_distinct_ones_and_those_of_a_pass() -> None:
    table = table_with(8)
    for ids in shuffled(100):
        backward(table, ids, sparse=True)
        assert table.grad is not None
        assert table.grad._nnz() <= 10 + 6


def test_without_it_rows_pile_up() -> None:
    table = table_with(None)
    for ids in shuffled(100):
        backward(table, ids, sparse=True)
    assert table.grad is not None
    assert table.grad._nnz() > 2 * (10 + 6)  # torch sums some equal rows as it adds, not all.


def test_a_step_has_the_bits_that_it_has_in_a_run_that_goes_on_there() -> None:
    def step(table: nn.Parameter, seed: int, num_passes: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        table.grad = None
        for _ in range(num_passes):
            ids = torch.randint(20, (30,), generator=generator)
            factors = torch.randn(30, WIDTH, generator=generator)
            (F.embedding(ids, table, sparse=True) * factors).sum().backward()
        assert table.grad is not None
        return table.grad.coalesce().values()

    for num_passes in (2, 3, 40):
        through, anew = float_table(), float_table()
        step(through, 1, 100)
        step(through, 2, 1)
        assert torch.equal(step(through, 3, num_passes), step(anew, 3, num_passes))


def test_a_dense_gradient_is_left_as_it_is() -> None:
    table = table_with(0)
    backward(table, [1, 2], sparse=False)
    assert table.grad is not None
    assert not table.grad.is_sparse
