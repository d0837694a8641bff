"""What mining two files would take: time, memory and disk, from a sample of the work.

Takes: two files as `mine_files` does. Gives: an estimate, within seconds.
Source: 2,000 lines embedded and 4,096 rows multiplied here and now; memory as seen on Linux.
"""

import itertools
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.source import EncoderSource
from labse.errors import LabseError, UsageError
from labse.files.stage import open_stage
from labse.files.system import count_cpus
from labse.mining.bitext import MinedIndices, SearchOptions, choose_index, count_products
from labse.mining.cluster_plan import (
    PROGRAM_BYTES,
    ClusterPlan,
    ClusterSize,
    Rates,
    cell_bytes,
    plan_on_cluster,
    tell_time,
)
from labse.mining.mine_files import open_two_files
from labse.mining.mined_output import read_mined
from labse.mining.sides import EmbeddedSides, embed_side, load_needed_encoder
from labse.model_folder.layout import read_layout
from labse.search.grid import merge_neighbours, plan_grid
from labse.search.knn import EngineName, Neighbours, build_engine, mutual_neighbours
from labse.training.estimate import forward_flops

__all__ = ["MiningEstimate", "estimate_mining"]

_SAMPLE_LINES = 2000
_SAMPLE_ROWS = 4096
_LINE_BYTES = 60  # Numbers of lines and results of the search, k = 4.


@dataclass(frozen=True, slots=True)
class MiningEstimate:
    """What `mine_files` would take.

    Attributes:
        num_lines: of source and target, repeated ones counted.
        encode_seconds: to embed both.
        search_seconds: to search, by the index that is asked for.
        index: which that is.
        device: that searches.
        memory_bytes: of the program.
        disk_bytes: in the work folder or a temporary one.
        rates: seconds of one processor, for `plan_on_cluster`.
        num_dimensions: of a vector.
        text_bytes: of both files.
        k: neighbours of a line.
        task_bytes: memory of a task on a cluster.
    """

    num_lines: tuple[int, int]
    encode_seconds: float
    search_seconds: float
    index: str
    device: str
    memory_bytes: int
    disk_bytes: int
    rates: Rates
    num_dimensions: int
    text_bytes: int
    k: int
    task_bytes: int

    def plan(self, cluster: ClusterSize) -> ClusterPlan:
        """Returns what an exact search would take on a cluster of such machines."""
        return plan_on_cluster(
            self.num_lines,
            self.num_dimensions,
            self.k,
            self.rates,
            cluster,
            memory_bytes=self.task_bytes,
            text_bytes=self.text_bytes,
        )

    def describe(self) -> dict[str, str]:
        """Returns what a person reads, by its name."""
        sizes = "{:,} and {:,}".format(*self.num_lines)
        times = f"{tell_time(self.encode_seconds)} to embed, {tell_time(self.search_seconds)}"
        where = self.index if self.device == "cpu" else f"{self.index}, on {self.device}"
        disk = f"{self.disk_bytes / 2**30:.2f} GiB"
        return {
            "lines": f"{sizes}, repeated ones counted",
            "time": f"{times} to search ({where})",
            "memory": f"{self.memory_bytes / 2**30:.2f} GiB",
            "disk": f"{disk} in --work or the temporary folder, and the output",
        }


