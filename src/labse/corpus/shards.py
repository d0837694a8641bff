"""Shards: a corpus as numbered Parquet files of so many rows each.

Takes: a file of text or pairs, or a folder of shards. Gives: folders of `part-00000.parquet`, whose
bytes depend on the rows alone, and a cursor from which a killed cut goes on.
Source: docs/design.md, promises.
"""

import contextlib
import itertools
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from labse.corpus.file_formats import file_lang, is_table, is_text, is_units
from labse.corpus.languages import canonical_tag, is_language, name_unknown
from labse.corpus.pair_files import iter_pairs
from labse.corpus.readers import read_sentences
from labse.corpus.records import Sentence, SentencePair
from labse.corpus.tables import ColumnNames, Table, open_table, parquet_errors, parquet_source
from labse.errors import LabseError, UsageError
from labse.files.atomic import read_json, write_atomic, write_json
from labse.files.object_store import find_url
from labse.files.objects import list_objects, local_file
from labse.files.text import as_list
from labse.runtime import require

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ParquetFile

__all__ = [
    "ROWS_PER_SHARD",
    "CorpusKind",
    "ShardCursor",
    "column_names",
    "cut_shards",
    "expand_folders",
    "has_shards",
    "iter_rows",
    "iter_sentences",
    "list_shards",
    "open_shard",
    "pair_files",
    "read_shard",
    "refuse_other_tables",
    "write_shard",
]

_LOGGER = logging.getLogger(__name__)

CorpusKind = Literal["mono", "pairs"]
ROWS_PER_SHARD = 50_000  # About 6 MB of text: a step holds a few times that.

_CURSOR_NAME = "cursor.json"
_COLUMNS: dict[CorpusKind, tuple[str, ...]] = {
    "mono": ("lang", "text"),
    "pairs": ("source_lang", "target_lang", "source", "target"),
}


@dataclass(frozen=True, slots=True)
class ShardCursor:
    """How far a file was cut.

    Attributes:
        origin: what was cut and how: cutting something else into the same folder is refused.
        num_shards: whole shards in the folder.
        num_rows: rows in them.
        is_done: the file has no more rows.
    """

    origin: str
    num_shards: int
    num_rows: int
    is_done: bool


def column_names(kind: CorpusKind) -> tuple[str, ...]:
    """Returns the columns of a shard: `lang` and `text`, or two languages and two texts."""
    return _COLUMNS[kind]


def cut_shards(
    path: str | Path,
    folder: Path,
    *,
    origin: str,
    kind: CorpusKind = "mono",
    lang: str | None = None,
    target: str | Path | None = None,
    langs: tuple[str | None, str | None] = (None, None),
    columns: ColumnNames | None = None,
    skip_unknown: bool = False,
    rows_per_shard: int = ROWS_PER_SHARD,
) -> ShardCursor:
    """Cuts a file into shards, in its order; the last may be short, an empty file has none.

    Shards that stand in the folder already are not written again, the rows in them are only read.
    In an object store, where each attempt has names of its own, it begins anew.

    Args:
        path: text or a table with `text` (mono); pairs of any format, or their sources as text.
        folder: of the shards, which may be an address; made if missing.
        origin: names the content of the file, as its SHA-256 does.
        kind: what the rows are.
        lang: the language of a text, or of a table without the column `lang`; only mono.
        target: the targets as text, where `path` is text and `kind` pairs.
        langs: of source and target, where no column tells; only pairs.
        columns: where tables of others have their columns.
        skip_unknown: whether rows of a language that is not known are left out, not an error.
        rows_per_shard: at most.

    Raises:
        LabseError: broken data, with file and line; whole shards before it stay.
        UsageError: a language is missing, or `folder` has shards of another origin.
    """
    if not find_url(folder):
        folder.mkdir(parents=True, exist_ok=True)
    tags = lang or " ".join(filter(None, langs))
    origin = f"{origin} {kind} {tags} {rows_per_shard}"
    origin += f" {dict(columns)}" if columns else ""
    origin += " skip_unknown" if skip_unknown else ""
    cursor = _load_cursor(folder, origin)
    if cursor.is_done:
        return cursor
    rows = iter_rows(
        path,
        kind,
        lang,
        target=target,
        langs=langs,
        columns=columns,
        skip_unknown=skip_unknown,
    )
    rows = itertools.islice(rows, cursor.num_rows, None)
    while batch := list(itertools.islice(rows, rows_per_shard)):
        shard = dict(zip(_COLUMNS[kind], zip(*batch, strict=True), strict=True))
        write_shard(folder / f"part-{cursor.num_shards:05}.parquet", shard)
        cursor = ShardCursor(origin, cursor.num_shards + 1, cursor.num_rows + len(batch), False)
        _save_cursor(folder, cursor)
    cursor = ShardCursor(origin, cursor.num_shards, cursor.num_rows, True)
    _save_cursor(folder, cursor)
    return cursor


