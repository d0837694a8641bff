import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from labse.training.checkpoint import load_optimizer_tensors, optimizer_tensors
from labse.training.eager import AdamW
from labse.training.lazy_adamw import LazyAdamW
from labse.training.optimizer import (
    Lamb,
    RowwiseAdagrad,
    build_optimizers,
    clip_gradients,
    linear_schedule,
    set_lr_share,
    settle,
)


def test_rowwise_adagrad_follows_its_formula_on_touched_rows_only() -> None:
    table = nn.Embedding(4, 2, sparse=True)
    before = table.weight.detach().clone()
    optimizer = RowwiseAdagrad(table.parameters(), lr=0.5, eps=0.0)
    # Row 1 twice: its gradient is (2, 2) * 3; row 3 once: (1, 1) * 3.
    (table(torch.tensor([1, 1, 3])).sum() * 3).backward()
    optimizer.step()
    # Mean squares are 36 and 9, so both rows move by lr * g / sqrt(G) = 0.5.
    assert torch.equal(table.weight[[0, 2]], before[[0, 2]])
    assert torch.allclose(table.weight[[1, 3]], before[[1, 3]] - 0.5)

    optimizer.zero_grad()
    table(torch.tensor([3])).sum().backward()
    optimizer.step()
    # G of row 3 is now 9 + 1.
    assert torch.allclose(table.weight[3], before[3] - 0.5 - 0.5 / 10**0.5)


def test_rowwise_adagrad_equals_a_dense_one_when_rows_have_one_column() -> None:
    # With H = 1 the row-wise accumulator is the element-wise one of torch.optim.Adagrad.
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(6, 1, generator=generator)
    sparse, dense = nn.Embedding(6, 1, sparse=True), nn.Embedding(6, 1)
    sparse.weight.data, dense.weight.data = start.clone(), start.clone()
    ours = RowwiseAdagrad(sparse.parameters(), lr=0.1, eps=1e-10)
    theirs = torch.optim.Adagrad(dense.parameters(), lr=0.1, eps=1e-10)
    for _ in range(5):
        ids = torch.randint(6, (8,), generator=generator)
        for table, optimizer in ((sparse, ours), (dense, theirs)):
            optimizer.zero_grad()
            table(ids).square().sum().backward()
            optimizer.step()
    assert torch.allclose(sparse.weight, dense.weight, atol=1e-6)


def test_rowwise_adagrad_refuses_dense_gradients() -> None:
    table = nn.Embedding(3, 2)
    table(torch.tensor([0])).sum().backward()
    with pytest.raises(ValueError, match="sparse"):
        RowwiseAdagrad(table.parameters(), lr=0.1).step()


def test_adamw_is_that_of_torch() -> None:
    weights = []
    for make in (AdamW, torch.optim.AdamW):
        weight = nn.Parameter(torch.arange(6.0).reshape(2, 3))
        optimizer = make([weight], lr=0.1, weight_decay=0.1, fused=True)
        for _ in range(3):
            optimizer.zero_grad()
            weight.square().sum().backward()
            optimizer.step()
        weights.append(weight.detach())
    assert torch.equal(*weights)


