"""Tables: named columns of text from TSV, JSONL, Parquet, XLIFF, PO and subtitles, row by row.

Takes: a path; Parquet needs pyarrow, PO polib.
Gives: the asked-for values of each row with the row's number, in constant memory.
Source: docs/design.md, promises: every broken row is an error that names file and row.
"""

import contextlib
import itertools
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias, cast

from labse.corpus.file_formats import is_pairs
from labse.corpus.gettext_catalogue import read_po
from labse.corpus.subtitles import read_cues
from labse.corpus.tmx import read_tmx
from labse.corpus.xliff import Unit, read_xliff
from labse.errors import LabseError, UsageError
from labse.files.objects import local_file
from labse.files.text import format_suffix, read_lines
from labse.runtime import require

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "ColumnNames",
    "Row",
    "Table",
    "explain_quotes",
    "iter_batches",
    "open_numbered_tsv",
    "open_table",
    "parquet_errors",
    "parquet_source",
    "parse_columns",
    "parse_object",
    "quote_names",
]

_LOGGER = logging.getLogger(__name__)

Row = tuple[int, tuple[str, ...]]  # Its number in the file, from 1, and the asked-for values.
ColumnNames: TypeAlias = Mapping[str, str | int]
"""Where a table of others has what we call source, target, source_lang, ...: names of columns, or
their numbers, from 1, of a TSV without header."""

_Columns = tuple[str, ...]
_NumberedLines = Iterable[tuple[int, str]]
_ROLES = ("source", "target", "source_lang", "target_lang", "margin_score", "text", "lang")
_BATCH_ROWS = 16_384  # About 2 MiB of sentences at a time.
# A cell as spreadsheets and `to_csv(sep="\t")` write one that holds a quote (RFC 4180, section 2).
_QUOTED_CELL = re.compile(r'"((?:[^"]|"")*)"')


@dataclass(frozen=True, slots=True)
class Table:
    """A table that was opened but not read.

    Attributes:
        path: for messages.
        unit: what the table calls its rows: `line` or `row`.
        names: of its columns; empty where there is no row that names them, so none to read.
    """

    path: str | Path
    unit: str
    names: _Columns
    _iter_rows: Callable[[_Columns, Collection[str]], Iterator[Row]]

    def read_rows(self, columns: _Columns, *, numbers: Collection[str] = ()) -> Iterator[Row]:
        """Reads the rows once, with the values in the order of `columns`.

        Args:
            columns: names of columns.
            numbers: those of them that may hold numbers, which are given as text.

        Raises:
            LabseError: a column is missing or stands twice, or a row is broken.
        """
        if not self.names:
            return iter(())
        for column in columns:
            if (count := self.names.count(column)) != 1:
                problem = "no column" if count == 0 else f"{count} columns named"
                raise LabseError(
                    f"{self.path}: {problem} {column!r}; its columns are {quote_names(self.names)}"
                    f"{explain_quotes(self.names)}"
                )
        return self._iter_rows(columns, numbers)


def quote_names(names: Sequence[str]) -> str:
    """Returns the first names as a list for a message."""
    shown = ", ".join(repr(name if len(name) <= 40 else name[:40] + "...") for name in names[:10])
    return shown + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def explain_quotes(names: Sequence[str]) -> str:
    """Returns the end of a message where all names of columns are in quotes, else nothing."""
    if not all(_QUOTED_CELL.fullmatch(name) for name in names):
        return ""
    return "; the cells look quoted, which is not undone: write the table without quoting"


def parse_columns(columns: str | None) -> ColumnNames | None:
    """Returns what `source=3,target=4` says; None for None.

    Raises:
        UsageError: it is not of this form, or names something else than what tables have here.
    """
    if columns is None:
        return None
    found: dict[str, str | int] = {}
    for part in columns.split(","):
        role, separator, name = (side.strip() for side in part.partition("="))
        role = "margin_score" if role == "score" else role
        if not separator or not name or role not in _ROLES or role in found:
            raise UsageError(
                f"--columns {columns}: give numbers or names, such as source=3,target=4; known: "
                f"{', '.join(_ROLES).replace('margin_', '')}, each once"
            )
        found[role] = int(name) if name.isdecimal() else name
    if len({type(name) for name in found.values()}) > 1:
        raise UsageError(
            f"--columns {columns}: give numbers, of a table without header, or names, not both"
        )
    if 0 in found.values():
        raise UsageError(f"--columns {columns}: the first column is 1")
    return found


