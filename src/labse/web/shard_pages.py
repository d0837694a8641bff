"""The pages of shards as pairing needs them: copies folded, links resolved, sentences embedded.

Takes: shards of page records and an encoder. Gives: for each site its pages by language.
Source: docs/web.md. Of each page some numbers and its address are held; its texts lie on disk
    (`page_arrays`).

Dimensions: N pages of the shards, by row; P of them that are looked at, one of each text, by place.
"""

import shutil
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.langid import is_same
from labse.corpus.records import UNKNOWN_LANG
from labse.encoder.protocol import Encoder
from labse.files.npy import ragged_positions
from labse.files.stage import Stage
from labse.runtime import require
from labse.web.addresses import site_of, strip_language
from labse.web.page_arrays import write_page_arrays
from labse.web.records import PageRecord, PageWriter, iter_groups, read_rows
from labse.web.redirects import plain_address
from labse.web.site_pairs import PageSide

if TYPE_CHECKING:
    import pyarrow

__all__ = ["ShardPages", "find_lang"]

_LIGHT = ("url", "host", "lang", "canonical", "aliases", "is_translated", "content_hash")
_COLUMNS = {"site": "q", "lang": "h", "content": "Q", "url": "Q", "key": "Q"}
_NO_PAGE = -1
_GROUP_PAGES = 200  # Whose records are held at a time.


