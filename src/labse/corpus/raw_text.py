"""Raw material of any kind as text records: the lines of its documents.

Takes: WET, WARC, Wikipedia dumps, and what `read_records` reads.
Gives: a record for each line that has text, tagged with language, document and origin.
Source: docs/corpus.md.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

from labse.corpus.file_formats import (
    check_readable,
    file_lang,
    is_pairs,
    is_table,
    is_text,
    is_units,
)
from labse.corpus.languages import canonical_tag, is_language, name_unknown
from labse.corpus.readers import read_sentences
from labse.corpus.records import UNKNOWN_LANG, Document, TextRecord
from labse.corpus.tables import ColumnNames, Table, open_table
from labse.corpus.web_archives import read_warc, read_wet
from labse.corpus.wikipedia import read_wikipedia
from labse.corpus.writers import RECORD_COLUMNS
from labse.errors import LabseError, UsageError
from labse.files.text import format_suffix

__all__ = ["RawFormat", "iter_lines", "read_raw", "read_records"]

RawFormat = Literal["auto", "records", "wet", "warc", "wikipedia"]
_READERS: dict[str, Callable[..., Iterator[Document]]] = {
    "wet": read_wet,
    "warc": read_warc,
    "wikipedia": read_wikipedia,
}


def read_raw(
    path: str | Path,
    *,
    lang: str | None = None,
    raw_format: RawFormat = "auto",
    drops: Counter[str],
) -> Iterator[TextRecord]:
    """Yields the lines of the documents of a file, in order.

    Args:
        path: the file.
        lang: the language of all, None: what the material itself says, else `und`.
        raw_format: what the file is, `auto`: by its suffix; `.wet`, `.warc`, `.xml` (a dump of
            Wikipedia), else records.
        drops: counts documents that are left out, by reason.

    Raises:
        LabseError, ResourceError, UsageError: see the readers.
    """
    if raw_format == "auto":
        suffix = format_suffix(path)
        by_suffix: dict[str, RawFormat] = {".wet": "wet", ".warc": "warc"}
        is_dump = suffix.startswith(".xml")  # Parts are named ....xml-p1p41242.bz2.
        raw_format = "wikipedia" if is_dump else by_suffix.get(suffix, "records")
    if raw_format == "records":
        return read_records(path, lang=lang)
    return iter_lines(_READERS[raw_format](path, lang=lang, drops=drops))


def read_records(
    path: str | Path,
    *,
    lang: str | None = None,
    columns: ColumnNames | None = None,
    drops: Counter[str] | None = None,
) -> Iterator[TextRecord]:
    """Yields a record for each line of text or row of a table with the column `text`.

    The columns `lang`, `document` and `origin` are read where there are such. Else the language is
    `lang`, of text without it that of its name (`news.de`), or `und`; the document is empty, and
    the origin the name of the file.

    Args:
        path: the file.
        lang: the language of all, where no column tells.
        columns: where a table of others has these columns.
        drops: counts rows of a language that is not known, by its code, which are left out; None
            makes the first of them an error.

    Raises:
        LabseError, UsageError: see `read_sentences`; both a column `lang` and the argument.
    """
    origin = Path(path).name
    if is_text(path):
        tag = lang or file_lang(path) or UNKNOWN_LANG
        for sentence in read_sentences(path, lang=tag):
            yield TextRecord(sentence.text, sentence.lang, "", origin)
        return
    if is_pairs(path) and not is_table(path):
        check_readable(path)  # TMX: no side of its pairs is the text.
    table = open_table(path, columns)
    if is_units(path):
        yield from _read_sources(table, origin, lang)
        return
    if lang is not None and "lang" in table.names:
        raise UsageError(f"{path} has a column lang; leave out the language {lang!r}")
    present = tuple(name for name in RECORD_COLUMNS if name == "text" or name in table.names)
    defaults = {"lang": canonical_tag(lang or UNKNOWN_LANG), "document": "", "origin": origin}
    for number, values in table.read_rows(present):
        row = {**defaults, **dict(zip(present, values, strict=True))}
        if drops is not None and not is_language(row["lang"]):
            drops[name_unknown(row["lang"])] += 1
            continue
        try:
            row["lang"] = canonical_tag(row["lang"])
            record = TextRecord(**row)
        except (ValueError, UsageError) as error:
            raise LabseError(f"{path}, {table.unit} {number}: {error}") from None
        yield record


def _read_sources(table: Table, origin: str, lang: str | None) -> Iterator[TextRecord]:
    """Yields the sources of XLIFF and PO."""
    has_lang = "source_lang" in table.names and lang is None
    for _, (text, code) in table.read_rows(("source", "source_lang" if has_lang else "source")):
        tag = canonical_tag(code if has_lang else lang or UNKNOWN_LANG)
        yield TextRecord(text, tag, "", origin)


def iter_lines(documents: Iterable[Document]) -> Iterator[TextRecord]:
    r"""Yields a record for each line that is not blank; `\n`, `\r\n` and `\r` end one."""
    for document in documents:
        for line in document.text.replace("\r", "\n").split("\n"):
            if text := line.strip():
                yield TextRecord(text, document.lang, document.document, document.origin)
