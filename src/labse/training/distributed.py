"""Several processes as one run: the part of a batch that each has, what they gather and add up.

Takes: torchrun's environment. Gives: `Processes`. Source: torch.distributed, by gloo and NCCL.

A step equals that of one process with the whole batch. Each process computes on its part; vectors
that every loss needs are gathered with their gradients (`gather_rows`), and the gradients of the
weights are added up once a step (`sum_gradients`). This is not DistributedDataParallel, for three
reasons: a step runs many backward passes, and only their sum need travel; a word table's gradient
is row-sparse, which NCCL does not reduce; and DDP divides by the number of processes, while the
losses here are sums of parts. What is given up is sending a gradient while the next is computed.

Dimensions: N rows of a process, M rows of all, D columns, U rows of a sparse gradient.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from labse.errors import InterruptedRunError, LabseError, ResourceError, UsageError
from labse.training.presence import Presence

__all__ = ["SINGLE", "Processes", "check_shared", "join_processes"]

T = TypeVar("T")
# `Presence` notices a dead process within seconds; a slow one, or one that prepares data, has time.
_TIMEOUT = timedelta(days=7)
_BUCKET_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a run, as one of them sees them; with one, each method does nothing.

    All processes call the same methods in the same order.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def part(self, num_items: int) -> slice:
        """Returns the part of a batch that this process has; all parts have one size.

        Raises:
            UsageError: the batch cannot be divided so.
        """
        if num_items % self.size:
            raise UsageError(
                f"train.global_batch_size {num_items} does not divide among {self.size} processes; "
                "change it or their number"
            )
        width = num_items // self.size
        return slice(self.rank * width, (self.rank + 1) * width)

    # ---- Waiting and agreeing ----

    def wait(self) -> None:
        """Returns when all processes have called it."""
        if self.size > 1:
            self.add([0.0])

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Lets the main process through the block before the others enter it."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()

    @contextmanager
    def main_holds(self, resource: AbstractContextManager[object]) -> Iterator[None]:
        """Enters a context on the main process; the others go on when it has."""
        with resource if self.is_main else nullcontext():
            self.wait()
            yield

    def add(self, numbers: Sequence[float]) -> list[float]:
        """Returns the sum over processes of each number, in float64."""
        if self.size == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()

    def any(self, is_so: bool) -> bool:
        """Says whether it is so on at least one process."""
        return self.add([float(is_so)])[0] > 0

    def from_main(self, value: T | None) -> T:
        """Returns the value of the main process, which JSON can hold; others give None."""
        if self.size == 1:
            return cast(T, value)
        text = bytearray(json.dumps(value).encode()) if self.is_main else bytearray()
        length = torch.tensor([len(text)])
        dist.broadcast(length, 0)
        content = torch.zeros(int(length), dtype=torch.uint8)
        if self.is_main:
            content.copy_(torch.frombuffer(text, dtype=torch.uint8))
        dist.broadcast(content, 0)
        return cast(T, json.loads(bytes(content.tolist())))

    def check_alike(self, what: str, number: int) -> None:
        """Compares a number over all processes, such as one that each reads from the disk.

        Raises:
            LabseError: it differs.
        """
        numbers = self.add([float(number * (rank == self.rank)) for rank in range(self.size)])
        if len(set(numbers)) > 1:
            raise LabseError(
                f"the processes see different files ({what} by rank: "
                f"{', '.join(f'{n:.0f}' for n in numbers)}); --out must be on a file system that "
                "all of them share"
            )

    def seed_apart(self, seed: int) -> None:
        """Gives each process but the main one random numbers of its own, for its dropout."""
        if not self.is_main:
            state = np.random.SeedSequence([seed, self.rank]).generate_state(1, np.uint64)
            torch.manual_seed(int(state[0] >> np.uint64(1)))

    # ---- Tensors ----

    def gather_rows(self, rows_ND: Tensor) -> Tensor:
        """Returns the rows (M, D) of all processes in the order of ranks; N may differ.

        Backward gives each process the sum over processes of the gradients of its rows, which is
        the gradient of the sum of their losses. Gathering without a graph would leave out the
        gradients of the losses on other processes.
        """
        if self.size == 1:
            return rows_ND
        gathered: Tensor = _GatherRows.apply(rows_ND, self)  # type: ignore[no-untyped-call]
        return gathered

    @torch.no_grad()
    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Adds up the gradients of all processes, of which each then has the sum.

        Dense ones travel in buckets of 64 MiB, row-sparse ones as the rows that they have. Those
        of sharded weights are summed already (`labse.training.sharding`).
        """
        if self.size == 1:
            return
        dense: list[Tensor] = []
        for parameter in parameters:
            gradient = parameter.grad
            if gradient is None or hasattr(gradient, "to_local"):
                continue
            if gradient.is_sparse:
                parameter.grad = self._sum_sparse(gradient)
            else:
                dense.append(gradient)
        for bucket in _buckets(dense):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            dist.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

    @torch.no_grad()
    def copy_from_main(self, model: nn.Module) -> None:
        """Makes the weights of all processes those of the main one, bit by bit."""
        if self.size > 1:
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, 0)

    def _sum_sparse(self, gradient: Tensor) -> Tensor:
        gradient = gradient.coalesce()
        rows_U1 = self._gather(gradient.indices().T)[0]
        values_UD = self._gather(gradient.values())[0]
        return torch.sparse_coo_tensor(
            rows_U1.T, values_UD, gradient.shape, check_invariants=False
        ).coalesce()

    def _gather(self, rows_ND: Tensor) -> tuple[Tensor, slice]:
        """Returns the rows of all, and where among them this process's are."""
        lengths = [0.0] * self.size
        lengths[self.rank] = len(rows_ND)
        sizes = [int(length) for length in self.add(lengths)]
        padded = rows_ND.new_zeros((max(sizes), *rows_ND.shape[1:]))
        padded[: len(rows_ND)] = rows_ND
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        first = sum(sizes[: self.rank])
        gathered = torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
        return gathered, slice(first, first + len(rows_ND))