def iter_sentences(
    path: str | Path,
    lang: str | None,
    *,
    default_lang: str | None = None,
    columns: ColumnNames | None = None,
    drops: Counter[str] | None = None,
) -> Iterator[Sentence]:
    """Yields the sentences of a text or a table.

    Args:
        path: text, or a table with the column `text`.
        lang: the language of all rows; None takes that of the column `lang`, of text that of its
            name (`news.de`).
        default_lang: the language where nothing else tells; None makes that an error.
        columns: where a table of others has text and lang.
        drops: counts rows of a language that is not known, which are left out; None makes the first
            of them an error.

    Raises:
        LabseError: broken data, with file and row.
        UsageError: no language is given, or an unknown one.
    """
    table = open_table(path, columns) if is_table(path) and (lang is None or columns) else None
    may_lack = default_lang or (table is not None and table.unit == "cue")  # Subtitles name none.
    if table is not None and columns and (lang or (may_lack and "lang" not in table.names)):
        yield from _sentences_of(table, str(lang or default_lang))
        return
    if table is None or (may_lack and "lang" not in table.names):
        lang = lang or file_lang(path) or default_lang
        if lang is None:
            raise UsageError(
                f"{path}: a text does not name its language; give --lang, or a file named like "
                "news.de"
            )
        yield from read_sentences(path, lang=lang)
        return
    for number, (tag, text) in table.read_rows(("lang", "text")):
        if drops is not None and not is_language(tag):
            drops[name_unknown(tag)] += 1
            continue
        try:
            yield Sentence(text, canonical_tag(tag))
        except (ValueError, UsageError) as error:
            raise LabseError(f"{path}, {table.unit} {number}: {error}") from None


def _sentences_of(table: Table, lang: str) -> Iterator[Sentence]:
    tag = canonical_tag(lang)
    for number, (text,) in table.read_rows(("text",)):
        try:
            yield Sentence(text, tag)
        except ValueError as error:
            raise LabseError(f"{table.path}, {table.unit} {number}: {error}") from None


def expand_folders(paths: str | Path | Sequence[str | Path]) -> list[str]:
    """Returns the paths, or the one path, with the shards of each folder in its place.

    An address may stand for several objects; see `list_objects`.

    Raises:
        LabseError: no such file, or a folder without shards.
    """
    expanded: list[str] = []
    for path in as_list(paths):
        if find_url(path):
            expanded.extend(list_objects(path))
            continue
        if str(path) != "-" and not os.path.exists(path):
            raise LabseError(f"{path}: no such file")
        shards = list_shards(Path(path)) if Path(path).is_dir() else [path]
        expanded.extend(map(str, shards))
    return expanded


def has_shards(path: str | Path) -> bool:
    """Tells whether a path is a folder of shards, as `labse corpus clean` and `dedup` make them."""
    return any(_iter_shards(Path(path)))


def list_shards(folder: Path) -> list[Path]:
    """Returns the shards of a folder in their order; folders below it in the order of names.

    Of a folder of `labse corpus clean` these are the rows that were kept.

    Raises:
        LabseError: there is none.
    """
    if (folder / "kept").is_dir():
        folder = folder / "kept"
    shards = sorted(_iter_shards(folder))
    if not shards:
        refuse_other_tables(folder)
        raise LabseError(
            f"{folder}: a folder without rows; give files, or a folder that labse corpus clean or "
            "dedup has made (part-00000.parquet, ...)"
        )
    return shards


def refuse_other_tables(folder: Path) -> None:
    """Refuses a folder without shards that holds tables of other names.

    Raises:
        LabseError: it does.
    """
    if tables := sorted(file for file in folder.iterdir() if is_table(file)):
        raise LabseError(
            f"{folder}: of a folder the files named part-*.parquet are read, and it has none; give "
            f"its tables themselves, such as {tables[0]}"
        )


def _iter_shards(folder: Path) -> Iterator[Path]:
    """Yields shards in any order; they lie two folders deep at most, so `/` is not searched."""
    for depth in ("", "*/", "*/*/"):
        yield from folder.glob(f"{depth}part-*.parquet")


def read_shard(path: str | Path) -> "pyarrow.Table":
    """Reads a shard whole.

    Raises:
        LabseError: no such file, or not whole Parquet.
        ResourceError: pyarrow is not installed.
    """
    parquet = require("pyarrow.parquet", "corpus")
    with _told_as_shard(path), parquet_source(path) as source:
        return parquet.read_table(source, partitioning=None)


@contextlib.contextmanager
def open_shard(path: str | Path) -> "Iterator[ParquetFile]":
    """Opens a shard, whose row groups are read one by one in the block; errors as `read_shard`."""
    parquet = require("pyarrow.parquet", "corpus")
    with (
        _told_as_shard(path),
        parquet_source(path) as source,
        parquet.ParquetFile(source) as file,
    ):
        yield file