class ShardPages:
    """The pages of shards that are in the languages asked for.

    Attributes:
        num_pages: all of their pages.
        drops: pages that are left out, by reason.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        stage: Stage,
        encoder: Encoder,
        tags: Sequence[str],
        *,
        is_one_site: bool = False,
    ) -> None:
        """Reads and embeds the pages.

        Args:
            paths: the shards.
            stage: in which sentences are embedded.
            encoder: embeds them.
            tags: the languages asked for.
            is_one_site: whether all pages are taken for those of one site.
        """
        self.drops: Counter[str] = Counter()
        self._paths, self._tags, self._is_one_site = paths, tags, is_one_site
        self._folder = stage.work / paths[0].stem
        self._read_light()
        self.num_pages = len(self._urls)
        self._fold_copies()
        self._keys = self._find_keys()
        self._links = self._find_links()
        self._arrays = write_page_arrays(self._folder, stage, self._iter_texts(), encoder)

    @property
    def folder(self) -> Path:
        """Where the arrays lie, and what is in between may."""
        return self._folder

    def iter_sites(self) -> Iterator[dict[str, NDArray[np.int64]]]:
        """Yields the places of the pages of each site by language, as asked for."""
        order = np.lexsort((np.arange(len(self._rows)), self._lang, self._site))
        edges = np.flatnonzero(np.diff(self._site[order])) + 1
        for places in np.split(order, edges) if len(order) else ():
            langs = self._lang[places]
            yield {self._tags[lang]: places[langs == lang] for lang in np.unique(langs).tolist()}

    def build_side(self, places: NDArray[np.int64], other: NDArray[np.int64]) -> PageSide:
        """Returns the pages of a site in a language, with their links to pages of another."""
        links = np.full(len(places), _NO_PAGE, np.int64)
        if len(places) and len(other):
            link_from, link_to = self._links
            starts, stops = (np.searchsorted(link_from, places, at) for at in ("left", "right"))
            of = np.repeat(np.arange(len(places)), stops - starts)
            to = link_to[ragged_positions(starts, stops - starts)]
            is_other = np.isin(to, other)
            of, to = of[is_other], to[is_other]
            is_only = np.bincount(of, minlength=len(places))[of] == 1
            links[of[is_only]] = to[is_only]
        keys, key_pages = self._unique_keys(places)
        return PageSide(self._arrays, places, links, keys, key_pages)

    def base_cosine(self, source: NDArray[np.int64], target: NDArray[np.int64]) -> float:
        """Returns the mean cosine of the sentences of a site in two languages."""
        return float(self._arrays.mean_sentence(source) @ self._arrays.mean_sentence(target))

    def locate(self, place: int) -> tuple[str, int, list[str]]:
        """Returns the shard of a page, its row there, and all addresses of its text."""
        row = int(self._rows[place])
        shard = int(np.searchsorted(self._starts, row, side="right")) - 1
        rows = self._copies.get(row, [row])
        urls = [self._urls[copy].as_py() for copy in rows]
        for copy in rows:
            urls += [self._claims[copy]] if copy in self._claims else []
            urls += self._aliases.get(copy, [])
        return self._paths[shard].stem, row - int(self._starts[shard]), [*dict.fromkeys(urls)]

    def forget(self) -> None:
        """Deletes the arrays."""
        shutil.rmtree(self._folder, ignore_errors=True)

    # ---- what is held of each page ----

    def _read_light(self) -> None:
        arrow = require("pyarrow", "corpus")
        urls: list[pyarrow.Array] = [arrow.array([], arrow.string())]
        columns = {name: array(kind) for name, kind in _COLUMNS.items()}
        sites: dict[str, int] = {}
        langs: dict[str, int] = {}
        starts = [0]
        self._claims: dict[int, str] = {}  # What a page says its true address is.
        self._aliases: dict[int, list[str]] = {}  # What redirects to it.
        for path in self._paths:
            num_rows = 0
            for table in iter_groups([(path, None)], _LIGHT):
                urls += table.column(0).chunks
                num_rows += table.num_rows
                for url, host, lang, canonical, aliases, is_translated, content in read_rows(table):
                    if lang not in langs:
                        asked = find_lang(lang, self._tags)
                        langs[lang] = self._tags.index(asked) if asked else _NO_PAGE
                    row = len(columns["site"])
                    if canonical and plain_address(canonical) != plain_address(url):
                        self._claims[row] = canonical
                    if aliases:
                        self._aliases[row] = aliases
                    site = "" if self._is_one_site else site_of(host)
                    columns["site"].append(sites.setdefault(site, len(sites)))
                    columns["lang"].append(self._choose_lang(langs[lang], lang, is_translated))
                    columns["content"].append(int(content[:16], 16))
                    columns["url"].append(_hash(plain_address(url)))
                    columns["key"].append(_hash(strip_language(url).key))
            starts.append(starts[-1] + num_rows)
        self._urls = arrow.chunked_array(urls).combine_chunks()
        self._starts = np.array(starts, np.int64)
        ranks = np.empty(len(sites), np.int32)  # Sites in the order of their names.
        ranks[[sites[name] for name in sorted(sites)]] = np.arange(len(sites))
        self._all_site, self._all_lang = ranks[np.array(columns["site"])], np.array(columns["lang"])
        self._hashes = {name: np.array(columns[name]) for name in _COLUMNS}

    def _choose_lang(self, asked: int, lang: str, is_translated: bool) -> int:
        """Returns which of the languages asked for a page is in, and counts pages in none."""
        if is_translated:
            self.drops["mark of machine translation"] += 1
            return _NO_PAGE
        if asked == _NO_PAGE:
            is_unknown = lang == UNKNOWN_LANG
            self.drops["language unknown" if is_unknown else "language not asked for"] += 1
        return asked

    def _fold_copies(self) -> None:
        """Takes all pages with one text for one, that of the shortest address."""
        used = np.flatnonzero(self._all_lang >= 0)
        keys = (self._hashes["content"][used], self._all_lang[used], self._all_site[used])
        order = np.lexsort((used, *keys))
        is_first = np.ones(len(used), bool)
        for key in keys:
            is_first[1:] = is_first[1:] & (key[order][1:] == key[order][:-1])
        is_first[1:] = ~is_first[1:]

        # Most groups are one page: only the others are looked at one by one.
        rows, starts = used[order], np.flatnonzero(is_first)
        sizes = np.diff(starts, append=len(rows))
        firsts = rows[starts]
        self._copies: dict[int, list[int]] = {}
        for group in np.flatnonzero(sizes > 1).tolist():
            copies = rows[starts[group] : starts[group] + sizes[group]].tolist()
            urls = {row: self._urls[row].as_py() for row in copies}
            copies.sort(key=lambda row: (len(urls[row]), urls[row]))
            firsts[group] = copies[0]
            self._copies[copies[0]] = copies
            self.drops["copy of a page, kept as its address"] += len(copies) - 1
        self._rows = np.sort(firsts)
        self._first = np.full(len(self._urls), _NO_PAGE, np.int64)  # The place of each row's page.
        self._first[rows] = np.repeat(np.searchsorted(self._rows, firsts), sizes)
        self._lang, self._site = self._all_lang[self._rows], self._all_site[self._rows]

    # ---- addresses and links ----

    def _find_keys(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Returns places, ascending, and the hashes of their addresses without languages."""
        used = np.flatnonzero(self._first >= 0)
        places, keys = self._first[used], self._hashes["key"][used]
        order = np.lexsort((keys, places))
        return places[order], keys[order]

    def _unique_keys(
        self, places: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Returns the keys that one of these pages alone has, and its place among them."""
        starts, stops = (np.searchsorted(self._keys[0], places, side) for side in ("left", "right"))
        of = np.repeat(np.arange(len(places)), stops - starts)
        keys = self._keys[1][ragged_positions(starts, stops - starts)]
        pairs = np.unique(np.stack([keys, of.astype(np.uint64)], axis=1), axis=0)
        found, first, counts = np.unique(pairs[:, 0], return_index=True, return_counts=True)
        return found[counts == 1], pairs[first[counts == 1], 1].astype(np.int64)

    def _find_links(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the places of pages and of those that they name by hreflang, both ascending."""
        hashes, pages = self._index_addresses()
        links = [np.zeros((0, 2), np.int64)]
        start = 0
        for table in self._iter_tables(("alternates",)):
            firsts = self._first[start : start + table.num_rows]
            start += table.num_rows
            wanted = [
                (int(firsts[n]), _hash(plain_address(entry["url"])))
                for n, entries in enumerate(table.column(0).to_pylist())
                if firsts[n] >= 0
                for entry in entries
            ]
            of = np.array([place for place, _ in wanted], np.int64)
            to = np.array([key for _, key in wanted], np.uint64)
            begins, ends = np.searchsorted(hashes, to), np.searchsorted(hashes, to, "right")
            found = pages[ragged_positions(begins, ends - begins)]
            pairs = np.stack([np.repeat(of, ends - begins), found], axis=1)
            pairs = pairs[pairs[:, 0] != pairs[:, 1]]
            is_near = self._site[pairs[:, 0]] == self._site[pairs[:, 1]]
            links.append(np.unique(pairs[is_near], axis=0))
        joined = np.unique(np.concatenate(links), axis=0)
        return joined[:, 0].copy(), joined[:, 1].copy()

    def _index_addresses(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Returns the hashes of all addresses that lead to a page, ascending, and the page.

        What redirects, and what a page says its address is, counts where no page stands. Where all
        pages name the start of their site, none is known by it.
        """
        used = np.flatnonzero(self._first >= 0)
        claims = [(row, url) for row, url in self._claims.items() if self._first[row] >= 0]
        leading = [(row, url) for row, urls in self._aliases.items() for url in urls]
        rows = np.array([row for row, _ in (*claims, *leading)], np.int64)
        told = np.array([_hash(plain_address(url)) for _, url in (*claims, *leading)], np.uint64)
        is_new = ~np.isin(told, self._hashes["url"][used]) & (self._first[rows] >= 0)
        hashes = np.concatenate([self._hashes["url"][used], told[is_new]])
        places = np.concatenate([self._first[used], self._first[rows[is_new]]])
        pairs = np.unique(np.stack([hashes, places.astype(np.uint64)], axis=1), axis=0)

        # An address that one page alone claims is one of its own.
        distinct, counts = np.unique(pairs[:, 0], return_counts=True)
        is_only = is_new & (
            counts[np.searchsorted(distinct, told).clip(max=len(distinct) - 1)] == 1
        )
        self._claims = {row: url for (row, url), only in zip(claims, is_only, strict=False) if only}
        return pairs[:, 0].copy(), pairs[:, 1].astype(np.int64)

    # ---- texts ----

    def _iter_tables(self, columns: Sequence[str] | None = None) -> "Iterator[pyarrow.Table]":
        for path in self._paths:
            yield from iter_groups([(path, None)], columns)

    def _iter_texts(self) -> Iterator[tuple[str, Sequence[PageRecord]]]:
        """Yields the pages that are looked at, some of a row group at a time, under a name."""
        start = 0
        for path in self._paths:
            for number, table in enumerate(iter_groups([(path, None)])):
                stop = start + table.num_rows
                places = slice(*np.searchsorted(self._rows, [start, stop]).tolist())
                rows = self._rows[places] - start
                start = stop
                for part in range(0, len(rows), _GROUP_PAGES):
                    chosen = table.take(rows[part : part + _GROUP_PAGES])
                    yield f"{path.stem}-texts-{number:05}-{part}", [*PageWriter.read(chosen)]


def _hash(text: str) -> int:
    digest: int = require("xxhash", "corpus").xxh3_64_intdigest(text.encode(errors="surrogatepass"))
    return digest


def find_lang(lang: str, tags: Sequence[str]) -> str:
    """Returns which of the languages asked for a page is in; nothing if in none."""
    base = lang.partition("-")[0]
    near = [tag for tag in tags if tag == lang]
    near += [tag for tag in tags if tag.partition("-")[0] == base]
    near += [tag for tag in tags if is_same(tag, lang)]
    return near[0] if near else ""
