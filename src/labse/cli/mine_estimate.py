"""What `labse mine --dry-run` tells: time, memory and disk, from a sample of the work."""

import itertools
import time

from labse.cli.pair_inputs import ModelChoice, Side
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import UsageError
from labse.search.engine import EngineName, build_engine
from labse.search.knn import mutual_neighbours

__all__ = ["print_estimate"]

_SAMPLE_LINES = 2000
_SAMPLE_ROWS = 4096
_PROGRAM_BYTES = 400 << 20  # Seen with torch loaded; 150 MiB without.
_LINE_BYTES = 60  # Numbers of lines and results of the search, k = 4.


def print_estimate(
    sides: tuple[Side, Side], choice: ModelChoice, *, k: int, memory_bytes: int
) -> None:
    """Reads both inputs, embeds 2,000 lines, multiplies 4,096 rows, and prints what all would take.

    Raises:
        UsageError: an input is standard input, which would be gone.
    """
    if any(side.path == "-" for side in sides):
        raise UsageError("--dry-run reads the input, so it cannot be standard input (-)")
    encoder = choice.load() if any(side.vectors is None for side in sides) else None
    counts = []
    encode_seconds, text_bytes, size = 0.0, 0, 0
    for side in sides:
        sample = [line for line in itertools.islice(side.texts, _SAMPLE_LINES) if line.strip()]
        num_read = num_lines = max(len(sample), 1)
        num_bytes = sum(len(line.encode()) for line in sample)
        if side.vectors is not None:
            num_lines, size = side.vectors.shape
        else:
            num_lines = sum(1 for _ in side.texts)
            assert encoder is not None
            size = encoder.embedding_size
            encode_seconds += _time_encoding(encoder, sample) / num_read * num_lines
        counts.append(num_lines)
        text_bytes += num_bytes * num_lines // num_read

    num_products = counts[0] * counts[1]
    search_seconds = _time_search(size, k, num_products) * num_products
    ready = min(memory_bytes, sum(counts) * size * 4)
    memory = _PROGRAM_BYTES + ready + sum(counts) * (_LINE_BYTES + 24 * k)
    disk = text_bytes + sum(counts) * (size * 4 + 24 * k)
    print(f"lines\t{counts[0]:,} and {counts[1]:,}, repeated ones counted")
    print(f"time\t{_minutes(encode_seconds)} to embed, {_minutes(search_seconds)} to search")
    print(f"memory\t{memory / 2**30:.2f} GiB")
    print(f"disk\t{disk / 2**30:.2f} GiB in --work or the temporary folder, and the output")


def _time_encoding(encoder: "SentenceEncoder", sample: list[str]) -> float:
    started = time.perf_counter()
    encoder.encode(sample)
    return time.perf_counter() - started


def _time_search(size: int, k: int, num_products: int) -> float:
    """Returns the seconds of a product; the search of many rows is as fast or faster.

    The sample is multiplied by what the whole search would take, though it is small itself.
    """
    import numpy as np

    engine: EngineName = "torch" if build_engine("auto", num_products).name == "torch" else "numpy"

    rows = np.random.default_rng(0).standard_normal((2, _SAMPLE_ROWS, size), dtype=np.float32)
    mutual_neighbours(rows[0][:64], rows[1][:64], k, engine=engine)
    started = time.perf_counter()
    mutual_neighbours(rows[0], rows[1], k, engine=engine)
    return (time.perf_counter() - started) / _SAMPLE_ROWS**2


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"
