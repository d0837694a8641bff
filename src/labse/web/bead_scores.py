"""Scores of sentence pairs from the web, and the bounds that they must keep.

Takes: rows of `web_align` or `web_mine`, some thousand at a time. Gives: a column for each score,
    and the reason why a row is left out, empty if it stays.
Source: margin against the neighbours of both sites: Artetxe and Schwenk 2019; the other scores are
    those of `labse filter` (docs/cleaning.md).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.bounds import FilterBounds, Scores, iter_broken
from labse.encoder.protocol import Encoder, encode_sentences
from labse.mining.margin import margin_scores
from labse.mining.quality import measure_quality, nearby_cosines
from labse.mining.text_scores import score_texts
from labse.search.knn import mutual_neighbours

__all__ = ["Scorer", "find_reasons", "score_beads"]

_MIN_SITE_SENTENCES = 200  # Sites with fewer are each other's neighbours: a margin needs some.


class Scorer(Protocol):
    """Anything that adds columns of scores to pairs; its bounds are checked by `find_reasons`."""

    def __call__(self, sources: Sequence[str], targets: Sequence[str], scores: Scores) -> Scores:
        """Returns more (N,) columns, given those that are known."""


def score_beads(
    rows: Sequence[Mapping[str, Any]],
    encoder: Encoder,
    *,
    k: int = 4,
    scorers: Sequence[Scorer] = (),
) -> dict[str, NDArray[np.float32]]:
    """Returns (N,) columns `cosine`, `margin_score`, `quality` and those of `score_texts`.

    Args:
        rows: N beads of whole documents, or N pairs that were mined and know their margin.
        encoder: embeds both sides.
        k: neighbours that make a margin, among the sentences of the site in these rows.
        scorers: add columns of their own.
    """
    sources, targets = [row["source"] for row in rows], [row["target"] for row in rows]
    langs = [row["source_lang"] for row in rows], [row["target_lang"] for row in rows]
    scores: dict[str, NDArray[np.float32]] = {
        "bead_score": np.array([row["score"] for row in rows], np.float32)
    }
    texts = score_texts(sources, targets, langs)
    scores |= _score_vectors(rows, sources, targets, texts, encoder, k)
    scores |= texts
    for scorer in scorers:
        scores |= scorer(sources, targets, scores)
    return scores


def _score_vectors(
    rows: Sequence[Mapping[str, Any]],
    sources: Sequence[str],
    targets: Sequence[str],
    known: dict[str, NDArray[np.float32]],
    encoder: Encoder,
    k: int,
) -> dict[str, NDArray[np.float32]]:
    texts: dict[str, int] = {}
    sides = [[texts.setdefault(text, len(texts)) for text in side] for side in (sources, targets)]
    vectors = encode_sentences(encoder, list(texts))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    source, target = np.array(sides[0], np.int64), np.array(sides[1], np.int64)
    cosines = np.einsum("nd,nd->n", vectors[source], vectors[target]).astype(np.float32)
    margins, nearby = np.zeros(len(rows), np.float32), np.zeros(len(rows))
    for members in _group(rows):
        distinct, places = zip(
            *(np.unique(side[members], return_inverse=True) for side in (source, target)),
            strict=True,
        )
        near = vectors[distinct[0]], vectors[distinct[1]]
        found = mutual_neighbours(*near, k)
        means = [
            side.similarities.mean(axis=1)[place]
            for side, place in zip((found.forward, found.backward), places, strict=True)
        ]
        margins[members] = margin_scores(cosines[members], means[0], means[1], "ratio")
        nearby[members] = nearby_cosines(near, (places[0], places[1]))
    margins[~np.isfinite(margins)] = 0
    if rows and "margin_score" in rows[0]:
        margins = np.array([row["margin_score"] for row in rows], np.float32)
    quality = measure_quality(cosines, nearby, sources, targets, known)
    return {"cosine": cosines, "margin_score": margins, "quality": quality}


def _group(rows: Sequence[Mapping[str, Any]]) -> list[NDArray[np.int64]]:
    """Returns the rows of each site and pair of languages; small sites are joined."""
    by_site: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        by_site[row["source_lang"], row["target_lang"], row["site"]].append(number)
    groups: list[list[int]] = []
    small: dict[tuple[str, str], list[int]] = defaultdict(list)
    for (source_lang, target_lang, _), numbers in by_site.items():
        if len(numbers) < _MIN_SITE_SENTENCES:
            small[source_lang, target_lang] += numbers
        else:
            groups.append(numbers)
    return [np.array(numbers, np.int64) for numbers in (*groups, *small.values())]


def find_reasons(scores: Scores, bounds: FilterBounds, min_bead_score: float | None) -> list[str]:
    """Returns the bound that each row breaks first; nothing where it keeps all."""
    num_rows = len(scores["cosine"])
    reasons = np.full(num_rows, "", object)
    if min_bead_score is not None:
        reasons[scores["bead_score"] < min_bead_score] = "low bead score"
    for check, is_broken in iter_broken(scores, bounds):
        reasons[(reasons == "") & is_broken] = check.reason
    is_empty = np.minimum(scores["source_characters"], scores["target_characters"]) < 1
    reasons[is_empty] = "empty"
    found: list[str] = reasons.tolist()
    return found