def open_table(path: str | Path, columns: Sequence[str] | ColumnNames | None = None) -> Table:
    """Opens a table by its suffix: all but Parquet also packed.

    Subtitles have the column text; TMX, XLIFF and PO have source and target, and for each side the
    column of its language where the file names one.

    Args:
        path: the file.
        columns: the names of all columns of a TSV without header, or where the columns stand that
            have another name here; None: the first line has the names.

    Raises:
        LabseError: no such file, or not of this format, or a column is not there.
        UsageError: another suffix, or `columns` for a file that does not take them.
    """
    if isinstance(columns, Mapping):
        return _rename(path, columns)
    suffix = format_suffix(path)
    if suffix == ".tsv":
        return _open_tsv(path, columns)
    if not is_pairs(path):
        raise UsageError(
            f"{path}: cannot tell the format from {suffix or 'a name without suffix'!r}; known: "
            ".txt or a language code (text), .srt, .vtt, .tsv, .jsonl, .xlf, .xliff, .po, each "
            "also .bz2, .gz or .zst, .tmx and .parquet"
        )
    if columns is not None:
        raise UsageError(f"{path}: columns is only for a TSV without header; leave it out")
    if suffix in (".srt", ".vtt"):
        return Table(
            path, "cue", ("text",), lambda *_: ((n, (text,)) for n, text in read_cues(path))
        )
    if suffix in (".xlf", ".xliff", ".po", ".pot"):
        return _open_units(path, read_po if suffix in (".po", ".pot") else read_xliff)
    if suffix == ".tmx":
        return _open_tmx(path)
    return _open_jsonl(path) if suffix == ".jsonl" else _open_parquet(path)


def _rename(path: str | Path, columns: ColumnNames) -> Table:
    """Opens a table whose columns have other names, and gives them those that we know."""
    if any(isinstance(name, int) for name in columns.values()):
        if format_suffix(path) != ".tsv":
            raise UsageError(f"{path}: only a TSV has numbered columns; give --columns names")
        table = open_numbered_tsv(path)
    else:
        table = open_table(path)
    if not table.names:
        return table
    theirs = {role: str(name) for role, name in columns.items()}
    for role, name in theirs.items():
        if table.names.count(name) != 1:
            raise LabseError(
                f"{path}: no column {name!r} for {role}; its columns are {quote_names(table.names)}"
                f"{explain_quotes(table.names)}"
            )
    # A column of theirs that happens to have one of our names is left out.
    rest = {name: name for name in table.names if name not in (*theirs, *theirs.values())}
    names = rest | theirs

    def read_rows(wanted: _Columns, numbers: Collection[str]) -> Iterator[Row]:
        known = tuple([names[column] for column in wanted])
        return table.read_rows(known, numbers=[names[column] for column in numbers])

    return Table(path, table.unit, tuple(names), read_rows)


# ---- TSV -------------------------------------------------------------------------------------


def open_numbered_tsv(path: str | Path) -> Table:
    """Opens a TSV without header whose columns are named `1`, `2` and so on."""
    lines = enumerate(read_lines(path), start=1)
    first = list(itertools.islice(lines, 1))
    num_columns = first[0][1].count("\t") + 1 if first else 0
    names = tuple(str(number) for number in range(1, num_columns + 1))
    return Table(
        path, "line", names, partial(_iter_tsv, path, itertools.chain(first, lines), names)
    )


def _open_tsv(path: str | Path, columns: Sequence[str] | None) -> Table:
    lines = enumerate(read_lines(path), start=1)
    if columns is None:
        header = next(lines, None)
        if header is None:
            return Table(path, "line", (), lambda *_: iter(()))
        columns = header[1].split("\t")
    names = tuple(columns)
    return Table(path, "line", names, partial(_iter_tsv, path, lines, names))


