"""What mining would take on a cluster: a small simulation of its tasks.

Takes: the sizes of two sides, seconds measured on one machine, and a cluster. Gives: hours, disk,
memory and money.
Source: the tasks are those of `labse.search.grid`; each goes to the processor or GPU that is free
first, and the next stage waits for the last one, as in `run_tasks`.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from labse.search.grid import Grid, plan_grid

__all__ = [
    "PROGRAM_BYTES",
    "ClusterPlan",
    "ClusterSize",
    "PlannedStage",
    "Rates",
    "cell_bytes",
    "plan_on_cluster",
    "simulate_tasks",
    "tell_time",
]

PROGRAM_BYTES = 400 << 20  # Of a process: seen with torch loaded; 150 MiB without.
_LINE_BYTES = 140  # In the process of the user: numbers of lines, means, the best pair of a row.
_TASK_SECONDS = 0.05  # To hand one out and to write its mark.
_ENCODED_LINES = 100_000  # Of a task that embeds.


@dataclass(frozen=True, slots=True)
class ClusterSize:
    """Machines like this one.

    Attributes:
        num_nodes: machines.
        num_cpus: processors of each.
        num_gpus: GPUs of all together.
        gpu_tflops: what each reaches, 10^12 operations a second.
        node_price: of one machine for an hour, in any currency; None: not known.
    """

    num_nodes: int
    num_cpus: int
    num_gpus: int = 0
    gpu_tflops: float = 400.0  # 40 % of the peak of an H100 in bfloat16, by its data sheet.
    node_price: float | None = None

    def __post_init__(self) -> None:
        """Refuses a cluster that cannot be.

        Raises:
            ValueError: a number that is below 1, or a price or speed below 0.
        """
        if min(self.num_nodes, self.num_cpus) < 1 or min(self.num_gpus, self.node_price or 0) < 0:
            raise ValueError("a cluster has at least one node, and no price below 0")


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds of one processor, measured.

    Attributes:
        encode: to embed a line; 0 where the vectors are there.
        product: to multiply two rows and to look at the result.
        merge: to merge a neighbour that one shard has found.
        line: of the process of the user, for a line: to read it and to write its pair.
        encode_flops: operations to embed a line; 0 for a model without layers, and with vectors.
    """

    encode: float
    product: float
    merge: float
    line: float
    encode_flops: float = 0.0


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """Tasks that do not wait for one another.

    Attributes:
        name: of the stage.
        num_tasks: how many there are.
        num_slots: how many run at a time.
        task_seconds: of the longest one.
        seconds: until the last one ends.
    """

    name: str
    num_tasks: int
    num_slots: int
    task_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """What it would take.

    Attributes:
        stages: one after the other.
        disk_bytes: on the shared folder, at most.
        node_memory_bytes: of a machine that is busy with tasks.
        driver_memory_bytes: of the process of the user.
        money: in the currency of the price; None where there is none.
    """

    stages: tuple[PlannedStage, ...]
    disk_bytes: int
    node_memory_bytes: int
    driver_memory_bytes: int
    money: float | None

    @property
    def seconds(self) -> float:
        """Returns the time of all stages."""
        return sum(stage.seconds for stage in self.stages)

    def describe(self) -> dict[str, str]:
        """Returns what a person reads, by its name."""
        told = {
            stage.name: f"{tell_time(stage.seconds)}: {stage.num_tasks:,} "
            f"task{'s' * (stage.num_tasks > 1)} of {tell_time(stage.task_seconds)} at most, "
            f"{stage.num_slots:,} at a time"
            for stage in self.stages
        }
        memory = self.node_memory_bytes, self.driver_memory_bytes
        told |= {
            "time": tell_time(self.seconds),
            "memory": "{:.1f} GiB a node, {:.1f} GiB where the command runs".format(
                *(size / 2**30 for size in memory)
            ),
            "disk": f"{self.disk_bytes / 2**30:,.1f} GiB in --work, which all nodes share",
        }
        return told if self.money is None else told | {"money": f"{self.money:,.2f}"}


