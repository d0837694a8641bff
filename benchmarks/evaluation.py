"""What evaluation costs beside what it cannot do without.

Tatoeba: the whole evaluation beside the encoding of its distinct sentences.
UN: the exact search of a float16 pool beside the same matrix product alone (the GEMM peak).

Both sides alternate in one process; the figures are medians of the rounds and their ratio.

    python benchmarks/evaluation.py tatoeba MODEL FOLDER --rounds 3
    python benchmarks/evaluation.py un --dimensions 768 --queries 8192 --pool 262144
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from labse import SentenceEncoder
from labse.evaluation.datasets import read_tatoeba
from labse.evaluation.tatoeba import evaluate_tatoeba
from labse.evaluation.un import search_shards

GEMM_ROWS = 2048


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def alternate(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Runs all sides once a round, after a first round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, work in sides.items():
            taken = timed(work)
            if number:
                seconds[name].append(taken)
    return {name: statistics.median(values) for name, values in seconds.items()}


def time_tatoeba(model: Path, folder: Path, rounds: int) -> None:
    encoder = SentenceEncoder.from_pretrained(model)
    sets = read_tatoeba(folder)
    sides = [side for each in sets for side in (each.sentences, each.english)]
    distinct = list(dict.fromkeys(sentence for side in sides for sentence in side))
    taken = alternate(
        {
            "encode": lambda: encoder.encode(distinct),
            "evaluate": lambda: evaluate_tatoeba(encoder, sets, max_seq_length=64),
        },
        rounds,
    )
    print(f"{sum(map(len, sides)):,} sentences, {len(distinct):,} distinct")
    print(f"encode {taken['encode']:.2f} s, evaluate {taken['evaluate']:.2f} s")
    print(f"evaluate / encode {taken['evaluate'] / taken['encode']:.2f}")


def time_un(dimensions: int, num_queries: int, num_pool: int, rounds: int) -> None:
    generator = np.random.default_rng(1)
    queries = generator.standard_normal((num_queries, dimensions), dtype=np.float32)
    pool = generator.standard_normal((num_pool, dimensions), dtype=np.float32).astype(np.float16)
    left = np.ascontiguousarray(queries[:GEMM_ROWS])
    right = np.ascontiguousarray(pool[:GEMM_ROWS].astype(np.float32).T)
    products = np.empty((GEMM_ROWS, GEMM_ROWS), np.float32)

    def multiply() -> None:
        for _ in range(num_queries * num_pool // GEMM_ROWS**2):
            np.matmul(left, right, out=products)

    taken = alternate({"gemm": multiply, "search": lambda: search_shards(queries, [pool])}, rounds)
    flops = 2 * num_queries * num_pool * dimensions
    peak, reached = (flops / taken[name] / 1e9 for name in ("gemm", "search"))
    print(f"{num_queries:,} queries, pool {num_pool:,} x {dimensions} float16")
    print(f"float32 GEMM {peak:.0f} GFLOP/s, search {reached:.0f} GFLOP/s: {reached / peak:.0%}")
    hours = 2 * 1e7 * 1e4 * dimensions / (reached * 1e9) / 3600
    print(f"10,000 queries in a pool of 10,000,000 at this rate: {hours:.2f} h")
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"peak memory of the process {peak_bytes / 2**30:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    tatoeba = commands.add_parser("tatoeba")
    tatoeba.add_argument("model", type=Path)
    tatoeba.add_argument("folder", type=Path)
    un = commands.add_parser("un")
    un.add_argument("--dimensions", type=int, default=768)
    un.add_argument("--queries", type=int, default=8192)
    un.add_argument("--pool", type=int, default=262_144)
    for command in (tatoeba, un):
        command.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.command == "tatoeba":
        time_tatoeba(arguments.model, arguments.folder, arguments.rounds)
    else:
        time_un(arguments.dimensions, arguments.queries, arguments.pool, arguments.rounds)


if __name__ == "__main__":
    main()