def _iter_tsv(
    path: str | Path,
    lines: _NumberedLines,
    names: _Columns,
    columns: _Columns,
    numbers: Collection[str],  # All cells are text.
) -> Iterator[Row]:
    positions = [names.index(column) for column in columns]
    num_rows = num_quoted = num_doubled = 0
    for number, line in lines:
        cells = line.split("\t")
        if len(cells) != len(names):
            raise LabseError(
                f"{path}, line {number}: {len(cells)} columns, expected {len(names)} "
                f"({quote_names(names)}); columns are separated by one tab and never quoted"
            )
        values = tuple([cells[position] for position in positions])
        num_rows += 1
        if '"' in line:
            quoted = [match[1] for value in values if (match := _QUOTED_CELL.fullmatch(value))]
            num_quoted += bool(quoted)
            num_doubled += any('""' in content for content in quoted)
        yield number, values

    # Direct speech alone does not double the quotes inside, nor stand in every row.
    if num_doubled or num_quoted == num_rows > 1:
        _LOGGER.warning(
            f"{path}: {num_quoted:,} of {num_rows:,} rows look quoted, as spreadsheets write them; "
            "a TSV has no quoting here, so their quotes are kept as text"
        )


# ---- units of translation --------------------------------------------------------------------


def _open_units(path: str | Path, read: Callable[[str | Path], Iterator[Unit]]) -> Table:
    """The first unit tells whether the file names its languages."""
    units = read(path)
    first = list(itertools.islice(units, 1))
    langs = ("source_lang", "target_lang")
    names = tuple(name for name in langs if first and getattr(first[0], name))

    def read_rows(columns: _Columns, numbers: Collection[str]) -> Iterator[Row]:
        for number, unit in enumerate(itertools.chain(first, units), start=1):
            yield number, tuple([getattr(unit, column) for column in columns])

    return Table(path, "unit", ("source", "target", *names), read_rows)


def _open_tmx(path: str | Path) -> Table:
    """A unit with several targets is as many rows; what is left out is told once."""

    def read_rows(columns: _Columns, numbers: Collection[str]) -> Iterator[Row]:
        drops: Counter[str] = Counter()
        for number, pair in enumerate(read_tmx(path, drops=drops), start=1):
            yield number, tuple([getattr(pair, column) for column in columns])
        for reason, count in drops.most_common():
            _tell_once(f"{path}: left out: {count:,} ({reason})")

    return Table(path, "unit", ("source", "target", "source_lang", "target_lang"), read_rows)


@cache
def _tell_once(message: str) -> None:
    """A file is read again for each of its columns, and drops the same each time."""
    _LOGGER.warning(message)


# ---- JSONL -----------------------------------------------------------------------------------


def _open_jsonl(path: str | Path) -> Table:
    lines = enumerate(read_lines(path), start=1)
    first = next(lines, None)
    if first is None:
        return Table(path, "line", (), lambda *_: iter(()))
    names = tuple(parse_object(path, *first))
    if not names:
        raise LabseError(f"{path}, line 1: an object without keys")
    return Table(path, "line", names, partial(_iter_jsonl, path, itertools.chain([first], lines)))


def _iter_jsonl(
    path: str | Path, lines: _NumberedLines, columns: _Columns, numbers: Collection[str]
) -> Iterator[Row]:
    for number, line in lines:
        record = parse_object(path, number, line)
        values = []
        for column in columns:
            value = record.get(column)
            if column in numbers and isinstance(value, int | float):
                value = repr(value)
            if not isinstance(value, str):
                found = f"is {json.dumps(value)[:40]}" if column in record else "is missing"
                raise LabseError(
                    f"{path}, line {number}: key {column!r} {found}; expected a string"
                )
            values.append(value)
        yield number, tuple(values)


def parse_object(path: str | Path, number: int, line: str) -> dict[str, object]:
    """Returns the object in a line of JSON.

    Raises:
        LabseError: it is none; the message names the line.
    """
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise LabseError(
            f"{path}, line {number}: not valid JSON: {error.msg} (character {error.pos + 1})"
        ) from None
    except (ValueError, RecursionError) as error:  # A number of 5,000 digits, 10,000 brackets.
        raise LabseError(f"{path}, line {number}: JSON that cannot be read: {error}") from None
    if not isinstance(record, dict):
        raise LabseError(f"{path}, line {number}: expected a JSON object, found {line[:40]!r}")
    return record


