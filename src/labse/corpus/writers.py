r"""Writers: rows of named columns to text, TSV, JSONL, Parquet and TMX; pairs also to Moses files.

Takes: rows in the order in which they are to stand. Gives: a file that is whole or not there at
    all, `.bz2`, `.gz` and `.zst` by its suffix; the same rows give the same bytes.
Source: docs/design.md, promises: one row for each row given, what had to be changed is counted.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from labse.corpus.file_formats import Layout, RowKind, choose_layout
from labse.corpus.output_files import open_output
from labse.corpus.records import SentencePair, TextRecord
from labse.corpus.tmx_writer import write_tmx_rows
from labse.errors import LabseError, UsageError
from labse.files.atomic import check_writable
from labse.files.system import real_path
from labse.runtime import require

__all__ = [
    "PAIR_COLUMNS",
    "RECORD_COLUMNS",
    "Layout",
    "Value",
    "Written",
    "check_outputs",
    "check_picture",
    "open_output",
    "to_cell",
    "write_moses",
    "write_pairs",
    "write_parquet_rows",
    "write_records",
    "write_rows",
]

Value = str | int | float | tuple[str, ...]
"""Of a cell; a tuple holds texts without spaces, such as addresses."""

PAIR_COLUMNS = ("source", "target", "source_lang", "target_lang")
RECORD_COLUMNS = ("text", "lang", "document", "origin")

# What would end a cell or a row where there is no quoting.
_NOT_IN_LINE = str.maketrans("\r\n", "  ")
_NOT_IN_CELL = str.maketrans("\t\r\n", "   ")
_BATCH_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes:
        num_rows: as many as were given.
        num_altered: rows with a character that the format cannot hold, which became a space or,
            in TMX, U+FFFD.
    """

    num_rows: int
    num_altered: int


def check_outputs(
    *paths: str | Path | None,
    inputs: Iterable[str | Path | None] = (),
    kind: RowKind | None = "pairs",
    layout: Layout | None = None,
) -> None:
    """Tells before any work that its results could not be written.

    Args:
        paths: the files; None and `-`, standard output, are none.
        inputs: files that no result may replace.
        kind: what the rows of the first are; None where it has a format of its own.
        layout: the format of the first, None: that of its suffix.

    Raises:
        UsageError: two of them are one file, or one is an input, or a suffix that is not known.
        ResourceError: a file cannot be written, or the package for its format is missing.
    """
    taken = list(inputs)
    for number, path in enumerate(paths):
        if path is None:
            continue
        if number == 0 and kind and choose_layout(path, kind, layout) == "parquet":
            require("pyarrow.parquet", "parquet")
        if str(path) == "-":
            continue
        check_writable(path, inputs=taken)
        taken.append(path)


def check_picture(path: str | Path | None, *, inputs: Iterable[str | Path | None] = ()) -> None:
    """Tells before any work that a picture could not be drawn or written; None is no picture.

    Raises:
        UsageError: the name ends in something else than .png, or is that of an input.
        ResourceError: it cannot be written, or matplotlib is missing.
    """
    if path is None:
        return
    if Path(path).suffix.lower() != ".png":
        raise UsageError(f"{path}: pictures are PNG; give a name that ends in .png")
    require("matplotlib.figure", "plot")
    check_writable(path, inputs=inputs)


def write_rows(
    path: str | Path,
    columns: Sequence[str],
    rows: Iterable[Sequence[Value]],
    *,
    layout: Layout | None = None,
) -> Written:
    """Writes a table; of text (`.txt`) its one column, of the others all columns.

    A TSV has a header and no quoting. A number is written so that it reads back equal, a tuple as
    a list; in TSV and TMX its texts stand with spaces between. TMX needs the columns of
    `PAIR_COLUMNS`; the others become properties of the unit.

    Args:
        path: the file; `-` is standard output, and needs `layout`.
        columns: the names.
        rows: a value for each column; a column holds values of one type.
        layout: the format, None: that of the suffix.

    Raises:
        LabseError: a lone surrogate or a number that is not finite, with the number of the row.
        ResourceError: the file cannot be written.
        UsageError: see `choose_layout`; or text of several columns.
        ValueError: a row of another length than `columns`, a value that is no `Value` of Python
            (NumPy's are not), or of another type than the first of its column.
    """
    layout = choose_layout(path, "rows", layout)
    if layout == "txt" and len(columns) != 1:
        raise UsageError(f"{path}: text has one column, not {len(columns)}; write .tsv or .jsonl")
    checked = _check_rows(path, columns, rows)
    with open_output(path) as stream:
        if layout == "parquet":
            return write_parquet_rows(stream, columns, checked)
        if layout == "tmx":
            return Written(*write_tmx_rows(stream, columns, ([*map(_join, r)] for r in checked)))
        if layout == "tsv":
            stream.write(("\t".join(to_cell(name) for name in columns) + "\n").encode())
        format_row = _FORMATS[layout]
        num_rows = num_altered = 0
        for number, row in enumerate(checked, start=1):
            line, is_altered = format_row(columns, row)
            stream.write(_encode(path, number, line))
            num_rows, num_altered = number, num_altered + is_altered
        return Written(num_rows, num_altered)


def write_records(
    path: str | Path, records: Iterable[TextRecord], *, layout: Layout | None = None
) -> Written:
    """Writes text records with the columns of `RECORD_COLUMNS`; text (`.txt`) holds but the text.

    Raises:
        LabseError, ResourceError, UsageError: see `write_rows`.
    """
    layout = choose_layout(path, "records", layout)
    if layout == "txt":
        return write_rows(path, ("text",), ((r.text,) for r in records), layout=layout)
    rows = ((r.text, r.lang, r.document, r.origin) for r in records)
    return write_rows(path, RECORD_COLUMNS, rows, layout=layout)


