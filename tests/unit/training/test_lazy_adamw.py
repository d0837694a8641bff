"""Lazy AdamW against torch.optim.AdamW on a dense table."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from labse.training.checkpoint import load_optimizer_tensors, optimizer_tensors
from labse.training.lazy_adamw import LazyAdamW

ROWS = 5


def tables() -> tuple[nn.Embedding, nn.Embedding]:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(ROWS, 3, generator=generator, dtype=torch.float64)
    sparse = nn.Embedding(ROWS, 3, sparse=True, dtype=torch.float64)
    dense = nn.Embedding(ROWS, 3, dtype=torch.float64)
    sparse.weight.data, dense.weight.data = start.clone(), start.clone()
    return sparse, dense


def run(
    steps: Sequence[Sequence[int]], *, beta1: float = 0.9, decay: float = 0.1
) -> tuple[nn.Embedding, LazyAdamW, nn.Embedding, torch.optim.AdamW]:
    """Gives both tables the same gradients, on the rows of each step, at a rate that changes."""
    sparse, dense = tables()
    options = {"lr": 0.1, "betas": (beta1, 0.99), "eps": 1e-3, "weight_decay": decay}
    ours = LazyAdamW(sparse.parameters(), **options)
    theirs = torch.optim.AdamW(dense.parameters(), **options)
    generator = torch.Generator().manual_seed(1)
    for number, rows in enumerate(steps):
        # Of inputs alone, so that the tables get the same gradients wherever they stand.
        factors = torch.randn(len(rows), 3, generator=generator, dtype=torch.float64)
        for table, optimizer in ((sparse, ours), (dense, theirs)):
            optimizer.param_groups[0]["lr"] = 0.1 / (1 + number)
            optimizer.zero_grad()
            (table(torch.tensor(rows)) * factors).sum().backward()
            optimizer.step()
    return sparse, ours, dense, theirs


SPARSE_STEPS = [[0, 1, 1], [2], [0, 3], [2], [1], [0, 0, 3], [3]]


def test_rows_that_every_step_touches_get_the_numbers_of_dense_adamw() -> None:
    every = [[*range(ROWS), 2, 4] for _ in range(8)]
    sparse, _, dense, _ = run(every)
    torch.testing.assert_close(sparse.weight, dense.weight, rtol=1e-12, atol=1e-12)


def test_moments_of_rows_with_gaps_are_those_of_dense_adamw_at_each_touch() -> None:
    sparse, ours, dense, theirs = run(SPARSE_STEPS)
    state, expected = ours.state[sparse.weight], theirs.state[dense.weight]
    # The last step touched row 3 alone; the others are caught up when their turn comes.
    for name in ("exp_avg", "exp_avg_sq"):
        torch.testing.assert_close(state[f"{name}_VH"][3], expected[name][3], rtol=1e-12, atol=0)


def test_without_momentum_rows_with_gaps_equal_dense_adamw_decay_and_all_once_settled() -> None:
    # With beta1 = 0 dense AdamW does nothing but decay a row that has no gradient.
    sparse, ours, dense, _ = run(SPARSE_STEPS, beta1=0.0)
    assert not torch.allclose(sparse.weight, dense.weight, atol=1e-6)
    ours.settle()
    torch.testing.assert_close(sparse.weight, dense.weight, rtol=1e-12, atol=1e-12)
    settled = sparse.weight.detach().clone()
    ours.settle()
    assert torch.equal(sparse.weight, settled)


def test_with_momentum_a_row_stands_still_until_it_is_touched_and_dense_adamw_moves_on() -> None:
    short, _, dense_short, _ = run([[0], [1]], decay=0.0)
    long, _, dense_long, _ = run([[0], [1], [1], [1]], decay=0.0)
    assert torch.equal(short.weight[0], long.weight[0])
    assert not torch.equal(dense_short.weight[0], dense_long.weight[0])


def test_rows_that_no_step_touches_are_left_alone_and_decayed_once_settled() -> None:
    sparse, ours, dense, _ = run(SPARSE_STEPS)
    start, _ = tables()
    assert torch.equal(sparse.weight[4], start.weight[4])
    ours.settle()
    torch.testing.assert_close(sparse.weight[4], dense.weight[4], rtol=1e-12, atol=0)


def test_many_small_decays_add_up_in_float32() -> None:
    table = nn.Embedding(2, 1, sparse=True)
    optimizer = LazyAdamW(table.parameters(), lr=0.5, weight_decay=0.5)
    start = table.weight[1].item()
    table.weight.grad = torch.sparse_coo_tensor([[0]], [[1.0]], (2, 1), check_invariants=True)
    # 12 log(0.75) is -3.45: float32 steps by 2.4e-7 there, and each later decay is 1e-7.
    for lr in [0.5] * 12 + [2e-7] * 2000:
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
    optimizer.settle()
    assert table.weight[1].item() / start == pytest.approx(0.75**12 * (1 - 1e-7) ** 2000, rel=2e-5)


def test_a_checkpoint_from_before_the_rest_was_kept_goes_on() -> None:
    sparse, ours, _, _ = run(SPARSE_STEPS)
    again, _, _, _ = run([])
    optimizer = LazyAdamW(again.parameters(), lr=0.1, weight_decay=0.1)
    tensors = {name: t.clone() for name, t in optimizer_tensors(ours, "o").items()}
    del tensors["o.0.log_decay_rest"]
    load_optimizer_tensors(optimizer, tensors, "o")
    again.load_state_dict(sparse.state_dict())
    for table, updater in ((sparse, ours), (again, optimizer)):
        updater.param_groups[0]["lr"] = 0.1
        table.weight.grad = torch.sparse_coo_tensor(
            [[1]], torch.ones(1, 3).double(), (ROWS, 3), check_invariants=True
        )
        updater.param_groups[0] |= {"betas": (0.9, 0.99), "eps": 1e-3}
        updater.step()
    assert torch.equal(again.weight, sparse.weight)


def test_what_is_loaded_goes_on_in_the_same_bits(tmp_path: Path) -> None:
    def build() -> tuple[nn.Embedding, LazyAdamW]:
        torch.manual_seed(0)
        table = nn.Embedding(ROWS, 3, sparse=True)
        return table, LazyAdamW(table.parameters(), lr=0.1, weight_decay=0.1)

    def update(table: nn.Embedding, optimizer: LazyAdamW, rows: Sequence[int]) -> None:
        optimizer.zero_grad()
        table(torch.tensor(rows)).square().sum().backward()
        optimizer.step()

    straight, straight_optimizer = build()
    stopped, stopped_optimizer = build()
    for rows in SPARSE_STEPS[:4]:
        update(straight, straight_optimizer, rows)
        update(stopped, stopped_optimizer, rows)
    resumed, resumed_optimizer = build()
    resumed.load_state_dict(stopped.state_dict())
    load_optimizer_tensors(resumed_optimizer, optimizer_tensors(stopped_optimizer, "o"), "o")
    for rows in SPARSE_STEPS[4:]:
        update(straight, straight_optimizer, rows)
        update(resumed, resumed_optimizer, rows)
    straight_optimizer.settle()
    resumed_optimizer.settle()
    assert torch.equal(resumed.weight, straight.weight)


def test_dense_gradients_are_refused() -> None:
    table = nn.Embedding(3, 2)
    table(torch.tensor([0])).sum().backward()
    with pytest.raises(ValueError, match="sparse"):
        LazyAdamW(table.parameters(), lr=0.1).step()


def test_a_decay_of_more_than_the_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="not below 1"):
        LazyAdamW(nn.Embedding(3, 2, sparse=True).parameters(), lr=0.5, weight_decay=2.0)