# ---- Parquet ---------------------------------------------------------------------------------


def _open_parquet(path: str | Path) -> Table:
    path = Path(path)
    parquet = require("pyarrow.parquet", "parquet")
    if path.suffix.lower() != ".parquet":
        raise LabseError(f"{path}: a compressed Parquet file cannot be read; decompress it first")
    if not local_file(path).is_file():
        problem = "a folder, not a file" if path.is_dir() else "no such file"
        raise LabseError(f"{path}: {problem}")
    try:
        with parquet_source(path) as source:
            schema = parquet.read_schema(source)
    except parquet_errors() as error:
        raise LabseError(
            f"{path}: not a whole Parquet file ({_one_line(error)}); fetch it again"
        ) from None
    return Table(path, "row", tuple(schema.names), partial(_iter_parquet, path, schema))


def _iter_parquet(
    path: Path, schema: "pyarrow.Schema", columns: _Columns, numbers: Collection[str]
) -> Iterator[Row]:
    for column in columns:
        if not (_is_text_type(schema.field(column).type) or column in numbers):
            raise LabseError(
                f"{path}: column {column!r} is {schema.field(column).type}; expected string"
            )
    number = 0
    for batch in iter_batches(path, columns):
        texts = [_list_texts(path, number, column, batch.column(column)) for column in columns]
        yield from zip(itertools.count(number + 1), zip(*texts, strict=True))
        number += batch.num_rows


def iter_batches(path: Path, columns: Sequence[str]) -> Iterator["pyarrow.RecordBatch"]:
    """Yields the rows of a Parquet file in batches.

    Raises:
        LabseError: the file is damaged.
    """
    parquet = require("pyarrow.parquet", "parquet")
    number = 0
    try:
        with parquet_source(path) as source, parquet.ParquetFile(source) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(columns)):
                yield batch
                number += batch.num_rows
    except parquet_errors() as error:
        raise LabseError(
            f"{path}: damaged after row {number} ({_one_line(error)}); fetch it again"
        ) from None


@contextlib.contextmanager
def parquet_source(path: str | Path) -> Iterator[str | IO[bytes]]:
    """Gives pyarrow a file: by its absolute path, or opened where that is no UTF-8.

    A relative path with a colon is an address to pyarrow, and other names than UTF-8 an error. Of
    an object it is the copy here.
    """
    name = os.path.abspath(local_file(path))
    if os.fsencode(name).decode("utf-8", "replace") == name:
        yield name
        return
    with open(name, "rb") as stream:
        yield stream


def parquet_errors() -> tuple[type[Exception], ...]:
    """Returns what pyarrow raises over a damaged file: a name of a column may be no UTF-8."""
    return (require("pyarrow", "parquet").ArrowException, OSError, UnicodeDecodeError)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _is_text_type(column_type: "pyarrow.DataType") -> bool:
    types = require("pyarrow", "parquet").types
    if types.is_dictionary(column_type):
        column_type = column_type.value_type
    return bool(
        types.is_string(column_type)
        or types.is_large_string(column_type)
        or types.is_string_view(column_type)
    )


def _list_texts(path: Path, offset: int, column: str, array: "pyarrow.Array") -> list[str]:
    """Returns the values of one batch that begins after row `offset`."""
    try:
        texts = _decode_texts(array)
    except UnicodeDecodeError:
        last = offset + len(array)
        raise LabseError(
            f"{path}, rows {offset + 1} to {last}: column {column!r} is not valid UTF-8"
        ) from None
    for number, text in enumerate(texts, start=offset + 1) if None in texts else ():
        if text is None:
            raise LabseError(f"{path}, row {number}: column {column!r} is null; expected a string")
    return cast("list[str]", texts)


def _decode_texts(array: "pyarrow.Array") -> list[str | None]:
    if not _is_text_type(array.type):
        return [None if value is None else repr(value) for value in array.to_pylist()]
    if array.null_count or not hasattr(array, "dictionary"):
        return list(array.to_pylist())
    words = array.dictionary.to_pylist()  # 40 times as fast as array.to_pylist() in pyarrow 26.
    return [words[index] for index in array.indices.to_numpy().tolist()]
