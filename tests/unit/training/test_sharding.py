"""Weights cut over processes: the gradients, norms and moments of a model that is whole."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.training_data import tiny_bert
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from labse.network.bert import Bert
from labse.training.checkpoint import load_optimizer_tensors, optimizer_tensors
from labse.training.distributed import SINGLE, Processes, join_processes
from labse.training.optimizer import build_optimizers, clip_gradients
from labse.training.sharding import (
    gather_tensor,
    is_sharded,
    load_state,
    part_like,
    shard,
    whole_copy,
    whole_state,
)

SIZES = (2, 3)  # Three does not divide any width of the model.
TABLE = "embeddings.word.weight"


def build(*, is_sparse: bool) -> Bert:
    torch.manual_seed(0)
    dropouts = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = tiny_bert(vocab_size=20, intermediate_size=10, initializer_range=0.5, **dropouts)
    return Bert(config, sparse_embeddings=is_sparse).double()


def optimizers_of(model: nn.Module) -> list[torch.optim.Optimizer]:
    return build_optimizers(model, lr=0.01, embedding_lr=0.1, weight_decay=0.1, eps=1e-8)


def take_steps(
    model: Bert, optimizers: list[torch.optim.Optimizer], processes: Processes, steps: range
) -> list[float]:
    """Makes updates on sentences of which each process has some; returns the gradients' norms."""
    norms = []
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        ids = torch.randint(1, 20, (6, 5), generator=generator)[processes.part(6)]
        for half in ids.chunk(2):  # Gradients add up over backward passes.
            model(half).last_hidden_state.square().sum(-1).sin().sum().backward()
        processes.sum_gradients(model.parameters())
        norms.append(clip_gradients(model.parameters(), 1.0, processes))
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    return norms


def state_of(model: Bert, optimizers: list, processes: Processes = SINGLE) -> dict[str, Tensor]:
    tensors = whole_state(model, processes)
    for number, optimizer in enumerate(optimizers):
        tensors |= optimizer_tensors(optimizer, f"optimizer{number}", processes)
    return tensors


def run(processes: Processes, *, is_sparse: bool) -> dict[str, Tensor]:
    """Returns weights and moments after three steps, the last one after a restart."""
    model = build(is_sparse=is_sparse)
    if processes.size > 1:
        shard(model, model.layers, processes)
    optimizers = optimizers_of(model)
    norms = take_steps(model, optimizers, processes, range(2))
    tensors = state_of(model, optimizers, processes)

    if processes.size > 1:
        assert is_sharded(model)
        for name, parameter in model.named_parameters():
            is_whole = is_sparse and name == TABLE
            assert isinstance(parameter, DTensor) is not is_whole
            weight = parameter.detach()
            assert torch.equal(local(part_like(gather_full(weight), weight)), local(weight))
        copy = whole_copy(model, lambda: build(is_sparse=is_sparse), processes)
        bias = gather_tensor(model.layers[0].feed_forward.output.bias, processes)
        assert len(bias) == (8 if processes.is_main else 0)
        if processes.is_main:
            assert not is_sharded(copy)
            assert all(torch.equal(t, tensors[name]) for name, t in copy.state_dict().items())
        else:
            assert copy is model

    tensors = {name: everywhere(tensor) for name, tensor in tensors.items()}
    again = build(is_sparse=is_sparse)
    if processes.size > 1:
        shard(again, again.layers, processes)
    new = optimizers_of(again)
    load_state(again, {name: t for name, t in tensors.items() if not name.startswith("optimizer")})
    for number, optimizer in enumerate(new):
        load_optimizer_tensors(optimizer, tensors, f"optimizer{number}")
    norms += take_steps(again, new, processes, range(2, 3))
    return state_of(again, new, processes) | {"norms": torch.tensor(norms)}


def gather_full(weight: Tensor) -> Tensor:
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def local(weight: Tensor) -> Tensor:
    return weight.to_local() if isinstance(weight, DTensor) else weight


def everywhere(tensor: Tensor) -> Tensor:
    """Returns the main process's tensor on all, as a file that all read would give it."""
    if not torch.distributed.is_initialized():
        return tensor
    found: list[object] = [tensor]
    torch.distributed.broadcast_object_list(found, 0)
    assert isinstance(found[0], Tensor)
    return found[0]


def work(out: Path) -> None:
    with join_processes() as processes:
        for kind in ("dense", "sparse"):
            found = run(processes, is_sparse=kind == "sparse")
            if processes.is_main:
                save_file(found, out / f"{kind}.safetensors")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_cut_model_trains_and_resumes_as_a_whole_one(worlds: Path, kind: str, size: int) -> None:
    found = load_file(worlds / str(size) / f"{kind}.safetensors")
    expected = run(SINGLE, is_sparse=kind == "sparse")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        # AdamW divides by the root of the second moment, which lifts the rounding of float64.
        torch.testing.assert_close(
            found[name], tensor, rtol=1e-7, atol=1e-8, msg=lambda m, n=name: f"{n}: {m}"
        )
    assert expected["norms"].min() > 1  # So that clipping acts.


def test_what_is_whole_is_left_as_it_is() -> None:
    model = build(is_sparse=False)
    assert not is_sharded(model)
    assert whole_copy(model, lambda: build(is_sparse=False), SINGLE) is model
    weight = model.layers[0].feed_forward.output.weight
    assert gather_tensor(weight) is weight
    assert part_like(weight, weight) is weight
