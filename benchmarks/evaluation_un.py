"""The UN protocol at a pool of any size: real vectors for a part, made-up ones for the rest.

The made-up rows have the mean and the covariance of the real ones, so that they are as near to the
queries as unrelated sentences are, and do not sit where no sentence sits.

    python benchmarks/evaluation_un.py MODEL fr.txt en.txt --pool 1000000 --queries 2000
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse import SentenceEncoder
from labse.evaluation.aligned import read_aligned_pair
from labse.evaluation.un import search_shards, write_pool

SHARD_ROWS = 262_144


def write_made_up(
    real: NDArray[np.float32], folder: Path, num_rows: int, generator: np.random.Generator
) -> list[Path]:
    mean = real.mean(axis=0)
    _, singular, directions = np.linalg.svd(real - mean, full_matrices=False)
    factor = (singular[:, None] * directions / np.sqrt(len(real) - 1)).astype(np.float32)
    paths = []
    for start in range(0, num_rows, SHARD_ROWS):
        size = min(SHARD_ROWS, num_rows - start)
        rows = generator.standard_normal((size, len(factor)), dtype=np.float32) @ factor + mean
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        paths.append(folder / f"made-up-{start:09d}.npy")
        np.save(paths[-1], rows.astype(np.float16))
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--pool", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=2_000)
    arguments = parser.parse_args()

    encoder = SentenceEncoder.from_pretrained(arguments.model)
    source, target = read_aligned_pair(arguments.source, arguments.target)
    queries = encoder.encode(source[: arguments.queries])
    with tempfile.TemporaryDirectory(prefix="labse-pool-") as name:
        folder = Path(name)
        pool = write_pool(encoder, target, folder, shard_rows=SHARD_ROWS)
        real = np.concatenate([np.load(path) for path in pool.shards]).astype(np.float32)
        rest = arguments.pool - pool.num_rows
        made_up = write_made_up(real, folder, rest, np.random.default_rng(1))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for label, shards in (("real rows only", []), ("with made-up rows", made_up)):
            started = time.perf_counter()
            found = search_shards(queries, [*pool.shards, *shards]).neighbours[:, 0]
            seconds = time.perf_counter() - started
            size = pool.num_rows + (rest if shards else 0)
            is_right = [n < pool.num_rows and target[n] == target[i] for i, n in enumerate(found)]
            rate = 2 * len(queries) * size * queries.shape[1] / seconds / 1e9
            print(
                f"{label}: {len(queries):,} queries, pool {size:,} x {queries.shape[1]}, "
                f"P@1 {100 * np.mean(is_right):.1f}, {seconds:.1f} s, {rate:.0f} GFLOP/s"
            )
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory {after / 2**20:.2f} GiB, before the search {before / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