@contextlib.contextmanager
def _told_as_shard(path: str | Path) -> Iterator[None]:
    """Raises LabseError for a shard that is not there, or that the block cannot read."""
    if not local_file(path).is_file():
        raise LabseError(f"{path}: no such shard; run the command that makes it again")
    try:
        yield
    except parquet_errors() as error:
        problem = " ".join(str(error).split())
        raise LabseError(f"{path}: not a whole Parquet file ({problem}); make it again") from None


def write_shard(path: Path, columns: "Mapping[str, Sequence[object]] | pyarrow.Table") -> None:
    """Writes a shard atomically; equal rows give equal bytes with one version of pyarrow.

    Raises:
        ResourceError: it cannot be written.
    """
    arrow = require("pyarrow", "corpus")
    parquet = require("pyarrow.parquet", "corpus")
    if isinstance(columns, Mapping):
        arrays = {name: _to_array(arrow, values) for name, values in columns.items()}
        columns = arrow.table(arrays)
    with write_atomic(path) as stream:
        parquet.write_table(columns, stream, compression="zstd", compression_level=3)


def _to_array(arrow: "object", values: Sequence[object]) -> "pyarrow.Array":
    if isinstance(values, np.ndarray):
        return arrow.array(values)
    return arrow.array(values, arrow.string())  # type: ignore[attr-defined]


# ---- rows ------------------------------------------------------------------------------------


def pair_files(
    paths: Sequence[str],
    kind: CorpusKind,
    lang: str | None,
    langs: tuple[str | None, str | None],
    columns: ColumnNames | None = None,
) -> dict[str, str | None]:
    """Returns each file to read, and the text file of its targets if it is the text of sources.

    Args:
        paths: without folders.
        kind: what the rows are.
        lang: language of text.
        langs: languages of source and target.
        columns: where tables of others have their columns.

    Raises:
        UsageError: one text file of pairs or three, languages that do not apply, or pairs where
            texts are asked for.
    """
    if kind == "mono":
        if langs != (None, None):
            raise UsageError("--source-lang and --target-lang are for pairs (--kind pairs)")
        if paths and is_table(paths[0]):
            names = open_table(paths[0], columns).names
            if {"source", "target"} <= {*names} and "text" not in names and not is_units(paths[0]):
                raise UsageError(f"{paths[0]}: its rows are pairs; give --kind pairs")
        return dict.fromkeys(paths)
    if lang is not None:
        raise UsageError("--lang is for text; pairs have --source-lang and --target-lang")
    if not any(is_text(path) for path in paths):
        return dict.fromkeys(paths)
    if len(paths) != 2 or not all(is_text(path) for path in paths):
        raise UsageError("aligned text files come in twos: the source, then the target")
    if None in langs:
        raise UsageError("aligned text files need --source-lang and --target-lang")
    return {paths[0]: paths[1]}


def iter_rows(
    path: str | Path,
    kind: CorpusKind,
    lang: str | None,
    *,
    target: str | Path | None = None,
    langs: tuple[str | None, str | None] = (None, None),
    columns: ColumnNames | None = None,
    skip_unknown: bool = False,
) -> Iterator[tuple[str, ...]]:
    """Yields the rows of a text or a table as tuples in the order of `column_names`.

    See `cut_shards` for the arguments. What is left out is told.

    Raises:
        LabseError, UsageError: see `iter_pairs` and `iter_sentences`.
    """
    drops: Counter[str] = Counter()
    if kind == "pairs":
        if lang is not None:
            raise UsageError("lang is for text, not for pairs, which name their languages")
        files = [str(path), *([] if target is None else [str(target)])]
        for pair in iter_pairs(
            files,
            source_lang=langs[0],
            target_lang=langs[1],
            drops=drops,
            tell=_LOGGER.debug,
            skip_unknown=skip_unknown,
            columns=columns,
        ):
            yield _pair_row(pair)
    else:
        given = drops if skip_unknown else None
        for sentence in iter_sentences(path, lang, columns=columns, drops=given):
            yield sentence.lang, sentence.text
    for reason, number in drops.most_common():
        _LOGGER.warning(f"{path}: left out: {number:,} ({reason})")


def _pair_row(pair: SentencePair) -> tuple[str, ...]:
    return pair.source_lang, pair.target_lang, pair.source, pair.target


# ---- cursor ----------------------------------------------------------------------------------


def _load_cursor(folder: Path, origin: str) -> ShardCursor:
    path = folder / _CURSOR_NAME
    if not path.is_file():
        return ShardCursor(origin, 0, 0, False)
    found = read_json(path)
    if found.get("origin") != origin:
        raise UsageError(f"{folder}: holds shards of another file or size; give another folder")
    values = (found.get("num_shards"), found.get("num_rows"), found.get("is_done"))
    if not (isinstance(values[0], int) and isinstance(values[1], int)):
        raise LabseError(f"{path}: not a cursor; remove the folder and start again")
    return ShardCursor(origin, values[0], values[1], bool(values[2]))


def _save_cursor(folder: Path, cursor: ShardCursor) -> None:
    if find_url(folder):
        return
    write_json(folder / _CURSOR_NAME, asdict(cursor))
