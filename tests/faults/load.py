"""Does everything at once in one process for minutes, and checks that nothing grows.

    python tests/faults/load.py --minutes 120

A round loads the model that comes with labse anew, encodes in threads and in forks, encodes a file
into a folder, and mines two files. After each, resident memory, threads and open files are counted.
The first quarter of the rounds is warm-up. Faults are: a vector that is another than at first, a
fork that fails, more threads or open files than after the warm-up, memory that grows by more than
`MAX_GROWTH` from the second quarter to the last.
"""

import argparse
import gc
import json
import os
import random
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np

from labse import SentenceEncoder, encode_files, mine_files

MAX_GROWTH = 0.03
NUM_THREADS = 4
NUM_LINES = 400
WORDS = ("the", "dog", "museum", "train", "Hund", "Zug", "Bahnhof", "regnet", "old", "7", "1990")


def main() -> int:
    """Prints a line of JSON with the counts at the start and at the end; returns 1 for a fault."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20)
    options = parser.parse_args()
    begun = time.monotonic()
    counts: list[dict[str, int]] = []
    faults = []
    with tempfile.TemporaryDirectory(prefix="load-") as name:
        place = Path(name)
        (place / "tmp").mkdir()
        tempfile.tempdir = str(place / "tmp")  # Where nothing may stay.
        write_lines(place / "a.txt", 1)
        write_lines(place / "b.txt", 2)
        expected = SentenceEncoder.from_pretrained(threads=1).encode(read_lines(place / "a.txt"))
        while time.monotonic() - begun < 60 * options.minutes or len(counts) < 8:
            faults += do_round(place, expected)
            counts.append(count_resources())
    parts = split(counts)
    for what in counts[0]:
        before, after = (median(row[what] for row in part) for part in (parts[1], parts[3]))
        allowed = before * (1 + MAX_GROWTH) if what == "resident_bytes" else before
        if after > allowed:
            faults.append(f"{what}: {before:,.0f}, at the end {after:,.0f}")
    told: dict[str, object] = {"rounds": len(counts), "seconds": round(time.monotonic() - begun)}
    told |= {f"quarter_{n + 1}": {k: median(row[k] for row in part) for k in part[0]}
             for n, part in enumerate(parts)}  # fmt: skip
    print(json.dumps(told | {"faults": sorted(set(faults))}))
    return int(bool(faults))


def split(counts: list[dict[str, int]]) -> list[list[dict[str, int]]]:
    """Cuts the rounds into quarters, the last rounds in the last."""
    bounds = [len(counts) * part // 4 for part in range(5)]
    return [counts[bounds[part] : bounds[part + 1]] for part in range(4)]


def do_round(place: Path, expected: np.ndarray) -> list[str]:
    """Does one of everything; returns what went wrong."""
    encoder = SentenceEncoder.from_pretrained(threads=1)
    lines = read_lines(place / "a.txt")

    def is_equal(_: int) -> bool:
        return np.array_equal(encoder.encode(lines), expected)

    faults = []
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        results = pool.map(is_equal, range(2 * NUM_THREADS))
        child = fork(is_equal)  # While other threads encode.
        mined = mine_files(place / "a.txt", place / "b.txt", place / "mined.tsv", encoder=encoder)
        if not all(results):
            faults.append("a thread has other vectors")
    if os.waitpid(child, 0)[1]:
        faults.append("a fork has other vectors, or failed")
    if not mined.num_written:
        faults.append("nothing was mined")
    with tempfile.TemporaryDirectory(dir=place) as out:
        encode_files(place / "a.txt", Path(out, "v"), encoder=encoder, shard_rows=100)
    return faults


def fork(is_equal: object) -> int:
    if pid := os.fork():
        return pid
    code = 1
    try:
        code = int(not is_equal(0))  # type: ignore[operator]
    finally:
        os._exit(code)


def count_resources() -> dict[str, int]:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "resident_bytes": pages * os.sysconf("SC_PAGESIZE"),
        "threads": len(os.listdir("/proc/self/task")),
        "python_threads": threading.active_count(),
        "open_files": len(os.listdir("/proc/self/fd")),
        "temporary_files": len(os.listdir(tempfile.gettempdir())),
    }


def write_lines(path: Path, seed: int) -> None:
    generator = random.Random(seed)
    lines = [" ".join(generator.choices(WORDS, k=12)) + "\n" for _ in range(NUM_LINES)]
    path.write_text("".join(lines), "utf-8")


def read_lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


if __name__ == "__main__":
    sys.exit(main())
