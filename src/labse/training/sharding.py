"""Weights, gradients and moments cut over processes: FSDP2, and back to whole tensors.

Takes: a model on several processes. Gives: the same model, of which each process holds a part.
Source: torch.distributed.fsdp.fully_shard; Zhao et al., arXiv 2304.11277.

Checkpoints hold whole tensors in safetensors, gathered one by one, and not the parts as
torch.distributed.checkpoint writes them: its metadata is a pickle, which can run code when it is
read, and a whole tensor needs no resharding to be read by another number of processes.

torch's modules for this take over a second to import, so a run that is not cut does without them.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeGuard, TypeVar, cast

import torch
from torch import Tensor, nn

from labse.training.distributed import SINGLE, Processes

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

__all__ = [
    "gather_tensor",
    "is_part",
    "is_sharded",
    "load_state",
    "part_like",
    "shard",
    "whole_copy",
    "whole_state",
]

M = TypeVar("M", bound=nn.Module)


def shard(model: nn.Module, layers: Iterable[nn.Module], processes: Processes) -> None:
    """Cuts the weights of `model` over the processes, in place.

    Each layer is gathered when it computes, forward and backward, and dropped after. The rest, the
    word table among it, is gathered for the whole pass; but a table with sparse gradients stays
    whole on each process, for a step touches few of its rows and its optimizer keeps little. A
    gradient is the sum over processes, as that of `Processes.sum_gradients`.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    device = next(model.parameters()).device.type
    mesh = init_device_mesh(device, (processes.size,))
    for layer in layers:
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    tables = {
        cast(nn.Parameter, module.weight)
        for module in model.modules()
        if isinstance(module, nn.Embedding) and module.sparse
    }
    fully_shard(model, mesh=mesh, reshard_after_forward=True, ignored_params=tables)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # Gloo can only add.


def is_sharded(model: nn.Module) -> bool:
    """Says whether `shard` has cut this model."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return fsdp is not None and isinstance(model, fsdp.FSDPModule)


def is_part(tensor: Tensor) -> "TypeGuard[DTensor]":
    """Says whether a tensor is one process's part of one that `shard` has cut."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def gather_tensor(tensor: Tensor, processes: Processes = SINGLE) -> Tensor:
    """Returns a whole tensor on the main process, on the CPU if it was cut; all call it together.

    The others get an empty tensor where it was cut, so that only one process needs the memory.
    """
    if not is_part(tensor):
        return tensor
    whole: Tensor = tensor.full_tensor()
    return whole.cpu() if processes.is_main else whole.new_empty(0)


def whole_state(model: nn.Module, processes: Processes = SINGLE) -> dict[str, Tensor]:
    """Returns the `state_dict` of a model in whole tensors; see `gather_tensor`."""
    state = model.state_dict()
    return {name: gather_tensor(tensor.detach(), processes) for name, tensor in state.items()}


def whole_copy(model: M, build: Callable[[], M], processes: Processes) -> M:
    """Returns a copy in whole tensors on the main process; all call it together.

    The others keep their model, and a model that is not cut is returned as it is.

    Args:
        build: function that makes a model of the same shape, whose weights are replaced.
        processes: processes that hold the parts.
    """
    if not is_sharded(model):
        return model
    weights = whole_state(model, processes)
    if not processes.is_main:
        return model
    with torch.random.fork_rng([]):
        copy = build()
    copy.load_state_dict(weights)
    return copy.to(next(model.parameters()).device)


def part_like(tensor: Tensor, other: Tensor) -> Tensor:
    """Returns this process's part of a whole tensor that all have, cut as `other` is."""
    if not is_part(other):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    # Without a source, each takes its part of what it has itself.
    return distribute_tensor(
        tensor.to(other.device), other.device_mesh, other.placements, src_data_rank=None
    )


@torch.no_grad()
def load_state(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Sets the weights from whole tensors, which all processes have."""
    now = model.state_dict()
    model.load_state_dict(
        {name: part_like(t, now[name]) if name in now else t for name, t in tensors.items()}
    )
