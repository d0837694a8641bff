"""Page records: a page as rows of Parquet hold it.

Takes: pages. Gives: Parquet in row groups that are small enough to be read one by one.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from labse.corpus.shards import open_shard
from labse.errors import LabseError
from labse.runtime import require

if TYPE_CHECKING:
    import pyarrow

__all__ = ["PageRecord", "PageWriter", "iter_groups", "page_schema", "read_pages", "read_rows"]

_TEXTS = ("url", "host", "date", "html_lang", "lang", "canonical", "title", "robots", "license")


@dataclass(frozen=True, slots=True)
class PageRecord:
    """A page of a site.

    Attributes:
        url: its address.
        host: of the address, lower case.
        date: when it was fetched.
        html_lang: what it says of its language.
        lang: the language of its text, a tag; `und` if that cannot be told.
        lang_share: the share of its text that is in `lang`; 0 if that cannot be told.
        alternates: code and absolute address of each `hreflang`.
        canonical: the address that it says is the true one.
        aliases: addresses that redirect to its own.
        title: of the page.
        robots: `noindex`, `nofollow` and the like, joined by commas.
        license: the address in `rel=license`.
        is_translated: whether it bears a mark of machine translation.
        sentences: all its text.
        blocks: the number of the block that each sentence stands in.
        tags: the tag of each block.
        block_langs: what each block is in by itself; empty if it is short.
        counts: on how many pages of the site each sentence stands.
        content_hash: of the sentences.
    """

    url: str
    host: str
    date: str
    html_lang: str
    lang: str
    lang_share: float
    alternates: Sequence[tuple[str, str]]
    canonical: str
    aliases: Sequence[str]
    title: str
    robots: str
    license: str
    is_translated: bool
    sentences: Sequence[str]
    blocks: Sequence[int]
    tags: Sequence[str]
    block_langs: Sequence[str]
    content_hash: str
    counts: Sequence[int]


def page_schema() -> "pyarrow.Schema":
    """Returns the columns of page records.

    Raises:
        ResourceError: pyarrow is not installed.
    """
    arrow = require("pyarrow", "corpus")
    text, number = arrow.string(), arrow.int32()
    alternate = arrow.struct([("lang", text), ("url", text)])
    types = {name: text for name in (*_TEXTS, "content_hash")}
    types |= {"lang_share": arrow.float32(), "is_translated": arrow.bool_()}
    types |= {name: arrow.list_(text) for name in ("aliases", "tags", "block_langs", "sentences")}
    types |= {name: arrow.list_(number) for name in ("blocks", "counts")}
    types |= {"alternates": arrow.list_(alternate)}
    return arrow.schema([(name, types[name]) for name in PageRecord.__slots__])


class PageWriter:
    """Writes page records to a stream, a row group at a time."""

    def __init__(self, stream: IO[bytes]) -> None:
        parquet = require("pyarrow.parquet", "corpus")
        self._writer = parquet.ParquetWriter(stream, page_schema(), compression="zstd")
        self._num_groups = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, pages: Sequence[PageRecord]) -> int:
        """Writes some pages as one row group, and returns its number."""
        columns: dict[str, list[object]] = {
            name: [getattr(page, name) for page in pages] for name in PageRecord.__slots__
        }
        columns["alternates"] = [
            [{"lang": lang, "url": url} for lang, url in page.alternates] for page in pages
        ]
        table = require("pyarrow", "corpus").table(columns, schema=page_schema())
        self._writer.write_table(table, row_group_size=max(1, len(pages)))
        self._num_groups += 1
        return self._num_groups - 1

    @staticmethod
    def read(table: "pyarrow.Table") -> Iterator[PageRecord]:
        """Yields the pages of some rows."""
        for row in table.to_pylist():
            row["alternates"] = [(entry["lang"], entry["url"]) for entry in row["alternates"]]
            yield PageRecord(**row)


def iter_groups(
    pieces: Iterable[tuple[str | Path, Sequence[int] | None]], columns: Sequence[str] | None = None
) -> "Iterator[pyarrow.Table]":
    """Yields row groups of files, one at a time.

    Args:
        pieces: each file with the numbers of its row groups, None: all of them.
        columns: the columns to read, in the order of the schema; None: all.

    Raises:
        LabseError: no such file, or it is none of `labse web pages`.
    """
    for path, groups in pieces:
        with open_shard(path) as file:
            if missing := set(PageRecord.__slots__) - set(file.schema_arrow.names):
                raise LabseError(f"{path}: no pages of labse web pages (no {min(missing)})")
            for number in range(file.num_row_groups) if groups is None else groups:
                table = file.read_row_group(number, columns=columns)
                yield table if columns is None else table.select(columns)


def read_pages(
    folder: Path, wanted: Iterable[tuple[str, int]]
) -> Iterator[tuple[tuple[str, int], PageRecord]]:
    """Yields some pages of shards, by shard and row; row groups without one are not read."""
    by_shard: dict[str, list[int]] = {}
    for shard, row in sorted(set(wanted)):
        by_shard.setdefault(shard, []).append(row)
    for shard, rows in by_shard.items():
        path = folder / f"{shard}.parquet"
        with open_shard(path) as file:
            sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        edges = [0, *accumulate(sizes)]
        for number, (start, stop) in enumerate(pairwise(edges)):
            chosen = rows[bisect_left(rows, start) : bisect_left(rows, stop)]
            for table in iter_groups([(path, [number] if chosen else [])]):
                found = PageWriter.read(table.take([row - start for row in chosen]))
                yield from zip(((shard, row) for row in chosen), found, strict=True)


def read_rows(table: "pyarrow.Table") -> Iterator[tuple[Any, ...]]:
    """Yields the values of each row."""
    return zip(*(column.to_pylist() for column in table.columns), strict=True)
