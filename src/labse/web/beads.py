"""Document pairs to sentence pairs: what `labse web align` does, as one call.

Takes: folders of `web_pages` and `web_pairs`, and an encoder. Gives: the beads of `labse align` in
    Parquet, each with where it stands and the addresses of its pages.
Source: docs/web.md; the alignment is that of docs/alignment.md.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np

from labse import __version__
from labse.alignment.align import Bead, align_embeddings
from labse.alignment.search import encode_documents
from labse.encoder.protocol import Encoder
from labse.encoder.source import EncoderSource, load_encoder
from labse.files.stage import hash_content, open_stage
from labse.runtime import OnProgress, resumable
from labse.web.addresses import host_of, site_of
from labse.web.pair_records import BEAD_COLUMNS, count_rows, open_rows, read_rows
from labse.web.pairs import check_stage_folder
from labse.web.records import PageRecord, read_pages

__all__ = ["WebBeads", "web_align"]

_PART_PAIRS = 100  # Documents aligned between two lines of the journal.
_MAX_PARTS = 250  # Of one shard.
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_MAX_LINES = 5_000  # Of a page: alignment holds a table of its lines.


@dataclass(frozen=True, slots=True)
class WebBeads:
    """What `web_align` tells of its work.

    Attributes:
        num_documents: pairs of pages.
        num_beads: by pair of languages, as `deu-eng`.
        drops: beads that were left out, by reason.
    """

    num_documents: int
    num_beads: dict[str, int]
    drops: dict[str, int]


def web_align(
    pages: str | Path,
    pairs: str | Path,
    out: str | Path,
    *,
    max_size: int = 4,
    encoder: EncoderSource = None,
    on_progress: OnProgress = lambda *_: None,
) -> WebBeads:
    """Aligns the sentences of document pairs; writes beads with both sides to `out`.

    The same call goes on after a kill and gives the same bytes.

    Args:
        pages: a folder of `web_pages`.
        pairs: a folder of `web_pairs`, made from these pages.
        out: a folder of `part-00000-00000.parquet` and so on.
        max_size: sentences of a bead, both sides together.
        encoder: embeds the sentences; None is the model that comes with labse.
        on_progress: called with the pairs of pages done and their number.

    Raises:
        LabseError: a folder is none of these, or not finished.
        UsageError: an `out` of other pages, pairs or options.
        ResourceError: a package is missing, or the disk is full.
        InterruptedRunError: Ctrl-C; the same call goes on.
    """
    pages, pairs, out = Path(pages), Path(pairs), Path(out)
    check_stage_folder(pages, "web_pages")
    manifest = check_stage_folder(pairs, "web_pairs")
    total = sum(cast("dict[str, int]", manifest["num_pairs"]).values())
    used = load_encoder(encoder)
    hash_model = getattr(used, "hash_model", None)
    key = {
        "kind": "web_align",
        "labse_version": __version__,
        "pages": hash_content(pages),
        "pairs": hash_content(pairs),
        "model_sha256": hash_model and hash_model(),
        "max_size": max_size,
    }
    with resumable(out), open_stage(out, key) as stage:
        if stage.manifest is None:
            beads: Counter[str] = Counter()
            drops: Counter[str] = Counter()
            num_done = 0
            for path in sorted(pairs.glob("part-*.parquet")):
                for number, part in enumerate(_iter_parts(path)):
                    name = f"{path.stem}-{number:05}"
                    result = stage.result(name)
                    if result is None:
                        place = stage.folder / f"{name}.parquet"
                        result = _align_part(pages, part, place, used, max_size)
                        stage.add(name, result)
                    beads.update(cast("dict[str, int]", result["num_beads"]))
                    drops.update(cast("dict[str, int]", result["drops"]))
                    num_done += len(part)
                    on_progress(num_done, total)
            stage.finish(
                {
                    "kind": "web_align",
                    "labse_version": __version__,
                    "num_documents": num_done,
                    "num_beads": dict(beads.most_common()),
                    "drops": dict(drops.most_common()),
                }
            )
        done = cast("dict[str, Any]", stage.manifest)
    return WebBeads(done["num_documents"], done["num_beads"], done["drops"])


def _iter_parts(path: Path) -> Iterator[list[dict[str, Any]]]:
    """Yields the pairs of a file, some at a time; at least once.

    Parts are larger where there are many pairs: each reads its pages from all over their shards.
    """
    rows = read_rows(path)
    size = max(_PART_PAIRS, count_rows(path) // _MAX_PARTS)
    yield list(islice(rows, size))
    while part := list(islice(rows, size)):
        yield part


def _align_part(
    folder: Path, pairs: Sequence[Mapping[str, Any]], out: Path, encoder: Encoder, max_size: int
) -> dict[str, object]:
    drops: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    sides = ("source", "target")
    wanted = {(pair[f"{side}_shard"], pair[f"{side}_row"]) for pair in pairs for side in sides}
    pages = dict(read_pages(folder, wanted))
    with open_rows(out, BEAD_COLUMNS) as add:
        for pair in pairs:
            found = _align_pair(pair, pages, encoder, max_size, drops)
            counts[f"{pair['source_lang']}-{pair['target_lang']}"] += len(found)
            for row in found:
                add(row)
    return {"num_beads": dict(counts), "drops": dict(drops)}


def _align_pair(
    pair: Mapping[str, Any],
    pages: Mapping[tuple[str, int], PageRecord],
    encoder: Encoder,
    max_size: int,
    drops: Counter[str],
) -> list[dict[str, object]]:
    source, target = (
        pages[pair[f"{side}_shard"], pair[f"{side}_row"]] for side in ("source", "target")
    )
    for page in (source, target):
        if (num_over := len(page.sentences) - _MAX_LINES) > 0:
            drops["sentence after the first 5,000 of a page"] += num_over
    lines = source.sentences[:_MAX_LINES], target.sentences[:_MAX_LINES]
    method = "+".join(
        name for name, is_so in (("hreflang", pair["hreflang"]), ("url", pair["address"])) if is_so
    )
    rows = []
    for bead in _align_lines(encoder, (source, target), lines, max_size):
        if reason := _find_fault(bead, source, target):
            drops[reason] += 1
            continue
        rows.append(
            {
                "source": _join(source, bead.source_start, bead.source_stop),
                "target": _join(target, bead.target_start, bead.target_stop),
                "source_lang": pair["source_lang"],
                "target_lang": pair["target_lang"],
                "score": bead.score,
                "source_lines": bead.source_stop - bead.source_start,
                "target_lines": bead.target_stop - bead.target_start,
                "source_start": bead.source_start,
                "target_start": bead.target_start,
                "source_block": source.blocks[bead.source_start],
                "target_block": target.blocks[bead.target_start],
                "document_score": pair["score"],
                "site": site_of(host_of(source.url)),
                "source_urls": pair["source_urls"],
                "target_urls": pair["target_urls"],
                "dates": sorted({source.date[:10], target.date[:10]} - {""}),
                "method": method or "text",
            }
        )
    return rows


def _align_lines(
    encoder: Encoder,
    pages: tuple[PageRecord, PageRecord],
    lines: tuple[Sequence[str], Sequence[str]],
    max_size: int,
) -> list[Bead]:
    """Aligns two pages; lines on both sides of a heading's edge are never taken together."""
    spans = []
    for page, vectors, sign in zip(
        pages, encode_documents(encoder, *lines, max_size - 1), (1, -1), strict=True
    ):
        # A span that is not to be points out of the space of all others: its cosine with them is 0,
        # and with such a span of the other side -1.
        widened = np.pad(vectors, ((0, 0), (0, 0), (0, 1)))
        for size in range(2, max_size):
            for line in range(size - 1, vectors.shape[1]):
                if _crosses_heading(page, line + 1 - size, line + 1):
                    widened[size - 1, line] = 0
                    widened[size - 1, line, -1] = sign
        spans.append(widened)
    return align_embeddings(spans[0], spans[1], max_size=max_size)


def _find_fault(bead: Bead, source: PageRecord, target: PageRecord) -> str:
    """Returns why a bead is none of a release; nothing if it is."""
    sides = (
        (source, bead.source_start, bead.source_stop),
        (target, bead.target_start, bead.target_stop),
    )
    if any(start == stop for _, start, stop in sides):
        return "no counterpart"
    if any(_crosses_heading(page, start, stop) for page, start, stop in sides):
        return "crosses a heading"
    return ""


def _crosses_heading(page: PageRecord, start: int, stop: int) -> bool:
    blocks = {page.blocks[line] for line in range(start, stop)}
    return len(blocks) > 1 and any(page.tags[block] in _HEADINGS for block in blocks)


def _join(page: PageRecord, start: int, stop: int) -> str:
    return " ".join(page.sentences[start:stop])
