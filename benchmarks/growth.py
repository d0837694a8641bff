"""Growth: does ten times the lines take ten times the time, and the same memory?

Use: python benchmarks/growth.py TABLE [TABLE ...] --lines 10000 100000 [--steps encode clean ...]
TABLES hold pairs (source, target and their languages, or lang, english, text). Their pairs are
taken in turn and numbered, so that no line is a copy, up to each number of `--lines` (10,000,000
too, where an hour is at hand). Each step is one command in a process of its own. Prints a JSON
object a step and number: seconds by the clock and of the CPU, and the peak memory. `--out` keeps
them, `--plot FILE.png` draws them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path

from matplotlib.figure import Figure

from labse.corpus.readers import read_pairs
from labse.corpus.records import SentencePair
from labse.corpus.writers import write_pairs

PROGRAM = "import sys; from labse.cli import main; sys.exit(main())"
COMMANDS: dict[str, list[str]] = {
    "encode": ["encode", "lines.txt", "--out", "vectors"],
    "clean": ["corpus", "clean", "pairs.parquet", "--kind", "pairs", "--out", "clean"],
    "dedup": ["corpus", "dedup", "pairs.parquet", "--kind", "pairs", "--out", "dedup"],
    "vocab": ["vocab", "pairs.parquet", "--out", "vocab", "--vocab-size", "30000"],
    "filter": ["filter", "pairs.parquet", "--out", "good.parquet", "--recommended"],
}


def draw_pairs(tables: Sequence[str], num_pairs: int) -> Iterator[SentencePair]:
    """Yields numbered pairs, a run of 1,000 of each table in turn; a table begins again."""
    pairs = [cycle(read_pairs(table)) for table in tables]
    runs = (islice(pairs[number % len(pairs)], 1000) for number in range(num_pairs))
    numbered = enumerate(pair for run in runs for pair in run)
    for number, pair in islice(numbered, num_pairs):
        source, target = f"{pair.source} {number}", f"{pair.target} {number}"
        yield SentencePair(source, target, pair.source_lang, pair.target_lang)


def write_inputs(folder: Path, tables: Sequence[str], num_lines: int) -> None:
    write_pairs(folder / "pairs.parquet", draw_pairs(tables, num_lines))
    with (folder / "lines.txt").open("w", encoding="utf-8", newline="\n") as stream:
        pairs = read_pairs(folder / "pairs.parquet")
        stream.writelines(f"{pair.source}\n" for pair in pairs)


def run_step(step: str, folder: Path, num_lines: int) -> dict[str, object]:
    command = [sys.executable, "-c", PROGRAM, *COMMANDS[step]]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{step} of {num_lines} lines ended with {status}")
    return {
        "step": step,
        "lines": num_lines,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mebibytes": round(used.ru_maxrss / 1024),
        "load": round(os.getloadavg()[0], 1),
    }


def draw(results: Sequence[dict[str, object]], path: Path) -> None:
    figure = Figure(figsize=(9, 4), layout="constrained")
    figures = {"CPU seconds": "cpu_seconds", "peak memory, MiB": "peak_mebibytes"}
    for axes, (label, key) in zip(figure.subplots(1, 2), figures.items(), strict=True):
        for step in dict.fromkeys(result["step"] for result in results):
            rows = [result for result in results if result["step"] == step]
            axes.plot([row["lines"] for row in rows], [row[key] for row in rows], "o-", label=step)
        axes.set(xlabel="lines", ylabel=label, xscale="log", yscale="log")
    axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--lines", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--steps", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--out", type=Path, help="JSON lines to add to")
    parser.add_argument("--plot", type=Path, help="draw all that is in --out, as PNG")
    options = parser.parse_args()

    results: list[dict[str, object]] = []
    if options.out and options.out.exists():
        results = [json.loads(line) for line in options.out.read_text("utf-8").splitlines()]
    for num_lines in options.lines:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            # In another process: the peak of a child counts from the memory of its parent.
            writing = get_context("spawn").Process(
                target=write_inputs, args=(folder, options.tables, num_lines)
            )
            writing.start()
            writing.join()
            for step in options.steps:
                results.append(run_step(step, folder, num_lines))
                print(json.dumps(results[-1]), flush=True)
    results.sort(key=lambda result: (list(COMMANDS).index(str(result["step"])), result["lines"]))
    if options.out:
        options.out.write_text("".join(json.dumps(r) + "\n" for r in results), "utf-8")
    if options.plot:
        draw(results, options.plot)


if __name__ == "__main__":
    main()
