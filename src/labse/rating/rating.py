"""Rating mined pairs by hand: a sample over all scores, and a file that survives a kill.

Takes: the TSV of `labse mine`, a seed. Gives: pairs in the order to rate, ratings row by row.
Source: Feng et al., arXiv 2007.01852, section 3.1: people rate samples GOOD or BAD.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError, ResourceError, UsageError
from labse.rating.mined_files import MinedRow, read_mined

__all__ = ["Label", "RatingFile", "draw_sample", "sample_order"]

Label: TypeAlias = Literal["GOOD", "BAD", "SKIP"]

_LABELS: tuple[Label, ...] = ("GOOD", "BAD", "SKIP")
_NUM_STRATA = 10


def draw_sample(path: str | Path, count: int, *, seed: int) -> list[MinedRow]:
    """Returns up to `count` pairs in the order to rate; a larger count only adds pairs at the end.

    Raises:
        LabseError: the file is empty or a row of it is broken.
    """
    scores = np.array([row.score for row in read_mined(path)])
    if not len(scores):
        raise LabseError(f"{path}: empty; there is nothing to rate")
    order = sample_order(scores, seed=seed)[:count]
    wanted = set((order + 1).tolist())
    rows = {row.line: row for row in read_mined(path) if row.line in wanted}
    return [rows[number + 1] for number in order.tolist()]


def sample_order(scores: NDArray[np.float64], *, seed: int) -> NDArray[np.int64]:
    """Returns all rows in an order of which each beginning is spread over the scores.

    The rows are cut by score into ten strata of one size; each round takes one row of each, in a
    new order. So every pair has the same chance, and a precision of the ratings is one of the file.
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


class RatingFile:
    """A TSV of score, label, source, target and line that grows by one rating at a time.

    Each rating is on the disk before the next is asked for. A row that a kill cut short is taken
    away when the file is opened again. Only one process may hold it.
    """

    def __init__(self, path: str | Path, sample: list[MinedRow]) -> None:
        """Opens or makes the file.

        Raises:
            LabseError: it holds something else than ratings.
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
        """Takes the last rating away and returns its pair; None if there is none."""
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
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.close()
            raise UsageError(f"{self._path}: another labse rate is writing it") from None
        return stream

    def _read(self) -> list[int]:
        """Fills `_labels`; returns where each row ends."""
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
