"""Gives changed files to every reader: each must be read, or refused with a `LabseError`.

    python tests/faults/fuzz.py --times 10000                  all formats by turns
    python tests/faults/fuzz.py --times 500 --only tmx --seed 3 --keep found

A seed is a whole small file that our own writers made. It is changed at random, then read through
the public function for it, in one process for many files. Faults are: another exception, more than
10 s of a processor or 300 s of the clock, more than 2 GiB of memory beyond that of the program, the
end of the process.
"""

import argparse
import bz2
import contextlib
import gzip
import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from types import FrameType

import zstandard

sys.path.append(str(Path(__file__).parents[2]))
from tests.faults.mutate import mutate
from tests.faults.seeds import Seed, build_seeds

MAX_CPU_SECONDS = 10
MAX_SECONDS = 300  # A busy machine is no fault.
MAX_BYTES = 2 << 30
BATCH = 500
PACK = {
    "": lambda content: content,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda content: zstandard.ZstdCompressor().compress(content),
}


class TooLongError(Exception):
    """A reader took too long."""


def main() -> int:
    """Prints a line of JSON for each format and for each fault; returns 1 if there was one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=10_000, help="files in all")
    parser.add_argument("--only", action="append", help="a format, may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder that keeps the files with faults")
    options = parser.parse_args()
    begun = time.monotonic()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        seeds = build_seeds(Path(name) / "seeds")
        if options.only:
            seeds = [seed for seed in seeds if seed.name in options.only]
        for seed in seeds:  # All is imported once, and whole files are read.
            with contextlib.redirect_stdout(io.StringIO()):
                seed.read(seed.place_in(Path(name) / "now", seed.content, ""))
        for start in range(0, options.times, BATCH):
            numbers = range(start, min(start + BATCH, options.times))
            counts += run_batch(seeds, numbers, options.seed, Path(name), options.keep)
    told = {"files": options.times, "seconds": round(time.monotonic() - begun), **sorted_of(counts)}
    print(json.dumps(told))
    return int(any(key.startswith("fault") for key in counts))


def sorted_of(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def run_batch(
    seeds: list[Seed], numbers: range, seed: int, place: Path, keep: Path | None
) -> Counter[str]:
    """Reads a batch of files in a copy of this process, and what is left of it in others."""
    counts: Counter[str] = Counter()
    waiting = numbers
    while waiting:
        log = place / "log"
        log.write_bytes(b"")
        pid = os.fork()
        if not pid:
            read_many(seeds, waiting, seed, place, log, keep)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        rows = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
        counts.update(row["outcome"] for row in rows if "outcome" in row)
        if not status:
            break
        number = rows[-1]["number"] if rows else waiting.start
        fault = {"fault": f"the process ended with {status}", "number": number, "seed": seed}
        print(json.dumps(fault | (rows[-1] if rows else {})), flush=True)
        counts["fault: process ended"] += 1
        waiting = range(number + 1, waiting.stop)
    return counts


def read_many(
    seeds: list[Seed], numbers: range, seed: int, place: Path, log: Path, keep: Path | None
) -> None:
    """Is what the copy does; never returns."""
    signal.signal(signal.SIGALRM, end_reading)
    signal.signal(signal.SIGPROF, end_reading)
    bound_memory()
    code = 1
    try:
        sys.stdout = io.StringIO()
        with log.open("a", encoding="utf-8", buffering=1) as stream:
            for number in numbers:
                chosen = seeds[number % len(seeds)]
                stream.write(json.dumps({"number": number, "format": chosen.name}) + "\n")
                outcome, trace = read_one(chosen, random.Random(f"{seed} {number}"), place, keep)
                row = {"number": number, "outcome": f"{chosen.name}: {outcome}"}
                if trace:
                    row = {"number": number, "outcome": f"fault: {chosen.name}"}
                    fault = {"format": chosen.name, "number": number, "seed": seed}
                    told = json.dumps({**fault, "trace": trace})
                    print(told, file=sys.__stdout__, flush=True)
                stream.write(json.dumps(row) + "\n")
        code = 0
    finally:
        os._exit(code)


def read_one(
    seed: Seed, generator: random.Random, place: Path, keep: Path | None
) -> tuple[str, str]:
    """Changes a seed and reads it; returns the outcome, and the end of a traceback if any."""
    from labse.errors import LabseError

    packings = ("", "", "", "", ".gz", ".zst", ".bz2") if seed.may_be_packed else ("",)
    packing = generator.choice(packings)
    inside = generator.random() < 0.8
    content = mutate(seed.content, generator, seed.others) if inside else seed.content
    content = PACK[packing](content)
    if not inside:
        content = mutate(content, generator, [content])
    path = seed.place_in(place / "now", content, packing)
    set_timers(MAX_SECONDS, MAX_CPU_SECONDS)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            seed.read(path)
        return "read", ""
    except LabseError:
        return "refused", ""
    except BaseException:
        set_timers(0, 0)
        if keep:
            kept = keep / seed.name / f"{generator.random():.8f}{path.name}"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(content)
        return "fault", "".join(traceback.format_exc().splitlines(keepends=True)[-7:])
    finally:
        set_timers(0, 0)


def set_timers(seconds: float, cpu_seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)


def end_reading(number: int, frame: FrameType | None) -> None:
    raise TooLongError


def bound_memory() -> None:
    with contextlib.suppress(ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        bound = pages * resource.getpagesize() + MAX_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


if __name__ == "__main__":
    sys.exit(main())
