"""Exact k nearest neighbours in both directions: labse, faiss IndexFlatIP, and the product alone.

The product alone is blocks of the same size with nothing read from them, in float32 and, where the
processor multiplies it by itself, in bfloat16: the peak that one pass of whole rows could reach.
Calls alternate, and results are compared row by row. On a machine that others use too, CPU seconds
say more than wall seconds; OMP_NUM_THREADS=1 keeps threads from waiting for each other.

    python benchmarks/knn.py --rows 20000
    python benchmarks/knn.py --rows 100000 --calls "product alone,labse,faiss"
    python benchmarks/knn.py --rows 50000 --decay 0.5
    python benchmarks/knn.py --vectors source.npy target.npy --rows 50000 --rounds 3
"""

import argparse
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from labse.runtime import has_fast_bfloat16
from labse.search.knn import mutual_neighbours

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import faiss

BLOCK_ROWS = 1024


def make_rows(
    num_rows: int, dimensions: int, decay: float = 0.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Half of the rows have a translation at cosine 0.8 or so, as in a mined corpus.

    Value number i is scaled by i**-decay: with 0.5 a quarter of 768 hold four fifths of a row.
    """
    generator = np.random.default_rng(0)
    source, target = generator.standard_normal((2, num_rows, dimensions), dtype=np.float32)
    target[: num_rows // 2] = source[: num_rows // 2] + 0.7 * target[: num_rows // 2]
    for rows in (source, target):
        rows *= np.arange(1, dimensions + 1, dtype=np.float32) ** -decay
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return source, target


def search_with_faiss(
    source: NDArray[np.float32], target: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    found = []
    for queries, corpus in ((source, target), (target, source)):
        index = faiss.IndexFlatIP(corpus.shape[1])
        index.add(corpus)
        found.append(index.search(queries, k)[1])
    return found[0], found[1]


def multiply_blocks(
    source: NDArray[np.float32], target: NDArray[np.float32], dtype: torch.dtype
) -> None:
    left, right = (torch.from_numpy(rows).to(dtype) for rows in (source, target))
    for right_block in right.split(BLOCK_ROWS):  # type: ignore[no-untyped-call]
        for left_block in left.split(BLOCK_ROWS):  # type: ignore[no-untyped-call]
            torch.matmul(left_block, right_block.T)


def timed(call: Callable[[], object]) -> tuple[object, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dimensions", type=int, default=768)
    parser.add_argument("--decay", type=float, default=0.0)
    parser.add_argument("--vectors", nargs=2, metavar=("SOURCE", "TARGET"))
    parser.add_argument("--k", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="where labse multiplies")
    parser.add_argument("--calls", default="product alone,labse,faiss")
    options = parser.parse_args()
    source, target = make_rows(options.rows, options.dimensions, options.decay)
    if options.vectors:
        source, target = (
            np.load(path)[: options.rows].astype(np.float32) for path in options.vectors
        )
    work = 2 * len(source) * len(target) * source.shape[1] / 1e9
    dtype = torch.bfloat16 if has_fast_bfloat16() else torch.float32

    k, device = options.k, options.device
    calls: dict[str, Callable[[], object]] = {
        "product alone": lambda: multiply_blocks(source, target, dtype),
        "labse": lambda: mutual_neighbours(source, target, k, device=device),
        "labse numpy": lambda: mutual_neighbours(source, target, k, engine="numpy"),
        "labse torch": lambda: mutual_neighbours(source, target, k, engine="torch", device=device),
        "faiss": lambda: search_with_faiss(source, target, k),
    }
    results: dict[str, Any] = {}
    seconds: dict[str, list[tuple[float, float]]] = {n: [] for n in options.calls.split(",")}
    for _ in range(options.rounds):
        for name, times in seconds.items():
            results[name], wall, cpu = timed(calls[name])
            times.append((wall, cpu))
            record = {"name": name, "rows": len(source), "dimensions": source.shape[1],
                      "wall_seconds": round(wall, 2), "cpu_seconds": round(cpu, 2),
                      "gflops_one_pass": round(work / wall),
                      "load": round(os.getloadavg()[0], 1)}  # fmt: skip
            print(json.dumps(record), flush=True)
    if {"labse", "faiss"} <= results.keys():
        compare(results, seconds)


def compare(results: dict[str, Any], seconds: dict[str, list[tuple[float, float]]]) -> None:
    """Prints the medians of the rounds' ratios, and how often both find the same."""
    rounds = list(zip(seconds["faiss"], seconds["labse"], strict=True))
    for place, name in enumerate(("wall", "CPU")):
        ratio = statistics.median(theirs[place] / ours[place] for theirs, ours in rounds)
        print(f"faiss / labse, {name} time: {ratio:.2f}")
    ours, theirs = results["labse"], results["faiss"]
    for side, neighbours in zip((ours.forward, ours.backward), theirs, strict=True):
        # float32 sums swap neighbours that are equal to the sixth digit.
        print("rows with the neighbours of faiss:", (side.neighbours == neighbours).all(1).mean())


if __name__ == "__main__":
    main()
