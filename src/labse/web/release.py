"""A release of bitext: TMX, JSONL or Parquet with the addresses of each pair.

Takes: released pairs. Gives: a file in the format of its suffix.
Source: bitextor writes `<prop type="source-document">` for each address, so tools of OPUS read it.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from labse.corpus.file_formats import choose_layout
from labse.corpus.output_files import open_output
from labse.corpus.tmx_writer import TmxUnit, write_tmx_units
from labse.runtime import require

__all__ = ["ReleasedPair", "write_release"]

_BATCH_ROWS = 16_384
_TMX_SCORES = ("margin_score", "cosine", "quality", "bead_score")


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
    source_urls: list[str]
    target_urls: list[str]
    crawl_dates: list[str]
    method: str
    labse_version: str
    model_sha256: str


def write_release(out: str | Path, pairs: Iterable[ReleasedPair]) -> int:
    """Writes pairs in the format of the suffix; returns how many."""
    layout = choose_layout(out, "release")
    with open_output(out) as stream:
        if layout == "tmx":
            return write_tmx_units(stream, map(_to_unit, pairs))[0]
        return _write_parquet(stream, pairs) if layout == "parquet" else _write_jsonl(stream, pairs)


def _flatten(pair: ReleasedPair) -> dict[str, object]:
    row = asdict(pair)
    scores = {name: round(value, 6) for name, value in row.pop("scores").items()}
    head = {name: row.pop(name) for name in ("source", "target", "source_lang", "target_lang")}
    return head | scores | row


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


def _write_jsonl(stream: IO[bytes], pairs: Iterable[ReleasedPair]) -> int:
    number = 0
    for number, pair in enumerate(pairs, start=1):  # noqa: B007
        stream.write(json.dumps(_flatten(pair), ensure_ascii=False).encode() + b"\n")
    return number


def _write_parquet(stream: IO[bytes], pairs: Iterable[ReleasedPair]) -> int:
    arrow, parquet = require("pyarrow", "parquet"), require("pyarrow.parquet", "parquet")
    rows: Iterator[dict[str, object]] = map(_flatten, pairs)
    first = list(islice(rows, _BATCH_ROWS))
    names = list(first[0]) if first else ["source", "target", "source_lang", "target_lang"]
    lists = ("source_urls", "target_urls", "crawl_dates")
    texts = (
        "source",
        "target",
        "source_lang",
        "target_lang",
        "method",
        "labse_version",
        "model_sha256",
    )
    kinds = [
        arrow.list_(arrow.string())
        if name in lists
        else arrow.string()
        if name in texts
        else arrow.float64()
        for name in names
    ]
    schema = arrow.schema(list(zip(names, kinds, strict=True)))
    number = 0
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        batch = first
        while batch:
            writer.write_table(arrow.Table.from_pylist(batch, schema=schema))
            number += len(batch)
            batch = list(islice(rows, _BATCH_ROWS))
    return number
