"""What `labse mine` wrote, read back; gold pairs to judge it by.

Takes: TSV of score, source, target and more columns, or of source and target.
Gives: rows in the order of the file, in constant memory.
Source: docs/mining.md; a row that is none is an error with file and line.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labse.errors import LabseError
from labse.files.text import read_lines

__all__ = ["MinedRow", "parse_score", "read_gold_pairs", "read_mined"]


@dataclass(frozen=True, slots=True)
class MinedRow:
    """A pair and its score; `line` is its number in the file, from 1."""

    line: int
    score: float
    source: str
    target: str


def read_mined(path: str | Path) -> Iterator[MinedRow]:
    """Yields the rows of a TSV: score, source, target; further columns are not looked at.

    Raises:
        LabseError: fewer columns, or a score that is no finite number; with file and line.
    """
    for number, line in enumerate(read_lines(path), start=1):
        cells = line.split("\t", 3)
        if len(cells) < 3:
            raise LabseError(
                f"{path}, line {number}: {len(cells)} columns; expected score, source and target "
                "with tabs between, as labse mine prints them"
            )
        yield MinedRow(number, parse_score(cells[0], path, number), cells[1], cells[2])


def parse_score(cell: str, path: str | Path, line: int) -> float:
    """Returns a finite number.

    Raises:
        LabseError: it is none; with file and line.
    """
    try:
        score = float(cell)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise LabseError(
            f"{path}, line {line}: the score is {cell[:40]!r}; expected a finite number"
        )
    return score


def read_gold_pairs(path: str | Path) -> set[tuple[str, str]]:
    """Returns the distinct pairs of a TSV of source and target; more columns are not looked at.

    Raises:
        LabseError: one column only, with file and line, or no row.
    """
    pairs: set[tuple[str, str]] = set()
    for number, line in enumerate(read_lines(path), start=1):
        cells = line.split("\t", 2)
        if len(cells) < 2:
            raise LabseError(
                f"{path}, line {number}: 1 column; expected source and target with a tab between"
            )
        pairs.add((cells[0], cells[1]))
    if not pairs:
        raise LabseError(f"{path}: empty; give the pairs that are translations")
    return pairs
