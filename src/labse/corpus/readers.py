r"""Readers: files of text and bitext, one record for each row, in the order of the file.

Takes: text (one sentence a line), TSV, JSONL, Parquet, Moses pairs; all but Parquet also `.bz2`,
    `.gz` and `.zst`.
Gives: a stream of records in constant memory. An empty line is a row; no row is skipped.
Source: docs/design.md, promises. TSV here has no quoting: a tab ends a cell, `\n` a row.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from labse.corpus.file_formats import check_readable, default_column, is_pairs, is_table, is_text
from labse.corpus.languages import canonical_tag, is_language, name_unknown
from labse.corpus.records import Sentence, SentencePair
from labse.corpus.tables import (
    ColumnNames,
    Row,
    Table,
    explain_quotes,
    open_numbered_tsv,
    open_table,
    quote_names,
)
from labse.errors import LabseError, UsageError
from labse.files.text import format_suffix, read_lines

__all__ = ["read_moses", "read_pairs", "read_sentences", "read_texts"]


def read_texts(
    path: str | Path, *, column: str | None = None, columns: ColumnNames | None = None
) -> Iterator[str]:
    """Yields the texts of a file whatever their language: lines, or one for each row of a table.

    Args:
        path: text of any suffix that means no format, or a table; `-` is standard input.
        column: the name of the column or key; None: `text`, of XLIFF and PO `source`.
        columns: where a table of others has it.

    Raises:
        LabseError: broken data, with file and line; a lone surrogate.
        UsageError: a format that is not read.
    """
    is_side = column in ("source", "target")  # Of pairs, which TMX holds too.
    check_readable(path, pairs=is_side)
    if not (is_table(path) or (is_side and is_pairs(path))):
        yield from read_lines(path)
        return
    table = open_table(path, columns)
    for number, (text,) in table.read_rows((column or default_column(path),)):
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise LabseError(
                    f"{path}, {table.unit} {number}: not valid Unicode, a lone surrogate "
                    f"stands at character {error.start + 1}; remove it"
                ) from None
        yield text


def read_sentences(
    path: str | Path, *, lang: str, column: str | int | None = None
) -> Iterator[Sentence]:
    r"""Yields a sentence for each line of text or each row of a table, empty ones included.

    No suffix, `.txt` or a language code (`news.de`) is text, as is `-`, standard input.

    Args:
        path: a text file, or a table of any format.
        lang: any code that `find_language` knows.
        column: the name of the column or key, None: `text` or `source`; in a TSV a name means that
            the first line is a header, a number (from 1) that there is none. Not for text.

    Raises:
        LabseError: broken data, with file and line: also a `\r` inside a line, which is no line end
            here and not kept either, so that rows can be counted with `wc -l`.
        UsageError: unknown language or suffix, a column where there are none.
    """
    tag = canonical_tag(lang)
    if is_text(path):
        if column is not None:
            raise UsageError(f"{path}: a text file has no columns; leave out column {column!r}")
        unit = "line"
        rows: Iterator[Row] = ((n, (line,)) for n, line in enumerate(read_lines(path), start=1))
    else:
        if is_pairs(path) and not is_table(path):
            check_readable(path)  # TMX: no side of its pairs is the text.
        if column is None:
            column = default_column(path) if is_table(path) else "text"
        table = _open_column(path, column)
        unit = table.unit
        rows = table.read_rows((str(column),))

    for number, (text,) in rows:
        try:
            sentence = Sentence(text, tag)
        except ValueError as error:
            raise LabseError(f"{path}, {unit} {number}: {error}") from None
        yield sentence


def read_pairs(
    path: str | Path,
    *,
    source_lang: str | None = None,
    target_lang: str | None = None,
    columns: Sequence[str] | ColumnNames | None = None,
    drops: Counter[str] | None = None,
) -> Iterator[SentencePair]:
    """Yields a pair for each row of a table in one of two layouts; other columns are ignored.

    General: `source`, `target`, and for each side either a column `source_lang`, `target_lang` or
    the argument of this name. English-centred: `lang`, `english`, `text`; English is the source.
    In JSONL the keys of the first line decide.

    Args:
        path: `.tsv`, `.jsonl`, `.parquet`, XLIFF or PO.
        source_lang: the language of every source, where no column gives it.
        target_lang: the language of every target, where no column gives it.
        columns: the names of all columns of a TSV without header, or where the columns of a table
            of others stand; None: the first line has the names.
        drops: counts rows of a language that is not known, by its code, which are left out; None
            makes the first of them an error.

    Raises:
        LabseError: broken data, with file and line, or neither layout.
        UsageError: a language is missing or given twice, `columns` for a file that is not TSV.
    """
    table = open_table(path, columns)
    if not table.names:  # An empty JSONL file names no columns and has no rows.
        return
    layout = _choose_layout(table, source_lang, target_lang)
    for number, values in table.read_rows(layout.columns):
        unknown = () if drops is None else [code for code in values[2:] if not is_language(code)]
        if drops is not None and unknown:
            drops[name_unknown(unknown[0])] += 1
            continue
        try:
            pair = SentencePair(
                values[0],
                values[1],
                layout.source_lang or canonical_tag(values[2]),
                layout.target_lang or canonical_tag(values[-1]),
            )
        except (ValueError, UsageError) as error:
            raise LabseError(f"{path}, {table.unit} {number}: {error}") from None
        yield pair


def read_moses(
    source_path: str | Path, target_path: str | Path, *, source_lang: str, target_lang: str
) -> Iterator[SentencePair]:
    """Yields line i of both text files as pair i; both are read twice, first to count.

    Raises:
        LabseError: unequal numbers of lines (before the first pair), or broken data with file and
            line.
        UsageError: unknown language, or standard input, which cannot be read twice.
    """
    source_tag, target_tag = canonical_tag(source_lang), canonical_tag(target_lang)
    if "-" in (str(source_path), str(target_path)):
        raise UsageError("aligned files are read twice, so neither can be standard input (-)")
    num_sources, num_targets = _count_lines(source_path), _count_lines(target_path)
    if num_sources != num_targets:
        raise LabseError(
            f"{source_path} has {num_sources} lines and {target_path} has {num_targets}; "
            "line i of one must be the translation of line i of the other"
        )

    lines = zip(read_lines(source_path), read_lines(target_path), strict=True)
    for number, (source, target) in enumerate(lines, start=1):
        try:
            pair = SentencePair(source, target, source_tag, target_tag)
        except ValueError as error:
            where = source_path if _is_refused(source, source_tag) else target_path
            raise LabseError(f"{where}, line {number}: {error}") from None
        yield pair


# ---- layouts ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _PairLayout:
    """Columns: source, target, then those of the languages; a tag that is None has a column."""

    columns: tuple[str, ...]
    source_lang: str | None
    target_lang: str | None


def _choose_layout(table: Table, source_lang: str | None, target_lang: str | None) -> _PairLayout:
    langs = {"source_lang": source_lang, "target_lang": target_lang}
    if {"source", "target"} <= set(table.names):
        tags = {name: _resolve_lang(table, name, lang) for name, lang in langs.items()}
        columns = ["source", "target", *(name for name, tag in tags.items() if tag is None)]
        return _PairLayout(tuple(columns), tags["source_lang"], tags["target_lang"])

    if {"lang", "english", "text"} <= set(table.names):
        if given := [name for name, lang in langs.items() if lang is not None]:
            raise UsageError(
                f"{table.path}: {given[0]} cannot apply, the columns lang, english and text give "
                "the languages; leave it out"
            )
        return _PairLayout(("english", "text", "lang"), canonical_tag("eng"), None)

    raise LabseError(
        f"{table.path}: expected the columns source and target, or lang, english and text; found "
        f"{quote_names(table.names)}{explain_quotes(table.names)}"
        + ("; the first line of a TSV names its columns" if table.unit == "line" else "")
    )


def _resolve_lang(table: Table, name: str, lang: str | None) -> str | None:
    if name in table.names:
        if lang is not None:
            raise UsageError(f"{table.path} has a column {name}; leave out the option {name}")
        return None
    if lang is None:
        raise UsageError(
            f"{table.path} has no column {name}; add one with the language of each row, or, where "
            f"the command has it, give --{name.replace('_', '-')}, the language of all"
        )
    return canonical_tag(lang)


# ---- files -----------------------------------------------------------------------------------


def _open_column(path: str | Path, column: str | int) -> Table:
    if isinstance(column, str):
        return open_table(path)
    if column < 1:
        raise ValueError(f"column is {column}; the first column is 1")
    if format_suffix(path) != ".tsv":
        raise UsageError(f"{path}: only a TSV has numbered columns; give the name of the column")
    return open_numbered_tsv(path)


def _count_lines(path: str | Path) -> int:
    return sum(1 for _ in read_lines(path))


def _is_refused(text: str, lang: str) -> bool:
    try:
        Sentence(text, lang)
    except ValueError:
        return True
    return False
