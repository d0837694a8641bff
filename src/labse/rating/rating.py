"""Rating mined pairs by hand: a sample over all scores, and a file that survives a kill.

Takes: what `labse mine` wrote, a seed. Gives: pairs in the order to rate; ratings, row by row.
Source: Feng et al., arXiv 2007.01852, section 3.1: people rate samples GOOD or BAD.
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from labse.corpus.tables import open_table
from labse.errors import LabseError, ResourceError, UsageError
from labse.files.system import try_lock
from labse.files.text import format_suffix, read_lines

__all__ = [
    "Label",
    "MinedRow",
    "RatingFile",
    "Ratings",
    "draw_sample",
    "read_gold_pairs",
    "read_mined",
    "read_ratings",
    "sample_order",
]

Label: TypeAlias = Literal["GOOD", "BAD", "SKIP"]

_LABELS: tuple[Label, ...] = ("GOOD", "BAD", "SKIP")
_NUM_STRATA = 10


@dataclass(frozen=True, slots=True)
class MinedRow:
    """A pair and its score; `line` is its number in the file, from 1."""

    line: int
    score: float
    source: str
    target: str


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """Rated pairs: (N,) scores and whether people called them GOOD; SKIP is only counted."""

    scores: NDArray[np.float64]
    is_good: NDArray[np.bool_]
    num_skipped: int = 0


# ---- tables, whose header may be missing -----------------------------------------------------


def read_mined(path: str | Path) -> Iterator[MinedRow]:
    """Yields the rows of a table with the columns margin_score (or score), source and target.

    A TSV without these names in its first line has the three in this order, as labse wrote it until
    0.1. Further columns are ignored.

    Raises:
        LabseError: a column is missing, or a score is not a finite number; with file and line.
    """
    expected = "score, source and target with tabs between, as labse mine prints them"
    names = ("score", "source", "target")
    for number, (score, source, target) in _read_columns(path, names, expected):
        yield MinedRow(number, _parse_score(score, path, number), source, target)


def read_gold_pairs(path: str | Path) -> set[tuple[str, str]]:
    """Returns the distinct pairs of a table of source and target; further columns are ignored.

    A TSV may have a header; without it these are its first columns.

    Raises:
        LabseError: a column is missing, with file and line, or there is no row.
    """
    rows = _read_columns(path, ("source", "target"), "source and target with a tab between")
    pairs = {(source, target) for _, (source, target) in rows}
    if not pairs:
        raise LabseError(f"{path}: empty; give the pairs that are translations")
    return pairs


def read_ratings(path: str | Path) -> Ratings:
    """Reads a table of score and label: GOOD, BAD or SKIP in any case.

    A TSV may have a header; without it these are its first columns. Further ones are ignored.

    Raises:
        LabseError: a column is missing, another label, or a score that is not a finite number;
            with file and line; or there is no row.
    """
    scores: list[float] = []
    is_good: list[bool] = []
    num_skipped = 0
    for number, cells in _read_columns(path, ("score", "label"), "score, a tab, and GOOD or BAD"):
        score, label = _parse_score(cells[0], path, number), cells[1].strip().upper()
        if label not in _LABELS:
            raise LabseError(
                f"{path}, line {number}: the label is {cells[1][:40]!r}; expected GOOD, BAD or SKIP"
            )
        if label == "SKIP":
            num_skipped += 1
        else:
            scores.append(score)
            is_good.append(label == "GOOD")
    if not scores and not num_skipped:
        raise LabseError(f"{path}: empty; labse rate makes ratings")
    return Ratings(np.array(scores, np.float64), np.array(is_good, np.bool_), num_skipped)


def _read_columns(
    path: str | Path, names: tuple[str, ...], expected: str
) -> Iterator[tuple[int, Sequence[str]]]:
    """Yields number and values of each row; a TSV without header has the columns in this order."""
    if format_suffix(path) in (".jsonl", ".parquet"):
        table = open_table(path)
        columns = tuple(_full_name(table.names, name) or name for name in names)
        yield from table.read_rows(columns, numbers=columns[:1])
        return
    positions = list(range(len(names)))
    for number, line in enumerate(read_lines(path), start=1):
        cells = line.split("\t")
        if number == 1:
            header = [_full_name(cells, name) for name in names]
            if None not in header:
                positions = [cells.index(name) for name in header if name is not None]
                continue
            if header[0] is not None and "score" in names:
                missing = names[header.index(None)]
                raise LabseError(
                    f"{path}: no column {missing}; expected {expected}"
                    + ("; labse rate makes it" if missing == "label" else "")
                )
        if len(cells) <= max(positions):
            columns_found = "1 column" if len(cells) == 1 else f"{len(cells)} columns"
            raise LabseError(f"{path}, line {number}: {columns_found}; expected {expected}")
        yield number, [cells[position] for position in positions]


def _full_name(columns: Sequence[str], name: str) -> str | None:
    """Returns the column of this name; a score may be a `margin_score`."""
    return next((column for column in (f"margin_{name}", name) if column in columns), None)


def _parse_score(cell: str, path: str | Path, line: int) -> float:
    try:
        score = float(cell)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise LabseError(
            f"{path}, line {line}: the score is {cell[:40]!r}; expected a finite number"
        )
    return score


# ---- the sample ------------------------------------------------------------------------------


def draw_sample(path: str | Path, count: int, *, seed: int) -> list[MinedRow]:
    """Returns up to `count` pairs in the order to rate; a larger count only adds pairs at the end.

    Raises:
        LabseError: the file is empty or a row of it is broken.
    """
    scores = np.array([row.score for row in read_mined(path)])
    if not len(scores):
        raise LabseError(f"{path}: empty; there is nothing to rate")
    order = sample_order(scores, seed=seed)[:count].tolist()
    wanted = set(order)
    rows = {number: row for number, row in enumerate(read_mined(path)) if number in wanted}
    return [rows[number] for number in order]


def sample_order(scores: NDArray[np.float64], *, seed: int) -> NDArray[np.int64]:
    """Returns the numbers of all rows in an order whose every beginning is spread over the scores.

    The rows are cut by score into ten strata of equal size; each round takes one row of each, in a
    new order. So every pair has the same chance to be rated, and the precision of the ratings
    estimates that of the file.
    """
    generator = np.random.default_rng(seed)
    num_strata = min(_NUM_STRATA, len(scores))
    strata = [
        generator.permutation(stratum)
        for stratum in np.array_split(np.argsort(scores, kind="stable"), max(num_strata, 1))
    ]
    rounds = []
    for number in range(max(map(len, strata))):
        row = [int(stratum[number]) for stratum in strata if number < len(stratum)]
        rounds.extend(generator.permutation(np.array(row, np.int64)).tolist())
    return np.array(rounds, np.int64)


# ---- the file of ratings ---------------------------------------------------------------------


class RatingFile:
    """A TSV of score, label, source, target and line that grows by one rating at a time.

    Each rating is on the disk before the next is asked for. A row that a kill cut short is removed
    when the file is opened again. Only one process may hold it.
    """

    def __init__(self, path: str | Path, sample: list[MinedRow]) -> None:
        """Opens or makes the file.

        Raises:
            LabseError: it holds something other than ratings.
            UsageError: it holds ratings of other pairs, or another process rates there.
            ResourceError: it cannot be written.
        """
        self._path = path
        self._rows = {row.line: row for row in sample}
        self._labels: dict[int, Label] = {}
        self._stream = self._open()
        try:
            self._ends = self._read()
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the file."""
        self._stream.close()

    @property
    def labels(self) -> dict[int, Label]:
        """The label of each line rated so far, in the order of rating."""
        return dict(self._labels)

    def rate(self, row: MinedRow, label: Label) -> None:
        """Appends a rating and waits until it is on the disk."""
        self._stream.seek(0, os.SEEK_END)
        self._stream.write(_format(row, label))
        self._sync()
        self._labels[row.line] = label
        self._ends.append(self._stream.tell())

    def undo(self) -> MinedRow | None:
        """Removes the last rating and returns its pair; None if there is none."""
        if not self._labels:
            return None
        line, _ = self._labels.popitem()
        self._ends.pop()
        self._stream.truncate(self._ends[-1] if self._ends else 0)
        self._sync()
        return self._rows[line]

    def _sync(self) -> None:
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise ResourceError(f"{self._path}: cannot be written: {error.strerror}") from None

    def _open(self) -> BinaryIO:
        try:
            stream = Path(self._path).open("a+b")  # noqa: SIM115
        except OSError as error:
            raise ResourceError(f"{self._path}: cannot be written: {error.strerror}") from None
        if try_lock(stream.fileno()) is False:
            stream.close()
            raise UsageError(f"{self._path}: another labse rate is writing it") from None
        return stream

    def _read(self) -> list[int]:
        """Fills `_labels` and returns where each row ends."""
        self._stream.seek(0)
        ends: list[int] = []
        for number, raw in enumerate(self._stream.readlines(), start=1):
            row, label = self._parse(raw, number)
            if row is None or label is None:  # Cut short by a kill.
                self._stream.truncate(ends[-1] if ends else 0)
                break
            self._labels[row.line] = label
            ends.append((ends[-1] if ends else 0) + len(raw))
        return ends

    def _parse(self, raw: bytes, number: int) -> tuple[MinedRow | None, Label | None]:
        where = f"{self._path}, line {number}"
        if not raw.endswith(b"\n"):
            texts = (_format(row, label) for row in self._rows.values() for label in _LABELS)
            if any(text.startswith(raw) for text in texts):
                return None, None
            raise LabseError(f"{where}: not a row of labse rate; give another --out")
        cells = raw[:-1].decode(errors="replace").split("\t")
        label = next((known for known in _LABELS if len(cells) == 5 and cells[1] == known), None)
        if label is None or not cells[4].isdecimal():
            raise LabseError(
                f"{where}: not a row of labse rate (score, GOOD, BAD or SKIP, source, target, "
                "line); give another --out"
            )
        row = self._rows.get(int(cells[4]))
        if row is None or _format(row, label) != raw:
            raise UsageError(
                f"{where}: rates a pair that is not in this sample; give the same file, --count "
                "and --seed as before, or another --out"
            )
        return row, label


def _format(row: MinedRow, label: Label) -> bytes:
    return f"{row.score!r}\t{label}\t{row.source}\t{row.target}\t{row.line}\n".encode()
