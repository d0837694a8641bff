"""Files to rows of an index: text, TSV, JSONL, Parquet and the other tables.

Takes: a file, and which columns are what. Gives: a row for each line or row, in order.
Source: docs/search.md, "What goes in".
"""

import datetime
import decimal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from labse.corpus.file_formats import check_readable, default_column, file_lang, is_table
from labse.corpus.readers import read_texts
from labse.corpus.tables import Table, iter_batches, open_table, parse_object, quote_names
from labse.errors import LabseError, UsageError
from labse.files.object_store import find_url
from labse.files.text import format_suffix, read_lines
from labse.index.rows import IndexRow, canonical_lang
from labse.index.where import read_number

__all__ = ["RowOptions", "check_files", "read_rows"]

_Record = dict[str, object]


@dataclass(frozen=True, slots=True)
class RowOptions:
    """Which columns of a table are what.

    Attributes:
        column: of the texts; None: `text`, of XLIFF and PO `source`.
        lang: of all rows; None: a column `lang`, of text the suffix (`news.de`), else unknown.
        metadata: the columns to keep; None: all others.
    """

    column: str | None = None
    lang: str | None = None
    metadata: tuple[str, ...] | None = None


def read_rows(path: str, options: RowOptions) -> Iterator[IndexRow]:
    """Yields the rows of a file.

    A column `id` names them; without it, and for text, the id is the path and the number of the
    line, such as `news.de:12`. Cells of a TSV that are empty are left out; if all others of its
    column are numbers, so is the column.

    Args:
        path: text, or a table; `-` is standard input.
        options: which columns are what.

    Raises:
        LabseError: broken data, or a value that cannot be stored, with file and line.
        UsageError: a format that is not read, or a column that is not there.
    """
    check_readable(path)
    if not is_table(path):
        lang = canonical_lang(options.lang or file_lang(path))
        for number, text in enumerate(read_texts(path), start=1):
            yield _build_row(path, "line", number, {"text": text}, "text", lang, ())
        return

    column = options.column or default_column(path)
    table = open_table(path)
    wanted = _choose_metadata(table, column, options)
    for number, record in _read_records(path, table, wanted, column):
        code = options.lang or record.get("lang")
        if code is not None and not isinstance(code, str):
            raise LabseError(f"{path}, {table.unit} {number}: lang is {code!r}; expected a code")
        tag = canonical_lang(code)
        yield _build_row(path, table.unit, number, record, column, tag, wanted(record))


def _choose_metadata(
    table: Table, column: str, options: RowOptions
) -> Callable[[_Record], Sequence[str]]:
    """Returns what tells the columns of metadata of a record; rows of JSONL differ in theirs."""
    names = table.names
    is_open = format_suffix(table.path) == ".jsonl"  # A later line may have further keys.
    for name in (column, *(options.metadata or ())):
        if names and name not in names and not is_open:
            raise LabseError(
                f"{table.path}: no column {name!r}; its columns are {quote_names(names)}"
            )
    own = {column, "id", "lang", "text"}
    if options.metadata is not None:
        chosen = [name for name in options.metadata if name not in ("id", "lang", column)]
        return lambda _: chosen
    return lambda record: [name for name in record if name not in own]


def _build_row(
    path: str,
    unit: str,
    number: int,
    record: _Record,
    column: str,
    lang: str,
    metadata: Sequence[str],
) -> IndexRow:
    try:
        text = record.get(column)
        if not isinstance(text, str):
            found = "missing" if text is None else repr(text)[:40]
            raise ValueError(f"{column!r} is {found}; expected text")
        row_id = record.get("id")
        if row_id is None:
            row_id = f"{path}:{number}"
        if isinstance(row_id, bool) or not isinstance(row_id, str | int):
            raise ValueError(f"id is {row_id!r}; expected text or a whole number")
        kept = {name: record[name] for name in metadata if record.get(name) is not None}
        return IndexRow(str(row_id), text, lang, kept)  # type: ignore[arg-type] # It checks them.
    except ValueError as error:
        hint = "; --metadata names the columns to keep" if "column" in str(error) else ""
        raise LabseError(f"{path}, {unit} {number}: {error}{hint}") from None