def test_training_starts_without_the_compiler_of_torch() -> None:
    code = """
import sys, torch, labse.encoder.trained
from labse.training.optimizer import *
for name in ("adagrad", "adamw"):
    model = torch.nn.Sequential(torch.nn.Embedding(2, 2, sparse=True), torch.nn.Linear(2, 2))
    options = dict(lr=0.1, embedding_lr=0.1, weight_decay=0.1, eps=1e-6)
    for optimizer in build_optimizers(model, embedding_optimizer=name, **options):
        optimizer.zero_grad()
        model(torch.tensor([1])).sum().backward()
        clip_gradients(model.parameters(), 1.0)
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
print({"torch._dynamo", "torch.distributed.tensor", "sympy"} & {*sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_biases_and_layer_norms_are_not_decayed() -> None:
    model = nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Linear(3, 3), nn.LayerNorm(3))
    adamw, adagrad = build_optimizers(model, lr=0.1, embedding_lr=0.2, weight_decay=0.5, eps=1e-8)
    decay = {len(p.shape): g["weight_decay"] for g in adamw.param_groups for p in g["params"]}
    assert decay == {2: 0.5, 1: 0.0}
    assert [p.shape for g in adagrad.param_groups for p in g["params"]] == [(5, 3)]


def test_tables_go_to_adamw_on_request_with_the_decay_and_eps_of_the_rest() -> None:
    model = nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Linear(3, 3))
    options = {"lr": 0.1, "embedding_lr": 0.2, "weight_decay": 0.5, "eps": 1e-5}
    _, lazy = build_optimizers(model, **options, embedding_optimizer="adamw")
    assert isinstance(lazy, LazyAdamW)
    (group,) = lazy.param_groups
    assert (group["lr"], group["weight_decay"], group["eps"]) == (0.2, 0.5, 1e-5)
    assert [p.shape for p in group["params"]] == [(5, 3)]


def test_settling_brings_rows_that_were_never_touched_to_the_decay_of_all_steps() -> None:
    model = nn.Embedding(5, 3, sparse=True)
    options = {"lr": 0.1, "embedding_lr": 0.2, "weight_decay": 0.5, "eps": 1e-5}
    optimizers = build_optimizers(model, **options, embedding_optimizer="adamw")
    before = model.weight[4].detach().clone()
    for _ in range(2):
        model(torch.tensor([1])).sum().backward()
        optimizers[1].step()
    settle(optimizers)
    torch.testing.assert_close(model.weight[4], before * (1 - 0.2 * 0.5) ** 2)


def test_frozen_weights_are_left_out() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    (adamw,) = build_optimizers(model, lr=0.1, embedding_lr=0.2, weight_decay=0.0, eps=1e-8)
    assert sum(len(group["params"]) for group in adamw.param_groups) == 1


def test_lr_share_scales_the_rate_each_optimizer_was_built_with() -> None:
    model = nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Linear(3, 3))
    optimizers = build_optimizers(model, lr=0.1, embedding_lr=0.4, weight_decay=0.0, eps=1e-8)
    set_lr_share(optimizers, 0.5)
    set_lr_share(optimizers, 0.25)
    rates = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    assert rates == pytest.approx([0.025, 0.025, 0.1])


@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clipping_treats_sparse_gradients_as_the_dense_ones_they_stand_for(max_norm: float) -> None:
    grads = []
    for is_sparse in (True, False):
        torch.manual_seed(0)
        table, linear = nn.Embedding(6, 4, sparse=is_sparse), nn.Linear(4, 3)
        linear(table(torch.tensor([1, 2, 2, 5]))).square().sum().backward()
        parameters = [*table.parameters(), *linear.parameters()]
        if is_sparse:
            norm = clip_gradients(parameters, max_norm)
        else:
            norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm).item()
        grads.append((norm, [p.grad.to_dense() for p in parameters]))
    (ours, our_grads), (theirs, their_grads) = grads
    assert ours == pytest.approx(theirs, rel=1e-5)
    for our, their in zip(our_grads, their_grads, strict=True):
        assert torch.allclose(our, their, rtol=1e-5)


def test_two_steps_equal_the_formula_written_out() -> None:
    weight = torch.tensor([[3.0, 4.0]], dtype=torch.float64, requires_grad=True)
    optimizer = Lamb([{"params": [weight], "weight_decay": 0.1}], lr=0.01, eps=1e-6)
    expected, m, v = np.array([3.0, 4.0]), np.zeros(2), np.zeros(2)
    for step, gradient in enumerate((np.array([1.0, -2.0]), np.array([0.5, 0.25])), start=1):
        weight.grad = torch.from_numpy(gradient)[None]
        optimizer.step()
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        r = m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.999**step)) + 1e-6) + 0.1 * expected
        expected = expected - 0.01 * math.hypot(*expected) / math.hypot(*r) * r
        np.testing.assert_allclose(weight.detach().numpy()[0], expected, rtol=1e-12)


def test_a_weight_of_zeros_moves_as_with_adam() -> None:
    weights = [torch.zeros(3, requires_grad=True) for _ in range(2)]
    for weight in weights:
        weight.grad = torch.tensor([1.0, -1.0, 0.5])
    Lamb([{"params": [weights[0]], "weight_decay": 0.0}], lr=0.1).step()
    torch.optim.Adam([weights[1]], lr=0.1, eps=1e-6).step()
    torch.testing.assert_close(weights[0], weights[1])


def test_its_state_goes_through_a_checkpoint() -> None:
    def build() -> tuple[torch.Tensor, Lamb]:
        weight = torch.ones(4, requires_grad=True)
        return weight, Lamb([{"params": [weight], "weight_decay": 0.0}], lr=0.1)

    straight, first = build()
    for step in range(4):
        straight.grad = torch.arange(4.0) - step
        first.step()
        if step == 1:
            resumed, second = build()
            resumed.data.copy_(straight.data)
            saved = {name: t.clone() for name, t in optimizer_tensors(first, "o").items()}
            load_optimizer_tensors(second, saved, "o")
    for step in (2, 3):
        resumed.grad = torch.arange(4.0) - step
        second.step()
    assert torch.equal(resumed, straight)


def test_rate_climbs_to_its_peak_and_falls_to_zero() -> None:
    rates = [linear_schedule(s, warmup_steps=4, train_steps=10) for s in range(11)]
    # min(1, (s + 1) / 4) * (1 - s / 10), by hand.
    assert rates == pytest.approx([0.25, 0.45, 0.6, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0])


def test_without_warmup_the_first_update_has_the_full_rate() -> None:
    assert linear_schedule(0, warmup_steps=0, train_steps=3) == 1.0


@given(step=st.integers(0, 999), warmup=st.integers(0, 2000))
def test_rate_is_never_negative_nor_above_the_peak(step: int, warmup: int) -> None:
    assert 0 < linear_schedule(step, warmup_steps=warmup, train_steps=1000) <= 1
