"""The pages of a shard as pairing needs them: copies folded, links resolved, sentences embedded.

Takes: a shard of page records and an encoder. Gives: for each site its pages by language; the
    sentence vectors of any page, from disk.
Source: docs/web.md. Sentences are weighted by log length over the number of the site's pages that
    have them, so menus and footers count next to nothing (Thompson and Koehn 2020, section 3.2).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.langid import is_same
from labse.cleaning.pair_scores import weighted_length
from labse.corpus.records import UNKNOWN_LANG
from labse.encoder.protocol import Encoder, encode_sentences
from labse.files.npy import load_array, save_array
from labse.files.stage import Stage
from labse.web.addresses import site_of, strip_language
from labse.web.order_score import PageVectors, pool_sentences
from labse.web.records import PageRecord, PageWriter, iter_groups, read_rows
from labse.web.site_pairs import SitePage
from labse.web.words import count_page

__all__ = ["ShardPages", "find_lang"]

_LIGHT = ("url", "host", "lang", "alternates", "canonical", "is_translated", "content_hash")
_CACHED_PAGES = 500  # Of 400 sentences and 384 numbers, 300 MB.


class ShardPages:
    """The pages of one shard that are in the languages asked for.

    Attributes:
        path: the shard.
        num_pages: all of its pages.
        drops: pages that are left out, by reason.
    """

    def __init__(self, path: Path, stage: Stage, encoder: Encoder, tags: Sequence[str]) -> None:
        self.path = path
        self.drops: Counter[str] = Counter()
        self._stage = stage
        self._tags = tags
        self._rows = self._read_light()
        self.num_pages = len(self._rows)
        self._first = self._fold_copies()
        self._files: list[Path] = []
        self._places: dict[int, tuple[int, int, int]] = {}
        self._weights: dict[int, NDArray[np.float32]] = {}
        self._embed(encoder)
        self.load = lru_cache(maxsize=_CACHED_PAGES)(self._load)
        self._pages, self._means = self._build_pages()

    def iter_sites(self) -> Iterator[tuple[str, dict[str, list[SitePage]]]]:
        """Yields each site with its pages by language, as asked for."""
        yield from sorted(self._pages.items())

    def base_cosine(self, site: str, source_lang: str, target_lang: str) -> float:
        """Returns the mean cosine of the sentences of a site in two languages."""
        means = [self._means.get((site, lang)) for lang in (source_lang, target_lang)]
        if means[0] is None or means[1] is None:
            return 0.0
        return float(means[0] @ means[1])

    def forget(self) -> None:
        """Deletes the vectors."""
        self.load.cache_clear()
        for file in self._files:
            file.unlink(missing_ok=True)

    # ---- pages ----

    def _read_light(self) -> list["_Light"]:
        rows = []
        for table in iter_groups([(self.path, None)], _LIGHT):
            for url, host, lang, alternates, canonical, is_translated, content in read_rows(table):
                links = tuple(_plain(entry["url"]) for entry in alternates)
                asked = find_lang(lang, self._tags)
                rows.append(_Light(url, site_of(host), asked, links, _plain(canonical), content))
                if is_translated:
                    rows[-1].lang = ""
                    self.drops["mark of machine translation"] += 1
                elif not asked:
                    is_unknown = lang == UNKNOWN_LANG
                    reason = "language unknown" if is_unknown else "language not asked for"
                    self.drops[reason] += 1
        return rows

    def _fold_copies(self) -> dict[int, list[int]]:
        """Returns for each text all pages that have it, under the one of the shortest address."""
        copies: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for number, row in enumerate(self._rows):
            if row.lang:
                copies[row.site, row.lang, row.content].append(number)
        folded = {}
        for numbers in copies.values():
            numbers.sort(key=lambda n: (len(self._rows[n].url), self._rows[n].url))
            folded[numbers[0]] = numbers
            self.drops["copy of a page, kept as its address"] += len(numbers) - 1
        self.drops = +self.drops
        return folded

    def _embed(self, encoder: Encoder) -> None:
        """Embeds the pages of each row group, unless an earlier call has; fills `_places`."""
        start = 0
        for number, table in enumerate(iter_groups([(self.path, None)])):
            numbers = [n for n in range(start, start + table.num_rows) if n in self._first]
            start += table.num_rows
            if not numbers:
                continue
            name = f"{self.path.stem}-vectors-{number:05}"
            file = self._stage.work / f"{name}.npy"
            pages = list(PageWriter.read(table.take([n - start + table.num_rows for n in numbers])))
            if self._stage.result(name) is None or not file.is_file():
                texts: dict[str, int] = {}
                places = [texts.setdefault(s, len(texts)) for p in pages for s in p.sentences]
                vectors = encode_sentences(encoder, list(texts)).astype(np.float16)
                save_array(file, vectors[places])
                self._stage.add(name, {"num_rows": len(places)})
            stop = 0
            for n, page in zip(numbers, pages, strict=True):
                self._places[n] = (len(self._files), stop, stop + len(page.sentences))
                self._weights[n] = _weigh(page)
                stop += len(page.sentences)
            self._files.append(file)

    def _load(self, row: int) -> PageVectors:
        number, start, stop = self._places[row]
        vectors = np.asarray(load_array(self._files[number])[start:stop])
        return pool_sentences(vectors, self._weights[row])

    def _build_pages(
        self,
    ) -> tuple[
        dict[str, dict[str, list[SitePage]]], dict[tuple[str, str], NDArray[np.floating[Any]]]
    ]:
        addresses = self._index_addresses()
        pages: dict[str, dict[str, list[SitePage]]] = defaultdict(lambda: defaultdict(list))
        sums: dict[tuple[str, str], NDArray[np.floating[Any]]] = {}
        start = 0
        for table in iter_groups([(self.path, None)], ("sentences", "counts")):
            for n, (sentences, counts) in enumerate(read_rows(table), start=start):
                if n not in self._first:
                    continue
                light, vectors = self._rows[n], self._load(n)
                copies = [self._rows[copy] for copy in self._first[n]]
                links = {
                    page for row in copies for url in row.links for page in addresses.get(url, ())
                }
                total = vectors.weights @ vectors.vectors
                numbers, words = count_page(sentences, counts)
                pages[light.site][light.lang].append(
                    SitePage(
                        row=n,
                        lang=light.lang,
                        addresses=tuple(row.url for row in copies),
                        links=frozenset(links - {n}),
                        keys=frozenset(strip_language(row.url).key for row in copies),
                        vector=total / max(float(np.linalg.norm(total)), 1e-6),
                        numbers=numbers,
                        words=words,
                    )
                )
                mean: NDArray[np.floating[Any]] = vectors.vectors.mean(axis=0)
                key = light.site, light.lang
                sums[key] = sums[key] + mean if key in sums else mean
            start += table.num_rows
        means: dict[tuple[str, str], NDArray[np.floating[Any]]] = {
            key: total / len(pages[key[0]][key[1]]) for key, total in sums.items()
        }
        return pages, means

    def _index_addresses(self) -> dict[str, set[int]]:
        """Returns the pages, by their first copy, that stand at an address or say that they do."""
        addresses: dict[str, set[int]] = defaultdict(set)
        for first, copies in self._first.items():
            for number in copies:
                addresses[_plain(self._rows[number].url)].add(first)
        for first, copies in self._first.items():
            for number in copies:
                canonical = self._rows[number].canonical
                if canonical and canonical not in addresses:
                    addresses[canonical].add(first)
        return addresses


@dataclass(slots=True)
class _Light:
    """What of a page is held for the whole shard."""

    url: str
    site: str
    lang: str
    links: tuple[str, ...]
    canonical: str
    content: str


def _plain(url: str) -> str:
    """Returns an address as links are compared: without scheme and a slash at the end."""
    return url.partition("#")[0].partition("://")[2].rstrip("/")


def _weigh(page: PageRecord) -> NDArray[np.float32]:
    lengths = [weighted_length(sentence) for sentence in page.sentences]
    weights: NDArray[np.float64] = np.log1p(lengths) / np.maximum(page.counts, 1)
    return weights.astype(np.float32)


def find_lang(lang: str, tags: Sequence[str]) -> str:
    """Returns which of the languages asked for a page is in; nothing if in none."""
    base = lang.partition("-")[0]
    near = [tag for tag in tags if tag == lang]
    near += [tag for tag in tags if tag.partition("-")[0] == base]
    near += [tag for tag in tags if is_same(tag, lang)]
    return near[0] if near else ""
