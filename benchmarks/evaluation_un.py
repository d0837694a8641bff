"""The UN protocol at a pool of any size: real vectors for a part, made-up ones for the rest.

The made-up rows have the mean and the covariance of the real ones, so that they are as near to the
queries as unrelated sentences are, and do not sit where no sentence sits.

    python benchmarks/evaluation_un.py MODEL fr.txt en.txt --pool 10000000 --queries 10000

The shards lie in TMPDIR: 2 bytes a number. With --out the figures go to a JSON file too.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse import SentenceEncoder
from labse.evaluation.datasets import read_aligned_pair
from labse.evaluation.un import search_shards, write_pool

SHARD_ROWS = 262_144


def write_made_up(
    real: NDArray[np.float32], folder: Path, num_rows: int, generator: np.random.Generator
) -> list[Path]:
    mean = real.mean(axis=0)
    covariance = np.cov(real, rowvar=False) + 1e-9 * np.eye(real.shape[1])
    factor = np.linalg.cholesky(covariance).T.astype(np.float32)
    paths = []
    for start in range(0, num_rows, SHARD_ROWS):
        size = min(SHARD_ROWS, num_rows - start)
        rows = generator.standard_normal((size, len(factor)), dtype=np.float32) @ factor + mean
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        paths.append(folder / f"made-up-{start:09d}.npy")
        np.save(paths[-1], rows.astype(np.float16))
    return paths


def gemm_gflops(dimensions: int) -> float:
    """The rate of float32 matrix products alone, at the size of the blocks of the search."""
    rows = np.random.default_rng(1).standard_normal((2048, dimensions), dtype=np.float32)
    products = np.empty((2048, 2048), np.float32)
    right = np.ascontiguousarray(rows[::-1].T)
    rates = []
    for _ in range(20):
        started = time.perf_counter()
        np.matmul(rows, right, out=products)
        rates.append(2 * 2048 * 2048 * dimensions / (time.perf_counter() - started) / 1e9)
    return float(np.median(rates))


def measure(
    label: str, queries: NDArray[np.float32], shards: list[Path], target: list[str], num_pool: int
) -> dict[str, float | str]:
    gemm_before = gemm_gflops(queries.shape[1])
    started = time.perf_counter()
    found = search_shards(queries, shards).neighbours[:, 0]
    seconds = time.perf_counter() - started
    gemm = (gemm_before + gemm_gflops(queries.shape[1])) / 2
    is_right = [n < len(target) and target[n] == target[i] for i, n in enumerate(found)]
    rate = 2 * len(queries) * num_pool * queries.shape[1] / seconds / 1e9
    return {
        "rows": label,
        "queries": len(queries),
        "pool": num_pool,
        "dimensions": queries.shape[1],
        "p_at_1": round(float(np.mean(is_right)), 4),
        "seconds": round(seconds, 1),
        "search_gflops": round(rate),
        "float32_gemm_gflops": round(gemm),
        "share_of_gemm": round(rate / gemm, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--pool", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    encoder = SentenceEncoder.from_pretrained(arguments.model)
    source, target = read_aligned_pair(arguments.source, arguments.target)
    queries = encoder.encode(source[: arguments.queries])
    with tempfile.TemporaryDirectory(prefix="labse-pool-") as name:
        folder = Path(name)
        pool = write_pool(encoder, target, folder, shard_rows=SHARD_ROWS)
        real = np.concatenate([np.load(path) for path in pool.shards]).astype(np.float32)
        rest = arguments.pool - pool.num_rows
        started = time.perf_counter()
        made_up = write_made_up(real, folder, rest, np.random.default_rng(1))
        writing = time.perf_counter() - started
        del real
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        rows = [
            measure("real", queries, [*pool.shards], target, pool.num_rows),
            measure("real and made-up", queries, [*pool.shards, *made_up], target, arguments.pool),
        ]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {
        "num_real": pool.num_rows,
        "made_up_seconds": round(writing, 1),
        "peak_gib": round(after / 2**20, 2),
        "peak_gib_before_search": round(before / 2**20, 2),
        "searches": rows,
    }
    print(json.dumps(figures, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(figures) + "\n", "utf-8")


if __name__ == "__main__":
    main()