# ---- records -----------------------------------------------------------------------------------


def _read_records(
    path: str, table: Table, wanted: Callable[[_Record], Sequence[str]], column: str
) -> Iterator[tuple[int, _Record]]:
    suffix = format_suffix(path)
    if suffix == ".jsonl":
        for number, line in enumerate(read_lines(path), start=1):
            yield number, parse_object(path, number, line)
        return
    known = dict.fromkeys((column, "id", "lang"))
    names = [name for name in {**known, **dict.fromkeys(wanted({n: 0 for n in table.names}))}
             if name in table.names]  # fmt: skip
    if suffix == ".parquet":
        yield from _read_parquet(Path(path), names)
        return

    numeric = _find_numeric(path, names, {*known}) if suffix == ".tsv" else set()
    for number, cells in table.read_rows(tuple(names)):
        record: _Record = dict(zip(names, cells, strict=True))
        for name in names:
            if name not in known:
                cell = str(record[name])
                record[name] = read_number(cell) if name in numeric else cell or None
        if not record.get("id", True):
            raise LabseError(f"{path}, {table.unit} {number}: the id is empty")
        yield number, record


def _find_numeric(path: str, names: Sequence[str], known: set[str]) -> set[str]:
    """Reads a TSV once for the columns whose cells are numbers, some of them perhaps empty."""
    numeric = [name for name in names if name not in known]
    seen: set[str] = set()
    if not numeric:
        return set()
    for _, cells in open_table(path).read_rows(tuple(numeric)):
        found = dict(zip(numeric, cells, strict=True))
        seen |= {name for name, cell in found.items() if cell}
        if wrong := {n for n, cell in found.items() if cell and read_number(cell) is None}:
            return _find_numeric(path, [n for n in numeric if n not in wrong], known)
    return seen & set(numeric)


def _read_parquet(path: Path, names: Sequence[str]) -> Iterator[tuple[int, _Record]]:
    number = 0
    for batch in iter_batches(path, names):
        columns = []
        for name in names:
            array = batch.column(name)
            if hasattr(array, "dictionary"):  # 40 times as fast as its own to_pylist.
                array = array.dictionary_decode()
            try:
                columns.append([_plain(value) for value in array.to_pylist()])
            except UnicodeDecodeError:
                raise LabseError(f"{path}: column {name!r} is not valid UTF-8") from None
        for values in zip(*columns, strict=True):
            number += 1
            yield number, dict(zip(names, values, strict=True))


def _plain(value: object) -> object:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return float(value) if isinstance(value, decimal.Decimal) else value


def check_files(files: Sequence[str], options: RowOptions) -> None:
    """Tells before any work that a file cannot be read, or an option cannot apply.

    Raises:
        UsageError: a format that is not read, `-` twice, a pipe, or a column for text alone.
        LabseError: a column is not there, or the file with it.
    """
    if not files:
        raise UsageError("name the files to index")
    if list(files).count("-") > 1:
        raise UsageError("standard input (-) is given twice; it can be read but once")
    is_any_table = False
    for file in files:
        check_readable(file)
        if is_table(file):
            is_any_table = True
            _choose_metadata(open_table(file), options.column or default_column(file), options)
        elif file != "-" and not (find_url(file) or Path(file).is_file()):
            raise UsageError(
                f"{file}: is a device or pipe, which cannot be read again; write it to a file, or "
                "give - for standard input"
            )
    for name, value in (("column", options.column), ("metadata", options.metadata)):
        if value is not None and not is_any_table:
            raise UsageError(f"--{name}: text has no columns; leave it out")
