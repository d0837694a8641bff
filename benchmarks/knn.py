"""Exact k nearest neighbours in both directions: labse, faiss IndexFlatIP, and the product alone.

The product alone is bfloat16 blocks of the same size with nothing read from them: the peak that
one pass could reach. Both results are compared row by row. On a machine that others use too, CPU
seconds say more than wall seconds.

    python benchmarks/knn.py --rows 20000
    python benchmarks/knn.py --rows 100000 --calls "product alone,labse,faiss"
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from labse.search.knn import mutual_neighbours

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import faiss

BLOCK_ROWS = 1024


def make_rows(num_rows: int, dimensions: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Half of the rows have a translation at cosine 0.8 or so, as in a mined corpus."""
    generator = np.random.default_rng(0)
    source, target = generator.standard_normal((2, num_rows, dimensions), dtype=np.float32)
    target[: num_rows // 2] = source[: num_rows // 2] + 0.7 * target[: num_rows // 2]
    for rows in (source, target):
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return source, target


def search_with_faiss(source: NDArray, target: NDArray, k: int) -> tuple[NDArray, NDArray]:
    found = []
    for queries, corpus in ((source, target), (target, source)):
        index = faiss.IndexFlatIP(corpus.shape[1])
        index.add(corpus)
        found.append(index.search(queries, k)[1])
    return found[0], found[1]


def multiply_blocks(source: NDArray, target: NDArray) -> None:
    left, right = (torch.from_numpy(rows).bfloat16() for rows in (source, target))
    for right_block in right.split(BLOCK_ROWS):
        for left_block in left.split(BLOCK_ROWS):
            torch.matmul(left_block, right_block.T)


def timed(call: Callable[[], object]) -> tuple[object, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dimensions", type=int, default=768)
    parser.add_argument("--k", type=int, default=4)
    parser.add_argument("--calls", default="product alone,labse,labse numpy,faiss")
    options = parser.parse_args()
    source, target = make_rows(options.rows, options.dimensions)
    work = 2 * options.rows**2 * options.dimensions / 1e9

    calls: dict[str, Callable[[], object]] = {
        "product alone": lambda: multiply_blocks(source, target),
        "labse": lambda: mutual_neighbours(source, target, options.k, engine="torch"),
        "labse numpy": lambda: mutual_neighbours(source, target, options.k, engine="numpy"),
        "faiss": lambda: search_with_faiss(source, target, options.k),
    }
    results = {}
    for name in options.calls.split(","):
        found, wall, cpu = timed(calls[name])
        results[name] = found
        record = {"name": name, "rows": options.rows, "dimensions": options.dimensions,
                  "wall_seconds": round(wall, 2), "cpu_seconds": round(cpu, 2),
                  "gflops_one_pass": round(work / wall)}  # fmt: skip
        print(json.dumps(record), flush=True)
    if {"labse", "faiss"} <= results.keys():
        ours, theirs = results["labse"], results["faiss"]
        for side, neighbours in zip((ours.forward, ours.backward), theirs, strict=True):
            # float32 sums swap neighbours that are equal to the sixth digit.
            print(
                "rows with the neighbours of faiss:", (side.neighbours == neighbours).all(1).mean()
            )


if __name__ == "__main__":
    main()
