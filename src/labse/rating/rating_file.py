"""A file of ratings that survives a kill.

Takes: a sample, then a label at a time. Gives: a TSV, row by row.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from labse.errors import LabseError, ResourceError, UsageError
from labse.files.system import try_lock
from labse.rating.labels import SCHEMES, Scheme
from labse.rating.ratings import MinedRow

__all__ = ["RatingFile"]


class RatingFile:
    """A TSV of score, label, source, target and line that grows by one rating at a time.

    Each rating is on the disk before the next is asked for. A row that a kill cut short is removed
    when the file is opened again. Only one process may hold it.
    """

    def __init__(
        self, path: str | Path, sample: list[MinedRow], scheme: Scheme = SCHEMES["good-bad"]
    ) -> None:
        """Opens or makes the file, for labels of one scheme.

        Raises:
            LabseError: it holds something other than ratings.
            UsageError: it holds ratings of other pairs, or another process rates there.
            ResourceError: it cannot be written.
        """
        self._path = path
        self._rows = {row.line: row for row in sample}
        self._allowed = scheme.labels
        self._labels: dict[int, str] = {}
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
    def labels(self) -> dict[int, str]:
        """The label of each line rated so far, in the order of rating."""
        return dict(self._labels)

    def rate(self, row: MinedRow, label: str) -> None:
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

    def _parse(self, raw: bytes, number: int) -> tuple[MinedRow | None, str | None]:
        where = f"{self._path}, line {number}"
        if not raw.endswith(b"\n"):
            texts = (_format(row, label) for row in self._rows.values() for label in self._allowed)
            if any(text.startswith(raw) for text in texts):
                return None, None
            raise LabseError(f"{where}: not a row of labse rate; give another --out")
        cells = raw[:-1].decode(errors="replace").split("\t")
        label = cells[1] if len(cells) in (5, 6, 8) and cells[1] in self._allowed else None
        if label is None or not cells[4].isdecimal():
            raise LabseError(
                f"{where}: not a row of labse rate (score, {', '.join(self._allowed)}, source, "
                "target, line); give another --out"
            )
        row = self._rows.get(int(cells[4]))
        if row is None or _format(row, label) != raw:
            raise UsageError(
                f"{where}: rates a pair that is not in this sample; give the same file, --count, "
                "--seed and --stratify as before, or another --out"
            )
        return row, label


def _format(row: MinedRow, label: str) -> bytes:
    cells = [repr(row.score), label, row.source, row.target, str(row.line)]
    if row.lang_pair or row.stratum_pairs:
        cells.append(row.lang_pair)
    if row.stratum_pairs:
        cells += [str(row.stratum), str(row.stratum_pairs)]
    return ("\t".join(cells) + "\n").encode()