SINGLE = Processes()


@contextmanager
def join_processes() -> Iterator[Processes]:
    """Joins the other processes that torchrun has started, for the block; without it, is alone.

    A process that dies or fails ends the others within seconds, each with an InterruptedRunError
    that names it (`labse.training.presence`).

    Raises:
        UsageError: the environment is not torchrun's.
        ResourceError: the node has fewer GPUs than processes.
        InterruptedRunError: another process died or failed.
    """
    size = _number("WORLD_SIZE", 1)
    if size == 1:
        yield SINGLE
        return
    rank = _number("RANK")
    if torch.cuda.is_available():
        _take_gpu(_number("LOCAL_RANK"))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=_TIMEOUT, rank=rank, world_size=size)
    try:
        processes = Processes(rank, size)
        with Presence.join(rank, size, processes.from_main) as presence:
            try:
                yield processes
            except RuntimeError as error:  # Perhaps of a collective that has lost a process.
                if loss := presence.wait_for_loss():
                    raise InterruptedRunError(loss) from error
                raise
    finally:
        dist.destroy_process_group()


def check_shared(file: Path) -> None:
    """Checks that a file which the main process has written is there for this one too.

    Raises:
        LabseError: it is not; the folder of the run is not shared.
    """
    if not file.is_file():
        raise LabseError(
            f"{file} is not there for process {os.environ.get('RANK')}; --out must be on a file "
            "system that all processes share"
        )


def _number(name: str, default: int | None = None) -> int:
    value = os.environ.get(name, "" if default is None else str(default))
    if not value.isdecimal():
        raise UsageError(f"{name} is {value!r} in the environment; start the processes by torchrun")
    return int(value)


def _take_gpu(local_rank: int) -> None:
    num_gpus = torch.cuda.device_count()
    if local_rank >= num_gpus:
        raise ResourceError(
            f"process {local_rank} of this node has no GPU, there are {num_gpus}; "
            "lower --nproc-per-node"
        )
    torch.cuda.set_device(local_rank)


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Puts tensors of a type together, up to some size."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        num_bytes = sum(other.nbytes for other in bucket) + tensor.nbytes
        if bucket and (num_bytes > _BUCKET_BYTES or bucket[0].dtype != tensor.dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows_ND: Tensor, processes: Processes) -> Tensor:  # noqa: ANN401
        gathered_MD, ctx.own = processes._gather(rows_ND.contiguous())
        return gathered_MD

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        gradient_MD = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient_MD)
        return gradient_MD[ctx.own], None