def estimate_mining(
    source: str | Path,
    target: str | Path,
    *,
    vectors: tuple[str | Path | None, str | Path | None] = (None, None),
    column: str | None = None,
    encoder: EncoderSource = None,
    k: int = 4,
    search: SearchOptions | None = None,
) -> MiningEstimate:
    """Reads both files, embeds 2,000 lines of each and multiplies 4,096 rows.

    Raises:
        UsageError: an input is standard input, which would be gone.
        ResourceError: the device of the search is not there.
    """
    search = search or SearchOptions()
    search.check_device()
    sides = open_two_files(source, target, vectors=vectors, column=column)
    if any(side.path == "-" for side in sides):
        raise UsageError("--dry-run reads the input, so it cannot be standard input (-)")
    loaded = load_needed_encoder(sides, encoder)

    # Count the lines of each side, and embed some.
    counts: list[int] = []
    samples: list[list[str]] = []
    encode_seconds, encode_flops, text_bytes, size = 0.0, 0.0, 0, 0
    for side in sides:
        sample = [line for line in itertools.islice(side.texts, _SAMPLE_LINES) if line.strip()]
        num_read = num_lines = max(len(sample), 1)
        num_bytes = sum(len(line.encode()) for line in sample)
        if side.vectors is not None:
            num_lines, size = side.vectors.shape
        else:
            num_lines = sum(1 for _ in side.texts)
            assert loaded is not None
            size = loaded.embedding_size
            encode_seconds += _time_encoding(loaded, sample) / num_read * num_lines
            encode_flops += _count_flops(loaded, sample) / num_read * num_lines
        counts.append(num_lines)
        samples.append(sample)
        text_bytes += num_bytes * num_lines // num_read

    # Multiply some rows, and add up what all would take.
    index = choose_index(search.index, *counts)
    num_products = count_products(search, *counts)
    vector_bytes = {"ivf-sq": size, "ivf-pq": 64}.get(index, 4 * size)
    ready = max(counts) * vector_bytes  # An index holds one side whole.
    if index == "exact":
        ready = min(search.memory_bytes, sum(counts) * vector_bytes)
    engine, device = _choose_engine(num_products, search.device if index == "exact" else "cpu")
    per_product = of_cpu = _time_product(size, k, engine, device)
    if device != "cpu":  # Machines of a cluster are counted by their processors.
        of_cpu = _time_product(size, k, *_choose_engine(num_products, "cpu"))
    cells = (
        cell_bytes(plan_grid(counts[0], counts[1], k, search.memory_bytes), k)
        if index == "exact"
        else 0
    )
    # Of one processor: what is measured here uses all of them.
    rates = Rates(
        encode=encode_seconds / sum(counts) * count_cpus(),
        product=of_cpu * count_cpus(),
        merge=_time_merge(k),
        line=_time_lines(samples, size),
        encode_flops=encode_flops / sum(counts),
    )
    return MiningEstimate(
        num_lines=(counts[0], counts[1]),
        encode_seconds=encode_seconds,
        search_seconds=per_product * num_products,
        index=index,
        device=device,
        memory_bytes=PROGRAM_BYTES + ready + sum(counts) * (_LINE_BYTES + 24 * k),
        disk_bytes=text_bytes + sum(counts) * (size * 4 + 24 * k) + cells,
        rates=rates,
        num_dimensions=size,
        text_bytes=text_bytes,
        k=k,
        task_bytes=search.memory_bytes,
    )


def _time_encoding(encoder: SentenceEncoder, sample: list[str]) -> float:
    started = time.perf_counter()
    encoder.encode(sample)
    return time.perf_counter() - started


def _count_flops(encoder: SentenceEncoder, sample: list[str]) -> float:
    """Returns the operations of the layers for some lines; 0 where no folder tells of layers."""
    if encoder.folder is None or not sample:
        return 0.0
    try:
        bert = read_layout(encoder.folder).config.bert
    except LabseError:  # A folder of transformers has no modules.
        return 0.0
    lengths = encoder.tokenize_windows(sample).lengths
    return forward_flops(bert, len(lengths), int(np.ceil(lengths.mean())))


def _time_lines(samples: list[list[str]], size: int) -> float:
    """Returns the seconds of a line beside its vector and its neighbours: read, kept, written."""
    generator = np.random.default_rng(0)
    rows = [generator.standard_normal((len(lines), size), dtype=np.float32) for lines in samples]
    if not all(map(len, rows)):
        return 0.0
    started = time.perf_counter()
    with open_stage(None, {}) as stage:
        source, target = (
            embed_side(name, lines, vectors, stage)
            for name, lines, vectors in zip(("source", "target"), samples, rows, strict=True)
        )
        order = np.arange(min(len(source.lines), len(target.lines)))
        mined = MinedIndices(order, order, np.zeros(len(order), np.float32))
        read_mined(mined, EmbeddedSides(source, target, stage), [])
    return (time.perf_counter() - started) / sum(map(len, samples))


def _time_merge(k: int) -> float:
    """Returns the seconds to merge a neighbour of one more shard."""
    similarities = np.random.default_rng(0).random((2, _SAMPLE_ROWS, k), dtype=np.float32)
    best, found = (Neighbours(np.zeros((_SAMPLE_ROWS, k), np.int64), s) for s in similarities)
    started = time.perf_counter()
    merge_neighbours(best, found, k)
    return (time.perf_counter() - started) / (_SAMPLE_ROWS * k)


def _choose_engine(num_products: int, device: str) -> tuple[EngineName, str]:
    """Returns what the whole search would multiply with, and where; the sample is small itself."""
    if build_engine("auto", num_products, device).name == "numpy":
        return "numpy", "cpu"
    from labse.search.torch_engine import choose_device

    return "torch", choose_device() if device == "auto" else device


def _time_product(size: int, k: int, engine: EngineName, device: str) -> float:
    """Returns the seconds of a product; the search of many rows is as fast or faster."""
    rows = np.random.default_rng(0).standard_normal((2, _SAMPLE_ROWS, size), dtype=np.float32)
    mutual_neighbours(rows[0][:64], rows[1][:64], k, engine=engine, device=device)
    started = time.perf_counter()
    mutual_neighbours(rows[0], rows[1], k, engine=engine, device=device)
    return (time.perf_counter() - started) / _SAMPLE_ROWS**2