def write_pairs(
    path: str | Path, pairs: Iterable[SentencePair], *, layout: Layout | None = None
) -> Written:
    """Writes pairs with the columns of `PAIR_COLUMNS`, which `read_pairs` reads back.

    Raises:
        LabseError, ResourceError, UsageError: see `write_rows`.
    """
    layout = choose_layout(path, "pairs", layout)
    rows = ((p.source, p.target, p.source_lang, p.target_lang) for p in pairs)
    return write_rows(path, PAIR_COLUMNS, rows, layout=layout)


def write_moses(
    source_path: str | Path, target_path: str | Path, pairs: Iterable[SentencePair]
) -> Written:
    """Writes both sides as text, line i of one the translation of line i of the other.

    Raises:
        ResourceError: a file cannot be written; each appears whole or not at all.
        UsageError: one of them is standard output, or both are one file.
    """
    if "-" in (str(source_path), str(target_path)):
        raise UsageError("Moses pairs are two files, so neither can be standard output (-)")
    if real_path(source_path) == real_path(target_path):
        raise UsageError(f"{source_path}: both sides would go to one file; name two")
    num_rows = num_altered = 0
    with open_output(source_path) as source_stream, open_output(target_path) as target_stream:
        for num_rows, pair in enumerate(pairs, start=1):  # noqa: B007
            source, target = (text.translate(_NOT_IN_LINE) for text in (pair.source, pair.target))
            source_stream.write(f"{source}\n".encode())
            target_stream.write(f"{target}\n".encode())
            num_altered += (source, target) != (pair.source, pair.target)
    return Written(num_rows, num_altered)


# ---- rows ------------------------------------------------------------------------------------


def _check_rows(
    path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[Value]]
) -> Iterator[Sequence[Value]]:
    types: tuple[type, ...] | None = None
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns):
            raise ValueError(f"row {number} has {len(row)} values for {len(columns)} columns")
        found = tuple(map(type, row))
        if types is None and (strange := set(found) - {str, int, float, tuple}):
            raise ValueError(f"row {number} holds {strange}; give str, int, float or tuple")
        if found != (types := types or found):
            raise ValueError(f"row {number} holds {found}, the first row {types}")
        for value in row:
            if isinstance(value, float) and (value != value or value in (_INF, -_INF)):
                raise LabseError(f"{path}, row {number}: {value} is not a finite number")
        yield row


_INF = float("inf")


def _encode(path: str | Path, number: int, line: str) -> bytes:
    try:
        return line.encode()
    except UnicodeEncodeError as error:
        char = f"U+{ord(line[error.start]):04X}"
        raise LabseError(f"{path}, row {number}: a lone surrogate ({char}); remove it") from None


def _format_text(columns: Sequence[str], row: Sequence[Value]) -> tuple[str, bool]:
    text = str(row[0])
    line = text.translate(_NOT_IN_LINE)
    return line + "\n", line != text


def _format_tsv(columns: Sequence[str], row: Sequence[Value]) -> tuple[str, bool]:
    joined = map(_join, row)
    values = [value if isinstance(value, str) else repr(value) for value in joined]
    cells = [to_cell(value) for value in values]
    return "\t".join(cells) + "\n", cells != values


def _join(value: Value) -> str | int | float:
    return " ".join(value) if isinstance(value, tuple) else value


def _format_json(columns: Sequence[str], row: Sequence[Value]) -> tuple[str, bool]:
    record = dict(zip(columns, row, strict=True))
    return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n", False


_FORMATS: dict[Layout, Callable[[Sequence[str], Sequence[Value]], tuple[str, bool]]] = {
    "txt": _format_text,
    "tsv": _format_tsv,
    "jsonl": _format_json,
}


def to_cell(text: str) -> str:
    """Returns a text as a cell of a TSV, with a space for what would end the cell or the row."""
    return text.translate(_NOT_IN_CELL)


# ---- Parquet ---------------------------------------------------------------------------------


def write_parquet_rows(
    stream: IO[bytes], columns: Sequence[str], rows: Iterator[Sequence[Value]]
) -> Written:
    """Writes rows as Parquet to a stream; see `write_rows`."""
    pyarrow, parquet = require("pyarrow", "parquet"), require("pyarrow.parquet", "parquet")
    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    types[tuple] = pyarrow.list_(pyarrow.string())
    first = list(itertools.islice(rows, 1))
    kinds = [types[type(value)] for value in (first[0] if first else [""] * len(columns))]
    schema = pyarrow.schema(list(zip(columns, kinds, strict=True)))
    num_rows = 0
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        for batch in _batches(itertools.chain(first, rows)):
            values = [list(column) for column in zip(*batch, strict=True)]
            try:
                table = pyarrow.table(dict(zip(columns, values, strict=True)), schema=schema)
            except UnicodeEncodeError:
                rows_named = f"rows {num_rows + 1} to {num_rows + len(batch)}"
                raise LabseError(f"Parquet, {rows_named}: a lone surrogate; remove it") from None
            writer.write_table(table)
            num_rows += len(batch)
    return Written(num_rows, 0)


def _batches(rows: Iterator[Sequence[Value]]) -> Iterator[list[Sequence[Value]]]:
    while batch := list(itertools.islice(rows, _BATCH_ROWS)):
        yield batch
