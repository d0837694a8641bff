"""The record of a run: one JSON object a line in `metrics.jsonl`."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from labse.files.atomic import write_atomic
from labse.files.text import read_lines

__all__ = ["append_metrics", "read_metrics", "truncate_metrics"]


def append_metrics(path: Path, row: Mapping[str, float | str]) -> None:
    """Adds one line and flushes it to the disk."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Returns the rows; a last line cut short by a kill is left out."""
    rows: list[dict[str, float]] = []
    for line in read_lines(path):
        try:
            row = json.loads(line)
        except ValueError:
            break
        if not isinstance(row, dict) or "step" not in row:
            break
        rows.append(row)
    return rows


def truncate_metrics(path: Path, step: int) -> None:
    """Drops the rows after `step`, so that a resumed run writes them once."""
    if not path.exists():
        return
    kept = [row for row in read_metrics(path) if row["step"] <= step]
    with write_atomic(path) as stream:
        stream.writelines(json.dumps(row).encode() + b"\n" for row in kept)
