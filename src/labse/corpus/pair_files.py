"""Files of pairs of any format, and files of pairs and sentences mixed.

Takes: TMX, tables and aligned text files. Gives: pairs, or rows with the name of their file.
Source: docs/corpus.md.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from labse.corpus.file_formats import is_text, is_units
from labse.corpus.raw_text import read_records
from labse.corpus.readers import read_moses, read_pairs
from labse.corpus.records import SentencePair, TextRecord
from labse.corpus.tables import ColumnNames, open_table, quote_names
from labse.corpus.tmx import read_tmx
from labse.errors import UsageError
from labse.files.text import format_suffix

__all__ = ["holds_pairs", "iter_pairs", "iter_rows", "orient_pairs"]

_KNOWN_COLUMNS = frozenset({"source", "target", "source_lang", "target_lang"})
_ENGLISH_COLUMNS = frozenset({"english", "text", "lang"})


def iter_pairs(
    files: Sequence[str],
    *,
    source_lang: str | None,
    target_lang: str | None,
    drops: Counter[str],
    tell: Callable[[str], None],
    skip_unknown: bool = False,
    columns: ColumnNames | None = None,
) -> Iterator[SentencePair]:
    """Yields the pairs of tables and TMX files one after the other, or of two aligned text files.

    Args:
        files: at least one.
        source_lang: the language of the source, where no column tells; see the readers.
        target_lang: the same of the target.
        drops: counts what is left out, by reason.
        tell: told which columns of a table are left out.
        skip_unknown: whether rows of a language that is not known are left out, not an error.
        columns: where tables of others have source, target and their languages.

    Raises:
        LabseError, UsageError: see `read_pairs`, `read_tmx` and `read_moses`.
    """
    if any(is_text(file) for file in files):
        if len(files) != 2 or not all(is_text(file) for file in files):
            raise UsageError("aligned text files come in twos: the source, then the target")
        if source_lang is None or target_lang is None:
            raise UsageError("aligned text files need --source-lang and --target-lang")
        yield from read_moses(files[0], files[1], source_lang=source_lang, target_lang=target_lang)
        return
    for file in files:
        if format_suffix(file) == ".tmx":
            yield from read_tmx(file, source_lang=source_lang, target_lang=target_lang, drops=drops)
            continue
        names = open_table(file, columns).names
        used = _KNOWN_COLUMNS if _KNOWN_COLUMNS & {*names} else _ENGLISH_COLUMNS
        if extra := [name for name in names if name not in used]:
            tell(f"{file}: columns left out: {quote_names(extra)}")
        for pair in read_pairs(
            file,
            source_lang=source_lang,
            target_lang=target_lang,
            columns=columns,
            drops=drops if skip_unknown else None,
        ):
            if pair.target or not is_units(file):
                yield pair
            else:
                drops["not translated"] += 1


def orient_pairs(
    pairs: Iterable[SentencePair],
    langs: tuple[str | None, str | None],
    drops: Counter[str],
) -> Iterator[SentencePair]:
    """Turns pairs so that each side has its language, as two files of text need.

    Args:
        pairs: of any languages.
        langs: canonical tags of source and target; None takes that of the first pair.
        drops: counts the pairs of other languages.

    Raises:
        UsageError: a side whose language is not given has two.
    """
    found: list[str | None] = list(langs)
    for pair in pairs:
        swapped = SentencePair(pair.target, pair.source, pair.target_lang, pair.source_lang)
        fitting = [p for p in (pair, swapped) if _fits(p, langs)]
        if not fitting:
            drops[f"{pair.source_lang}-{pair.target_lang}, of which no file is"] += 1
            continue
        tags = fitting[0].source_lang, fitting[0].target_lang
        for side, tag in enumerate(tags):
            if found[side] not in (None, tag):
                raise UsageError(
                    f"two text files cannot say in which of two languages a line is: found "
                    f"{found[side]} and {tag}; name the files after the languages (out.en out.fr), "
                    "or give --source-lang and --target-lang"
                )
            found[side] = tag
        yield fitting[0]


def _fits(pair: SentencePair, langs: tuple[str | None, str | None]) -> bool:
    return langs[0] in (None, pair.source_lang) and langs[1] in (None, pair.target_lang)


def iter_rows(
    files: Sequence[str],
    *,
    lang: str | None,
    langs: tuple[str | None, str | None] = (None, None),
    drops: Counter[str],
    skip_unknown: bool = False,
    columns: ColumnNames | None = None,
) -> Iterator[tuple[str, TextRecord | SentencePair]]:
    """Yields the rows of files of sentences and of pairs, each with its origin.

    A table with the columns source and target, or english and text, holds pairs.

    Args:
        files: the files.
        lang: the language of sentences that do not say theirs.
        langs: of source and target of pairs, where no column tells.
        drops: counts what is left out, by reason.
        skip_unknown: whether pairs of a language that is not known are left out, not an error.
        columns: where tables of others have the columns that we know.

    Raises:
        LabseError, UsageError: see the readers.
    """
    for file in files:
        name = Path(file).name
        if format_suffix(file) == ".tmx":
            tmx = read_tmx(file, source_lang=langs[0], target_lang=langs[1], drops=drops)
            yield from ((name, pair) for pair in tmx)
        elif holds_pairs(file, langs=langs, columns=columns):
            pairs = read_pairs(
                file,
                source_lang=langs[0],
                target_lang=langs[1],
                columns=columns,
                drops=drops if skip_unknown else None,
            )
            yield from ((name, pair) for pair in pairs)
        else:
            names = () if is_text(file) else open_table(file, columns).names
            records = read_records(
                file,
                lang=None if "lang" in names else lang,
                columns=columns,
                drops=drops if skip_unknown else None,
            )
            yield from ((record.origin, record) for record in records)


def holds_pairs(
    file: str | Path,
    *,
    langs: tuple[str | None, str | None] = (None, None),
    columns: ColumnNames | None = None,
) -> bool:
    """Tells whether the rows of a file are pairs and not texts.

    They are in TMX and in tables with source and target, or english and text. Of XLIFF and PO the
    languages must be known too, from the file or from `langs`; else only the sources are texts.

    Raises:
        LabseError, UsageError: see `open_table`.
    """
    if format_suffix(file) == ".tmx":
        return True
    if is_text(file):
        return False
    names = {*open_table(file, columns).names}
    if is_units(file):
        given = zip(("source_lang", "target_lang"), langs, strict=True)
        return all(name in names or lang is not None for name, lang in given)
    return {"source", "target"} <= names or {"english", "text"} <= names
