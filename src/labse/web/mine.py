"""Sentences of all pages to sentence pairs, without documents: what `labse web mine` does.

Takes: a folder of `web_pages` and an encoder. Gives: pairs as `web_align` gives them, each with the
    addresses of all pages that hold its sentences.
Source: CCMatrix (Schwenk et al. 2021): every sentence of one language competes with every one of
    the other; the mining is that of docs/mining.md.

Dimensions: N lines of a language, in the order of its pages; U distinct ones; P pairs.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from labse import __version__
from labse.encoder.pooling import normalize_rows
from labse.encoder.protocol import Encoder
from labse.encoder.source import EncoderSource, load_encoder
from labse.files.npy import release_map
from labse.files.stage import Stage, hash_content, open_stage
from labse.mining.bitext import MinedIndices, MiningOptions, find_neighbours, select_pairs
from labse.mining.sides import EmbeddedSide, EmbeddedSides, embed_side
from labse.mining.start_score import start_score
from labse.runtime import OnProgress, resumable
from labse.web.pair_records import MINED_COLUMNS, open_rows
from labse.web.pairs import check_stage_folder, parse_langs
from labse.web.sentence_origins import SentenceOrigins, iter_sentences, read_origins

__all__ = ["WebMined", "web_mine"]

_MAX_PAGES = 1_000  # That hold a sentence; one on more is a menu, and has too many addresses.
_PART_PAIRS = 10_000


@dataclass(frozen=True, slots=True)
class WebMined:
    """What `web_mine` tells of its work.

    Attributes:
        num_sentences: distinct ones by language.
        num_beads: pairs by pair of languages, as `deu-eng`.
        min_scores: the least margin score of each pair of languages.
        drops: pages, sentences and pairs that were left out, by reason.
    """

    num_sentences: dict[str, int]
    num_beads: dict[str, int]
    min_scores: dict[str, float]
    drops: dict[str, int]


def web_mine(
    pages: str | Path,
    out: str | Path,
    *,
    langs: Sequence[str],
    min_score: float | None = None,
    k: int = 4,
    encoder: EncoderSource = None,
    on_progress: OnProgress = lambda *_: None,
) -> WebMined:
    """Finds translations among all sentences of all pages, whatever page they stand on.

    The same call goes on after a kill and gives the same bytes.

    Args:
        pages: a folder of `web_pages`.
        out: a folder of `part-00000-00000.parquet` and so on: a first number for each two
            languages, the best pairs first.
        langs: two languages or more; of each two, the first is the source.
        min_score: the least margin score of a pair; None is the bound to start from that
            `labse mine` tells, which depends on the number of sentences.
        k: neighbours that make a margin.
        encoder: embeds the sentences; None is the model that comes with labse.
        on_progress: called with the distinct sentences embedded and their number, for each
            language anew; then those of each source searched.

    Raises:
        LabseError: `pages` is no such folder, or not finished.
        UsageError: languages that are unknown, or an `out` of other pages or options.
        ResourceError: a package is missing, or the disk is full.
        InterruptedRunError: Ctrl-C; the same call goes on.
    """
    pages, out = Path(pages), Path(out)
    tags = parse_langs(langs)
    check_stage_folder(pages, "web_pages")
    options = MiningOptions(k=k, min_score=min_score)
    used = load_encoder(encoder)
    hash_model = getattr(used, "hash_model", None)
    key = {
        "kind": "web_mine",
        "labse_version": __version__,
        "pages": hash_content(pages),
        "model_sha256": hash_model and hash_model(),
        "langs": tags,
        "min_score": min_score,
        "k": k,
    }
    with resumable(out), open_stage(out, key) as stage:
        if stage.manifest is None:
            stage.finish(
                {
                    "kind": "web_mine",
                    "labse_version": __version__,
                    **_mine(pages, stage, tags, options, used, on_progress),
                }
            )
        done = cast("dict[str, dict[str, int]]", stage.manifest)
    min_scores = cast("dict[str, float]", done["min_scores"])
    return WebMined(done["num_sentences"], done["num_beads"], min_scores, done["drops"])


def _mine(
    pages: Path,
    stage: Stage,
    tags: Sequence[str],
    options: MiningOptions,
    encoder: Encoder,
    on_progress: OnProgress,
) -> dict[str, object]:
    """Mines each two languages and writes their pairs; returns what the manifest tells."""
    # Which pages hold the lines of each language, and the vectors of its distinct lines.
    origins = read_origins(sorted(pages.glob("part-*.parquet")), tags)
    with open_stage(stage.work / "sides", {}) as sides:
        embedded = {
            tag: embed_side(
                tag,
                iter_sentences(origins.paths, tags, tag),
                encoder,
                sides,
                on_progress,
                find_unknown=getattr(encoder, "find_unknown", None),
            )
            for tag in tags
        }

    # Then language pair by language pair.
    drops = origins.drops
    num_beads: Counter[str] = Counter()
    min_scores: dict[str, float] = {}
    for number, (source, target) in enumerate(combinations(tags, 2)):
        name, both = f"{source}-{target}", (embedded[source], embedded[target])
        sizes = len(both[0].lines), len(both[1].lines)
        min_score = options.min_score
        min_scores[name] = start_score(*sizes, options.k) if min_score is None else min_score
        result = stage.result(name)
        if result is None:
            used = MiningOptions(k=options.k, min_score=min_scores[name])
            with open_stage(stage.work / name, {}) as search:
                found = find_neighbours(
                    EmbeddedSides(*both, search), options.k, on_progress=on_progress
                )
                mined = select_pairs(found, used)
            result = _write_pairs(stage.folder, number, (source, target), both, mined, origins)
            stage.add(name, result)
        num_beads[name] = cast("int", result["num_beads"])
        drops["a side stands on more than 1,000 pages"] += cast("int", result["num_frequent"])
    return {
        "num_sentences": {tag: len(embedded[tag].lines) for tag in tags},
        "num_beads": dict(num_beads.most_common()),
        "min_scores": min_scores,
        "drops": dict((+drops).most_common()),
    }


# ---- pairs ---------------------------------------------------------------------------------------


def _write_pairs(
    folder: Path,
    number: int,
    tags: tuple[str, str],
    sides: tuple[EmbeddedSide, EmbeddedSide],
    mined: MinedIndices,
    origins: SentenceOrigins,
) -> dict[str, object]:
    """Writes pairs with their addresses, the best first."""
    rows = mined.source, mined.target
    holders = [
        _find_holders(side, origins.pages[tag], chosen)
        for side, tag, chosen in zip(sides, tags, rows, strict=True)
    ]
    means = [_mean_vector(side.vectors) for side in sides]
    num_beads = num_frequent = 0
    for part, start in enumerate(range(0, len(mined.scores), _PART_PAIRS)):
        here = slice(start, start + _PART_PAIRS)
        texts = [
            list(side.lines.read(chosen[here].tolist()))
            for side, chosen in zip(sides, rows, strict=True)
        ]
        scores = _bead_scores(sides, (rows[0][here], rows[1][here]), means)
        with open_rows(folder / f"part-{number:05}-{part:05}.parquet", MINED_COLUMNS) as add:
            for place, (source, target) in enumerate(zip(*texts, strict=True)):
                pages = [found.of(start + place) for found in holders]
                if max(map(len, pages)) > _MAX_PAGES:
                    num_frequent += 1
                    continue
                num_beads += 1
                add(
                    {
                        "source": source,
                        "target": target,
                        "source_lang": tags[0],
                        "target_lang": tags[1],
                        "score": float(scores[place]),
                        "site": "",
                        "source_urls": origins.urls_of(pages[0]),
                        "target_urls": origins.urls_of(pages[1]),
                        "dates": origins.dates_of(np.concatenate(pages)),
                        "method": "mined",
                        "margin_score": float(mined.scores[start + place]),
                    }
                )
    return {"num_beads": num_beads, "num_frequent": num_frequent}


@dataclass(frozen=True, slots=True, eq=False)
class _Holders:
    """The pages that hold each of P sentences, one after the other; (P + 1,) where each begins."""

    pages: NDArray[np.int64]
    edges: NDArray[np.int64]

    def of(self, pair: int) -> NDArray[np.int64]:
        """Returns the pages of a sentence, ascending."""
        return self.pages[self.edges[pair] : self.edges[pair + 1]]


def _find_holders(
    side: EmbeddedSide, pages: NDArray[np.int32], chosen: NDArray[np.int64]
) -> _Holders:
    """Returns the pages that hold each of (P,) distinct lines."""
    place = np.full(len(side.lines), -1, np.int64)
    place[chosen] = np.arange(len(chosen))
    lines = np.flatnonzero(side.lines.distinct >= 0)
    places = place[side.lines.distinct[lines]]
    both = np.stack([places, pages[lines]], axis=1)[places >= 0]
    both = np.unique(both, axis=0)
    return _Holders(both[:, 1].copy(), np.searchsorted(both[:, 0], np.arange(len(chosen) + 1)))


def _mean_vector(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    total = np.zeros(vectors.shape[1])
    for start in range(0, len(vectors), _PART_PAIRS):
        part = np.asarray(vectors[start : start + _PART_PAIRS], np.float32)
        total += normalize_rows(part).sum(axis=0)
        release_map(vectors)
    return total / max(1, len(vectors))


def _bead_scores(
    sides: Sequence[EmbeddedSide],
    rows: tuple[NDArray[np.int64], NDArray[np.int64]],
    means: Sequence[NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Returns what `labse.alignment.align.Bead` calls a score: 1 equal, 0 as near as any other."""
    source, target = (
        normalize_rows(np.asarray(side.vectors[row], np.float32))
        for side, row in zip(sides, rows, strict=True)
    )
    cosines = np.einsum("nd,nd->n", source, target)
    scale = 1 - (source @ means[1] + target @ means[0]) / 2
    for side in sides:
        release_map(side.vectors)
    scores: NDArray[np.float64] = 1 - np.maximum(1 - cosines, 0) / np.maximum(scale, 1e-3)
    return scores
