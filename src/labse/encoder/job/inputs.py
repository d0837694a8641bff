r"""Files to the texts that are encoded, one for each row of the result.

Takes: text, and tables of any format, plain or packed; `-` is standard input.
Gives: the texts in order, and how many rows each file had. Any text is allowed, also one with line
    ends inside (JSONL, Parquet), but no lone surrogate.
"""

import gzip
import itertools
import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from labse.corpus.file_formats import check_readable, is_pairs
from labse.corpus.readers import read_texts
from labse.corpus.tables import ColumnNames, parquet_source
from labse.errors import UsageError
from labse.files.text import format_suffix
from labse.runtime import require

__all__ = ["InputTexts", "LineBlock"]

_LOGGER = logging.getLogger(__name__)
_SAMPLE_BYTES = 1 << 20
_SAMPLE_LINES = 20
_DAMAGES = (OSError, EOFError, ValueError, zlib.error)  # Errors of pyarrow are among them.


@dataclass(frozen=True, slots=True)
class LineBlock:
    """One of several blocks of lines that follow each other, so that many machines share a file.

    Attributes:
        number: from 1.
        count: how many blocks there are.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            UsageError: there is no such block.
        """
        if not 1 <= self.number <= self.count:
            raise UsageError(f"--shard {self}: give i/n, block i from 1 to n, such as 2/8")

    @classmethod
    def parse(cls, text: str | None) -> "LineBlock | None":
        """Returns the block that `2/8` names; None for None.

        Raises:
            UsageError: it is not of this form.
        """
        if text is None:
            return None
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise UsageError(f"--shard {text}: give i/n, block i from 1 to n, such as 2/8")
        return cls(int(number), int(count))

    def __str__(self) -> str:
        """Returns `2/8`."""
        return f"{self.number}/{self.count}"

    def bounds(self, num_rows: int) -> tuple[int, int]:
        """Returns the first row, from 0, and the one after the last; sizes differ by one at most.

        The blocks of all numbers, one after the other, are all rows.
        """
        return num_rows * (self.number - 1) // self.count, num_rows * self.number // self.count


class InputTexts:
    """The texts of some files, which are read once.

    Attributes:
        paths: the files.
        num_rows: of each file that was read to its end or is being read, in order.
    """

    def __init__(
        self,
        paths: Sequence[str],
        *,
        column: str | None = None,
        names: ColumnNames | None = None,
        rows: tuple[int, int] | None = None,
    ) -> None:
        """Checks the names.

        Args:
            paths: files; `-` may be one of them.
            column: the name of the column or key of tables, None: `text`, of XLIFF and PO `source`.
            names: where tables of others have it.
            rows: the first row of all files and the one after the last; None: all of them.

        Raises:
            UsageError: a file of a format that is not read, `-` twice, or a column for text alone.
        """
        is_side = column in ("source", "target")  # Of pairs, which TMX holds too.
        for path in paths:
            check_readable(path, pairs=is_side)
        if list(paths).count("-") > 1:
            raise UsageError("standard input (-) is given twice; it can be read but once")
        if column is not None and not any(map(is_pairs, paths)):
            raise UsageError(f"--column {column}: text has no columns; leave it out")
        self.paths = list(paths)
        self._column, self._names, self._rows = column, names, rows
        self._told: set[str] = set()
        self.num_rows: list[int] = []

    def __iter__(self) -> Iterator[str]:
        """Yields the texts.

        Raises:
            LabseError: a file is missing or broken; the message names it and the line.
        """
        start, stop = self._rows or (0, None)
        number = 0
        for path in self.paths:
            self.num_rows.append(0)
            for text in self._read(path):
                if stop is not None and number >= stop:
                    return
                number += 1
                if number > start:
                    self.num_rows[-1] += 1
                    yield text

    def _read(self, path: str) -> Iterator[str]:
        """Yields all texts of a file, and tells once what its lines look like."""
        texts = read_texts(path, column=self._column, columns=self._names)
        first = list(itertools.islice(texts, _SAMPLE_LINES))
        has_tabs = bool(first) and all("\t" in text for text in first)
        if has_tabs and not is_pairs(path) and path not in self._told:
            self._told.add(path)
            _LOGGER.warning(
                f"{path}: its lines hold tabs, and each is taken as one text; a table with named "
                "columns is read from a file named .tsv"
            )
        yield from itertools.chain(first, texts)

    def describe(self) -> list[dict[str, object]]:
        """Returns path, first row and number of rows of each file, for a manifest."""
        described: list[dict[str, object]] = []
        first_row = 0
        for path, num_rows in zip(self.paths, self.num_rows, strict=False):
            described.append({"path": path, "first_row": first_row, "num_rows": num_rows})
            first_row += num_rows
        return described

    def estimate_rows(self) -> int | None:
        """Guesses the rows of all files from their sizes and first MiB; None: it cannot be told."""
        if self._rows is not None:
            return self._rows[1] - self._rows[0]
        estimates = [_estimate(Path(path)) for path in self.paths]
        known = [estimate for estimate in estimates if estimate is not None]
        return sum(known) if len(known) == len(estimates) else None


def _estimate(path: Path) -> int | None:
    if not path.is_file():
        return None
    try:
        if format_suffix(path) == ".parquet":
            parquet = require("pyarrow.parquet", "parquet")
            with parquet_source(path) as source:
                return int(parquet.read_metadata(source).num_rows)
        if path.suffix.lower() in (".bz2", ".zst"):
            return None
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if path.suffix.lower() != ".gz":
                sample = stream.read(_SAMPLE_BYTES)
                return round(sample.count(b"\n") * size / len(sample)) if sample else None
            sample = gzip.GzipFile(fileobj=stream).read(_SAMPLE_BYTES)
            return round(sample.count(b"\n") * size / stream.tell())
    except _DAMAGES:  # Reading it in earnest tells what is wrong.
        return None
