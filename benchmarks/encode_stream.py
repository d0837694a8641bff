"""Streaming speed: short lines with copies from a .gz file to a folder of shards.

Use: python benchmarks/encode_stream.py MODEL PARQUET [lines, default 20000] [jobs, default 1]
PARQUET has a column `text`. 30 % of the lines are copies of an earlier one, near or far.
Prints JSON: lines a second (wall and CPU), peak memory, and the rate of the last quarter of the
shards against that of the first: 1 if length does not matter.
"""

import gzip
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from labse.corpus.tables import open_table

COPIES = 0.3
KEPT_LINES = 2_000_000  # Copies are drawn from these.


def write_lines(path: Path, texts: list[str], num_lines: int) -> None:
    draw = random.Random(1)
    kept: list[str] = []
    with gzip.open(path, "wt", compresslevel=1, encoding="utf-8") as stream:
        for number in range(num_lines):
            if kept and draw.random() < COPIES:
                line = draw.choice(kept)
            else:
                line = f"{draw.choice(texts)} {draw.choice(texts).split(' ')[0]} {number:010}"
                if len(kept) < KEPT_LINES:
                    kept.append(line)
                else:
                    kept[draw.randrange(KEPT_LINES)] = line
            stream.write(line + "\n")


def rates(folder: Path, rows: list[int]) -> list[float]:
    """Returns rows a second of each shard but the first, from the times of the files."""
    times = [(folder / f"shard-{n:06d}.npy").stat().st_mtime for n in range(len(rows))]
    return [rows[n] / max(times[n] - times[n - 1], 1e-3) for n in range(1, len(rows))]


def main() -> None:
    model, parquet = sys.argv[1:3]
    num_lines = int(sys.argv[3]) if len(sys.argv) > 3 else 20_000
    jobs = sys.argv[4] if len(sys.argv) > 4 else "1"
    rows = open_table(parquet).read_rows(("text",))
    texts = [" ".join(text.split()) for _, (text,) in rows]
    with tempfile.TemporaryDirectory() as scratch:
        source, out = Path(scratch) / "lines.txt.gz", Path(scratch) / "out"
        write_lines(source, texts, num_lines)
        options = ["--storage", "float16", "--jobs", jobs]
        options += ["--shard-rows", str(max(min(65_536, num_lines // 8), 1))]
        program = "import sys; from labse.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", program, "encode", str(source), "--out", str(out)]
        start = time.perf_counter()
        subprocess.run([*command, *options, "--model", model], check=True)
        seconds = time.perf_counter() - start
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        manifest = json.loads((out / "manifest.json").read_text("utf-8"))
        by_shard = rates(out, [shard["num_rows"] for shard in manifest["shards"]])
    quarter = max(len(by_shard) // 4, 1)
    first, last = by_shard[:quarter], by_shard[-quarter:]
    report = {
        "lines": manifest["num_rows"],
        "copies": manifest["num_duplicates"],
        "jobs": int(jobs),
        "lines_per_second": round(manifest["num_rows"] / seconds),
        "lines_per_cpu_second": round(manifest["num_rows"] / (used.ru_utime + used.ru_stime)),
        "peak_mebibytes_of_a_process": round(used.ru_maxrss / 1024),
        "last_quarter_to_first": round(sum(last) / len(last) / (sum(first) / len(first)), 2),
        "load": [round(load, 1) for load in os.getloadavg()],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