def plan_on_cluster(
    num_lines: tuple[int, int],
    num_dimensions: int,
    k: int,
    rates: Rates,
    cluster: ClusterSize,
    *,
    memory_bytes: int = 1 << 30,
    text_bytes: int = 0,
) -> ClusterPlan:
    """Simulates an exact search of both sides on a cluster.

    Args:
        num_lines: of source and target.
        num_dimensions: of a vector.
        k: neighbours of a line.
        rates: seconds of one processor or GPU.
        cluster: the machines.
        memory_bytes: of a task, beside the program.
        text_bytes: of both sides; 0 where there are only vectors.
    """
    cpus = cluster.num_nodes * cluster.num_cpus
    grid = plan_grid(*num_lines, k, memory_bytes)
    cells = [(b - a) * (d - c) for (a, b), (c, d) in product(grid.source, grid.target)]
    searchers, per_product = cpus, rates.product
    encoders, per_line = cpus, rates.encode
    if cluster.num_gpus:
        flops = cluster.gpu_tflops * 1e12
        searchers, per_product = cluster.num_gpus, 2 * num_dimensions / flops
        if rates.encode_flops:
            encoders, per_line = cluster.num_gpus, rates.encode_flops / flops
    total = sum(num_lines)
    encoded = [_ENCODED_LINES] * (total // _ENCODED_LINES) + [total % _ENCODED_LINES]

    stages = [
        _plan_stage("embed", (per_line * lines for lines in encoded), encoders),
        _plan_stage("lines and pairs", [rates.line * total], 1),
        _plan_stage("search", (per_product * cell for cell in cells), searchers),
        _plan_stage("merge", _merge_seconds(grid, k, rates), cpus),
    ]
    stages = [stage for stage in stages if stage.task_seconds]
    seconds = sum(stage.seconds for stage in stages)
    tasks = min(cluster.num_cpus, len(cells))
    price = cluster.node_price
    return ClusterPlan(
        stages=tuple(stages),
        disk_bytes=text_bytes + total * (4 * num_dimensions + 24 * k) + cell_bytes(grid, k),
        node_memory_bytes=tasks * (PROGRAM_BYTES + memory_bytes),
        driver_memory_bytes=PROGRAM_BYTES + total * _LINE_BYTES,
        money=None if price is None else price * cluster.num_nodes * seconds / 3600,
    )


def cell_bytes(grid: Grid, k: int) -> int:
    """Returns the size of all files that `search_cell` writes."""
    num_source, num_target = grid.source[-1][1], grid.target[-1][1]
    return 8 * k * (num_source * len(grid.target) + num_target * len(grid.source))


def simulate_tasks(seconds: Iterable[float], num_slots: int) -> float:
    """Returns when the last of some tasks ends, each begun where a slot is free first."""
    slots = [0.0] * num_slots
    for duration in seconds:
        heapq.heapreplace(slots, slots[0] + duration)
    return max(slots)


def _plan_stage(name: str, seconds: Iterable[float], num_slots: int) -> PlannedStage:
    durations = [duration for duration in seconds if duration > 0]
    told = [duration + _TASK_SECONDS for duration in durations]
    last = simulate_tasks(told, num_slots)
    # One process hands all of them out.
    last = max(last, _TASK_SECONDS * len(told) if len(told) > num_slots else 0.0)
    slots = min(num_slots, len(told))
    return PlannedStage(name, len(told), slots, max(durations, default=0.0), last)


def _merge_seconds(grid: Grid, k: int, rates: Rates) -> list[float]:
    sides = (grid.source, grid.target), (grid.target, grid.source)
    return [
        rates.merge * (stop - start) * k * len(others)
        for own, others in sides
        for start, stop in own
    ]


def tell_time(seconds: float) -> str:
    """Returns a time as a person says it."""
    for limit, unit, told in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {told}" if seconds >= 1 else f"{seconds:.1g} s"
    return f"{seconds / 86_400:,.0f} days"
