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
from labse.errors import UsageError
from labse.mining.bitext import SearchOptions, choose_index, count_products
from labse.mining.mine_files import open_two_files
from labse.mining.sides import load_needed_encoder
from labse.search.knn import EngineName, build_engine, mutual_neighbours

__all__ = ["MiningEstimate", "estimate_mining"]

_SAMPLE_LINES = 2000
_SAMPLE_ROWS = 4096
_PROGRAM_BYTES = 400 << 20  # Seen with torch loaded; 150 MiB without.
_LINE_BYTES = 60  # Numbers of lines and results of the search, k = 4.


@dataclass(frozen=True, slots=True)
class MiningEstimate:
    """What `mine_files` would take.

    Attributes:
        num_lines: of source and target, repeated ones counted.
        encode_seconds: to embed both.
        search_seconds: to search, by the index that is asked for.
        index: which that is.
        memory_bytes: of the program.
        disk_bytes: in the work folder or a temporary one.
    """

    num_lines: tuple[int, int]
    encode_seconds: float
    search_seconds: float
    index: str
    memory_bytes: int
    disk_bytes: int

    def describe(self) -> dict[str, str]:
        """Returns what a person reads, by its name."""
        sizes = "{:,} and {:,}".format(*self.num_lines)
        times = f"{_minutes(self.encode_seconds)} to embed, {_minutes(self.search_seconds)}"
        disk = f"{self.disk_bytes / 2**30:.2f} GiB"
        return {
            "lines": f"{sizes}, repeated ones counted",
            "time": f"{times} to search ({self.index})",
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
    """
    sides = open_two_files(source, target, vectors=vectors, column=column)
    if any(side.path == "-" for side in sides):
        raise UsageError("--dry-run reads the input, so it cannot be standard input (-)")
    loaded = load_needed_encoder(sides, encoder)

    # Count the lines of each side, and embed some.
    counts: list[int] = []
    encode_seconds, text_bytes, size = 0.0, 0, 0
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
        counts.append(num_lines)
        text_bytes += num_bytes * num_lines // num_read

    # Multiply some rows, and add up what all would take.
    search = search or SearchOptions()
    index = choose_index(search.index, *counts)
    num_products = count_products(search, *counts)
    vector_bytes = {"ivf-sq": size, "ivf-pq": 64}.get(index, 4 * size)
    ready = max(counts) * vector_bytes  # An index holds one side whole.
    if index == "exact":
        ready = min(search.memory_bytes, sum(counts) * vector_bytes)
    return MiningEstimate(
        num_lines=(counts[0], counts[1]),
        encode_seconds=encode_seconds,
        search_seconds=_time_product(size, k, num_products) * num_products,
        index=index,
        memory_bytes=_PROGRAM_BYTES + ready + sum(counts) * (_LINE_BYTES + 24 * k),
        disk_bytes=text_bytes + sum(counts) * (size * 4 + 24 * k),
    )


def _time_encoding(encoder: SentenceEncoder, sample: list[str]) -> float:
    started = time.perf_counter()
    encoder.encode(sample)
    return time.perf_counter() - started


def _time_product(size: int, k: int, num_products: int) -> float:
    """Returns the seconds of a product; the search of many rows is as fast or faster.

    The sample is multiplied by what the whole search would take, though it is small itself.
    """
    engine: EngineName = "torch" if build_engine("auto", num_products).name == "torch" else "numpy"
    rows = np.random.default_rng(0).standard_normal((2, _SAMPLE_ROWS, size), dtype=np.float32)
    mutual_neighbours(rows[0][:64], rows[1][:64], k, engine=engine)
    started = time.perf_counter()
    mutual_neighbours(rows[0], rows[1], k, engine=engine)
    return (time.perf_counter() - started) / _SAMPLE_ROWS**2


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"
