"""The steps of `web_pages` over one slice of an archive and over one shard.

Takes: captures; pieces of page records. Gives: Parquet of page records, with counts for the report.
Source: docs/web.md. Memory holds one row group of text and, of each page of a shard, hashes.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.pair_scores import weighted_length
from labse.corpus.html_blocks import (
    HtmlPage,
    parse_html,
    parse_link_header,
    resolve_address,
)
from labse.corpus.records import UNKNOWN_LANG
from labse.corpus.sentence_splitting import split_sentences
from labse.corpus.web_archives import MAX_PAGE_BYTES, TOO_LARGE, Capture, iter_captures
from labse.files.atomic import write_atomic
from labse.runtime import require
from labse.web.addresses import host_of, site_of
from labse.web.page_language import (
    choose_language,
    declared_tag,
    find_block_languages,
    find_page_languages,
)
from labse.web.records import PageRecord, PageWriter, iter_groups, read_rows
from labse.web.redirects import plain_address, read_redirects, write_redirects

__all__ = ["list_html_files", "merge_step", "read_step"]

_BATCH_PAGES = 64  # Whose languages are identified in one call.
_GROUP_BYTES = 8 << 20  # Of text in a row group.
_MAX_SENTENCES = 20_000  # Of a page; what follows is left out and counted.
_MIN_OWN_LENGTH = 200  # Letters of text that is the page's own, for its frame to be left aside.
_MAX_HOSTS_TOLD = 1_000


# ---- read --------------------------------------------------------------------------------------


def read_step(
    path: str,
    out: str,
    redirects: str,
    *,
    base_url: str | None,
    start: int,
    stop: int | None,
    num_shards: int,
) -> dict[str, object]:
    """Reads a slice of an archive or folder; writes its pages in row groups of one shard each.

    Redirects go to a file of their own.

    Returns:
        The row groups of each shard in both files, the number of pages and what was left out.
    """
    drops: Counter[str] = Counter()
    if base_url is None:
        captures = iter_captures(path, start=start, stop=stop, drops=drops)
    else:
        captures = _iter_files(Path(path), base_url, start, stop, drops)
    groups: dict[str, list[int]] = {}
    leading: dict[int, list[tuple[str, str]]] = {}
    num_rows = 0
    captures = _without_redirects(captures, leading, num_shards, drops)
    with write_atomic(out) as stream, PageWriter(stream) as writer:
        for batch in _batches(_read_pages(captures, drops)):
            by_shard: dict[int, list[PageRecord]] = {}
            for page in batch:
                by_shard.setdefault(_shard_of(site_of(page.host), num_shards), []).append(page)
            for shard, pages in sorted(by_shard.items()):
                groups.setdefault(str(shard), []).append(writer.write(pages))
            num_rows += len(batch)
    return {
        "num_rows": num_rows,
        "groups": groups,
        "redirects": write_redirects(redirects, leading),
        "drops": dict(sorted(drops.items())),
    }


def _without_redirects(
    captures: Iterable[Capture],
    leading: dict[int, list[tuple[str, str]]],
    num_shards: int,
    drops: Counter[str],
) -> Iterator[Capture]:
    """Yields what is no redirect; the others go to `leading`, by the shard of their end."""
    for capture in captures:
        if not capture.location:
            yield capture
            continue
        location = resolve_address(capture.url, capture.location)
        if not location:
            drops["redirect to no address of the web"] += 1
            continue
        drops["redirect, an address of the page that it leads to"] += 1
        shard = _shard_of(site_of(host_of(location)), num_shards)
        leading.setdefault(shard, []).append((capture.url, location))


def list_html_files(folder: Path) -> list[Path]:
    """Returns the HTML files of a folder and its folders, `a.html` and `a.html.de` alike."""
    return sorted(
        path
        for path in folder.rglob("*")
        if _is_html(path.name)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def _is_html(name: str) -> bool:
    pieces = name.lower().split(".")[1:]
    return any(piece in ("html", "htm", "xhtml", "shtml") for piece in pieces[-2:])


def _iter_files(
    folder: Path, base_url: str, start: int, stop: int | None, drops: Counter[str]
) -> Iterator[Capture]:
    for path in list_html_files(folder)[start:stop]:
        if path.stat().st_size > MAX_PAGE_BYTES:
            drops[TOO_LARGE] += 1
            continue
        name = quote(path.relative_to(folder).as_posix().encode(errors="surrogateescape"))
        yield Capture(f"{base_url.rstrip('/')}/{name}", "", path.read_bytes())


def _read_pages(captures: Iterable[Capture], drops: Counter[str]) -> Iterator[PageRecord]:
    parsed = (page for capture in captures if (page := _parse(capture, drops)) is not None)
    while batch := list(islice(parsed, _BATCH_PAGES)):
        told = [(p.page.blocks, p.page.tags, declared_tag(p.page.html_lang)) for p in batch]
        for page, lang in zip(batch, find_page_languages(told), strict=True):
            if (record := _build_record(page, lang, drops)).sentences:
                yield record
            else:
                drops["no text"] += 1


@dataclass(frozen=True, slots=True)
class _Parsed:
    capture: Capture
    host: str
    page: HtmlPage


def _parse(capture: Capture, drops: Counter[str]) -> _Parsed | None:
    """Returns the parts of a page; None, and a reason in `drops`, if there is no text."""
    host = host_of(capture.url)
    if not host:
        drops["not an address of the web"] += 1
        return None
    if capture.payload is None:
        lines = [" ".join(line.split()) for line in capture.text.split("\n")]
        page = HtmlPage([line for line in lines if line])
        page.tags = ["p"] * len(page.blocks)
        page.problem = None if page.blocks else "no text"
    else:
        page = parse_html(capture.payload, capture.url, charset=capture.charset)
        parse_link_header(capture.link, capture.url, page)
        page.html_lang = page.html_lang or capture.content_language.partition(",")[0].strip()[:35]
    if page.num_bad_links:
        drops["hreflang that is no address of the web"] += page.num_bad_links
    if page.problem:
        drops[page.problem] += 1
        return None
    return _Parsed(capture, host, page)


def _build_record(parsed: _Parsed, lang: str, drops: Counter[str]) -> PageRecord:
    page = parsed.page
    sentences: list[str] = []
    numbers: list[int] = []
    for number, (block, tag) in enumerate(zip(page.blocks, page.tags, strict=True)):
        found = [block] if tag == "pre" else split_sentences(block, lang)
        sentences += found
        numbers += [number] * len(found)
    if len(sentences) > _MAX_SENTENCES:
        drops["sentences after the first 20,000 of a page"] += len(sentences) - _MAX_SENTENCES
        del sentences[_MAX_SENTENCES:], numbers[_MAX_SENTENCES:]
    content = "\n".join(sentences).encode("utf-8", "surrogatepass")
    return PageRecord(
        url=parsed.capture.url,
        host=parsed.host,
        date=parsed.capture.date,
        html_lang=page.html_lang,
        lang=lang,
        lang_share=0.0,
        alternates=[(alternate.lang, alternate.url) for alternate in page.alternates],
        canonical=page.canonical,
        aliases=[],
        title=page.title,
        robots=page.robots,
        license=page.license,
        is_translated=page.is_translated,
        sentences=sentences,
        blocks=numbers,
        tags=page.tags,
        block_langs=find_block_languages(page.blocks, page.tags),
        content_hash=require("xxhash", "corpus").xxh3_128_hexdigest(content),
        counts=[0] * len(sentences),
    )


def _batches(pages: Iterable[PageRecord]) -> Iterator[list[PageRecord]]:
    batch: list[PageRecord] = []
    num_characters = 0
    for page in pages:
        batch.append(page)
        num_characters += sum(map(len, page.sentences)) + 1_000
        if num_characters > _GROUP_BYTES // 2:
            yield batch
            batch, num_characters = [], 0
    if batch:
        yield batch


def _shard_of(site: str, num_shards: int) -> int:
    digest = hashlib.blake2b(site.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % num_shards


# ---- merge -------------------------------------------------------------------------------------


def merge_step(
    pieces: Sequence[tuple[str, Sequence[int]]],
    redirects: Sequence[tuple[str, Sequence[int]]],
    out: str,
) -> dict[str, object]:
    """Writes the pages of a shard, with the counts of their sentences and their languages.

    Args:
        pieces: files of `read_step`, and the row groups of each that are of this shard.
        redirects: likewise.
        out: the shard.
    """
    survey = _survey(pieces)
    leading = read_redirects(redirects)
    langs: Counter[str] = Counter()
    sentences: Counter[str] = Counter()
    hosts: Counter[str] = Counter()
    with write_atomic(out) as stream, PageWriter(stream) as writer:
        for batch in _batches(_iter_kept(pieces, survey.is_kept)):
            pages = [
                replace(survey.complete(page), aliases=leading.get(plain_address(page.url), []))
                for page in batch
            ]
            langs.update(page.lang for page in pages)
            for page in pages:
                sentences[page.lang] += len(page.sentences)
            hosts.update(page.host for page in pages)
            writer.write(pages)
    num_old = len(survey.is_kept) - int(survey.is_kept.sum())
    return {
        "num_rows": langs.total(),
        "num_sites": len({site_of(host) for host in hosts}),
        "langs": dict(langs),
        "num_sentences": dict(sentences),
        "hosts": dict(hosts.most_common(_MAX_HOSTS_TOLD)),
        "drops": {"older capture of an address": num_old} if num_old else {},
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Survey:
    """What all pages of a shard tell about each.

    Attributes:
        is_kept: (N,) whether a page is the latest capture of its address in its language.
        hashes: (S,) distinct sentences of the sites, sorted.
        counts: (S,) the pages of its site that have each.
        langs: the languages of the pages of each site, the commonest first.
    """

    is_kept: NDArray[np.bool_]
    hashes: NDArray[np.uint64]
    counts: NDArray[np.int64]
    langs: dict[str, list[str]]

    def complete(self, page: PageRecord) -> PageRecord:
        """Returns a page with the counts of its sentences, and its language among the others."""
        site = site_of(page.host)
        counts = self.counts[np.searchsorted(self.hashes, _hash_sentences(site, page.sentences))]
        shares = _weigh_languages(page, counts)
        langs = self.langs[site]
        declared = [tag for tag in (declared_tag(page.html_lang),) if tag != UNKNOWN_LANG]
        lang, share = choose_language(page.lang, shares, langs[0], [*declared, *langs])
        return replace(page, counts=counts.tolist(), lang=lang, lang_share=share)


def _survey(pieces: Sequence[tuple[str, Sequence[int]]]) -> _Survey:
    latest: dict[tuple[str, str], tuple[str, int]] = {}
    hashes: list[NDArray[np.uint64]] = []
    sites: dict[str, Counter[str]] = defaultdict(Counter)
    for table in iter_groups(pieces, ("url", "host", "date", "lang", "sentences")):
        for url, host, date, lang, sentences in read_rows(table):
            known = latest.get((url, lang))
            if known is None or known[0] <= date:
                latest[url, lang] = (date, len(hashes))
            site = site_of(host)
            hashes.append(np.unique(_hash_sentences(site, sentences)))
            sites[site][lang] += known is None
    is_kept = np.zeros(len(hashes), bool)
    is_kept[[number for _, number in latest.values()]] = True
    kept = [found for found, is_one in zip(hashes, is_kept, strict=True) if is_one]
    distinct, counts = np.unique(
        np.concatenate([np.zeros(0, np.uint64), *kept]), return_counts=True
    )
    ranked = {
        site: sorted((lang for lang in found if lang != UNKNOWN_LANG), key=lambda x: (-found[x], x))
        or [UNKNOWN_LANG]
        for site, found in sites.items()
    }
    return _Survey(is_kept, distinct, counts, ranked)


def _weigh_languages(page: PageRecord, counts: NDArray[np.int64]) -> dict[str, float]:
    """Returns the share of each language in a page's own text; in all of it if that is short."""
    first = np.unique(np.asarray(page.blocks, np.int64), return_index=True)
    weights: defaultdict[str, float] = defaultdict(float)
    frame: defaultdict[str, float] = defaultdict(float)
    lengths: defaultdict[int, float] = defaultdict(float)
    for sentence, block in zip(page.sentences, page.blocks, strict=True):
        lengths[block] += weighted_length(sentence)
    for block, place in zip(first[0].tolist(), first[1].tolist(), strict=True):
        if lang := page.block_langs[block]:
            weights[lang] += lengths[block] / counts[place]
            frame[lang] += lengths[block]
    found = weights if sum(weights.values()) >= _MIN_OWN_LENGTH else frame
    found.pop(UNKNOWN_LANG, None)
    total = sum(found.values())
    return {lang: weight / total for lang, weight in found.items()} if total else {}


def _iter_kept(
    pieces: Sequence[tuple[str, Sequence[int]]], is_kept: NDArray[np.bool_]
) -> Iterator[PageRecord]:
    start = 0
    for table in iter_groups(pieces):
        stop = start + table.num_rows
        yield from PageWriter.read(table.filter(is_kept[start:stop]))
        start = stop


def _hash_sentences(site: str, sentences: Sequence[str]) -> NDArray[np.uint64]:
    digest = require("xxhash", "corpus").xxh3_64_intdigest
    seed = digest(site.encode("utf-8", "surrogatepass"))
    hashes = [digest(text.encode("utf-8", "surrogatepass"), seed) for text in sentences]
    return np.array(hashes, np.uint64)
