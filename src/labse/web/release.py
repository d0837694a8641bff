"""A release of bitext: TMX, TSV, JSONL or Parquet with the addresses of each pair.

Takes: released pairs. Gives: a file in the format of its suffix.
Source: bitextor writes `<prop type="source-document">` for each address, so tools of OPUS read it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from labse.corpus.file_formats import choose_layout
from labse.corpus.output_files import open_output
from labse.corpus.tmx_writer import TmxUnit, write_tmx_units
from labse.corpus.writers import PAIR_COLUMNS, Value, write_rows

__all__ = ["ReleasedPair", "write_release"]

_TMX_SCORES = ("margin_score", "cosine", "quality", "bead_score")
_ORIGIN = (
    *("source_urls", "target_urls", "crawl_dates", "method", "labse_version", "model_sha256"),
)


@dataclass(frozen=True, slots=True)
class ReleasedPair:
    """A pair of a release.

    Attributes:
        scores: all of its scores, by name.
        source_urls: all addresses whose pages have the source, or a near copy of the pair.
        target_urls: likewise.
        crawl_dates: the first and the last day on which the pages were fetched.
        method: what spoke for the pair of pages: `hreflang`, `url`, both or the `text` alone.
        labse_version: that made it.
        model_sha256: of the model, empty if it has none.
    """

    source: str
    target: str
    source_lang: str
    target_lang: str
    scores: dict[str, float]
    source_urls: tuple[str, ...]
    target_urls: tuple[str, ...]
    crawl_dates: tuple[str, ...]
    method: str
    labse_version: str
    model_sha256: str


def write_release(out: str | Path, pairs: Iterable[ReleasedPair]) -> int:
    """Writes pairs in the format of the suffix; returns how many."""
    layout = choose_layout(out, "release")
    if layout == "tmx":
        with open_output(out) as stream:
            return write_tmx_units(stream, map(_to_unit, pairs))[0]
    rest: Iterator[ReleasedPair] = iter(pairs)
    first = list(islice(rest, 1))
    columns = (*PAIR_COLUMNS, *(first[0].scores if first else ()), *_ORIGIN)
    return write_rows(out, columns, map(_flatten, chain(first, rest)), layout=layout).num_rows


def _flatten(pair: ReleasedPair) -> list[Value]:
    sides: list[Value] = [getattr(pair, name) for name in PAIR_COLUMNS]
    scores = [round(value, 6) for value in pair.scores.values()]
    return [*sides, *scores, *(getattr(pair, name) for name in _ORIGIN)]


def _to_unit(pair: ReleasedPair) -> TmxUnit:
    told = [name for name in pair.scores if name in _TMX_SCORES]
    props = [(f"score-{name}", f"{pair.scores[name]:.4f}") for name in told]
    props += [("crawl-date", date) for date in pair.crawl_dates]
    props += [("method", pair.method)]
    return TmxUnit(
        pair.source,
        pair.target,
        pair.source_lang,
        pair.target_lang,
        props,
        [("source-document", url) for url in pair.source_urls],
        [("source-document", url) for url in pair.target_urls],
    )
