"""The sentences of all pages by language, and on which pages each stands.

Takes: shards of page records. Gives: the sentences of a language in a fixed order; of each the
    number of its page, whose addresses and date are known.
Source: docs/web.md. Of each page its address is held, of each sentence four bytes.

Dimensions: N sentences of a language, in the order of its pages.
"""

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from labse.runtime import require
from labse.web.records import iter_groups, read_rows
from labse.web.shard_pages import find_lang

if TYPE_CHECKING:
    import pyarrow

__all__ = ["SentenceOrigins", "iter_sentences", "read_origins"]

_TEXTS = ("lang", "is_translated", "sentences", "blocks", "block_langs")
_ORIGINS = ("url", "date", "aliases")


@dataclass(frozen=True, slots=True, eq=False)
class SentenceOrigins:
    """Where the lines of all languages stand.

    Attributes:
        paths: of the shards.
        urls: the address of each page.
        aliases: of some pages, addresses that redirect there.
        days: (pages,) when each was fetched, as `2026-11-29`, or empty.
        pages: for each language the number of the page that each of its N lines stands on.
        drops: what gives no lines, by reason.
    """

    paths: Sequence[Path]
    urls: "pyarrow.Array"
    aliases: Mapping[int, list[str]]
    days: NDArray[np.bytes_]
    pages: Mapping[str, NDArray[np.int32]]
    drops: Counter[str]

    def urls_of(self, pages: NDArray[np.int64]) -> list[str]:
        """Returns the addresses of some pages."""
        urls: dict[str, None] = {}
        for page in pages.tolist():
            urls |= dict.fromkeys([self.urls[page].as_py(), *self.aliases.get(page, [])])
        return [*urls]

    def dates_of(self, pages: NDArray[np.int64]) -> list[str]:
        """Returns the first and the last day of some pages; one if they are the same."""
        days = sorted({day.decode() for day in self.days[pages].tolist() if day})
        return sorted({days[0], days[-1]}) if days else []


def read_origins(paths: Sequence[Path], tags: Sequence[str]) -> SentenceOrigins:
    """Reads all pages once.

    Args:
        paths: the shards.
        tags: the languages asked for.
    """
    arrow = require("pyarrow", "corpus")
    urls: list[pyarrow.Array] = [arrow.array([], arrow.string())]
    days = bytearray()
    aliases: dict[int, list[str]] = {}
    numbers = {tag: array("i") for tag in tags}
    counts = {tag: array("i") for tag in tags}
    drops: Counter[str] = Counter()
    page = 0
    for table, lines in _iter_texts(paths, tags, drops):
        urls += table.column("url").chunks
        columns = (table.column(name).to_pylist() for name in ("date", "aliases"))
        for (tag, sentences), date, leading in zip(lines, *columns, strict=True):
            days += date.encode("ascii", "replace")[:10].ljust(10, b"\0")
            if leading:
                aliases[page] = leading
            if tag:
                numbers[tag].append(page)
                counts[tag].append(len(sentences))
            page += 1
    pages = {
        tag: np.repeat(np.array(numbers[tag], np.int32), np.array(counts[tag], np.int64))
        for tag in tags
    }
    joined = arrow.chunked_array(urls).combine_chunks()
    return SentenceOrigins(paths, joined, aliases, np.frombuffer(bytes(days), "S10"), pages, drops)


def iter_sentences(paths: Sequence[Path], tags: Sequence[str], tag: str) -> Iterator[str]:
    """Yields the sentences of the pages of a language."""
    for _, lines in _iter_texts(paths, tags, Counter()):
        for lang, sentences in lines:
            if lang == tag:
                yield from sentences


def _iter_texts(
    paths: Sequence[Path], tags: Sequence[str], drops: Counter[str]
) -> "Iterator[tuple[pyarrow.Table, list[tuple[str, list[str]]]]]":
    """Yields row groups, and for each of their pages its language and its sentences.

    A page that is left out has none; a sentence is, if its block is in another language.
    """
    columns = [*_ORIGINS, *_TEXTS]
    for table in iter_groups([(path, None) for path in paths], columns):
        lines: list[tuple[str, list[str]]] = []
        for lang, is_translated, sentences, blocks, block_langs in read_rows(table.select(_TEXTS)):
            tag = "" if is_translated else find_lang(lang, tags)
            if not tag:
                reason = (
                    "mark of machine translation" if is_translated else "language not asked for"
                )
                drops[reason] += 1
                lines.append(("", []))
                continue
            is_own = [not lang or find_lang(lang, [tag]) == tag for lang in block_langs]
            kept = [text for text, block in zip(sentences, blocks, strict=True) if is_own[block]]
            drops["sentence in another language than its page"] += len(sentences) - len(kept)
            lines.append((tag, kept))
        yield table, lines
