"""Learning a vocabulary: both algorithms on the same merged counts, alternated in one run.

Use: python benchmarks/vocab_learning.py COUNTS [pieces, default 501153] [rounds, default 2]
COUNTS is a folder of `labse vocab --counts`. Each learning is a fork of the process that holds the
words, so that its peak memory is its own, the dictionary of words included; one thread.
Prints JSON: CPU and wall seconds (medians), their ratio, the largest peak.
"""

import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection

from labse.vocab.bpe import learn_bpe
from labse.vocab.count_tables import open_tables, smooth_tables
from labse.vocab.wordpiece import learn_wordpiece

_LEARNERS: dict[str, Callable[..., list[str]]] = {"wordpiece": learn_wordpiece, "bpe": learn_bpe}
_FORKS = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Learning:
    """One learning: its pieces, CPU and wall seconds, and peak memory."""

    num_pieces: int
    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int


def learn(name: str, words: dict[str, float], vocab_size: int, sender: Connection) -> None:
    cpu, wall = time.process_time(), time.perf_counter()
    pieces = _LEARNERS[name](words, vocab_size=vocab_size)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sender.send(asdict(Learning(len(pieces), cpu, wall, peak)))


def measure(name: str, words: dict[str, float], vocab_size: int) -> Learning:
    receiver, sender = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=learn, args=(name, words, vocab_size, sender))
    process.start()
    sender.close()
    learning = Learning(**receiver.recv())
    process.join()
    return learning


def main() -> None:
    os.environ["RAYON_NUM_THREADS"] = "1"
    vocab_size = int(sys.argv[2]) if len(sys.argv) > 2 else 501_153
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    words = smooth_tables([open_tables(sys.argv[1])], 0.3, max_words=10_000_000).weights
    learnings: dict[str, list[Learning]] = {name: [] for name in _LEARNERS}
    for _ in range(rounds):
        for name, done in learnings.items():
            done.append(measure(name, words, vocab_size))
            print(name, done[-1], file=sys.stderr, flush=True)
    cpu = {name: statistics.median(x.cpu_seconds for x in done) for name, done in learnings.items()}
    wall = {
        name: statistics.median(x.wall_seconds for x in done) for name, done in learnings.items()
    }
    peak = {name: max(x.peak_bytes for x in done) / 1e9 for name, done in learnings.items()}
    result = {
        "words": len(words),
        "pieces": {name: done[0].num_pieces for name, done in learnings.items()},
        "rounds": rounds,
        "cpu_seconds": {name: round(seconds, 1) for name, seconds in cpu.items()},
        "wall_seconds": {name: round(seconds, 1) for name, seconds in wall.items()},
        "peak_gigabytes": {name: round(gigabytes, 2) for name, gigabytes in peak.items()},
        "ratio_cpu": round(cpu["wordpiece"] / cpu["bpe"], 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
