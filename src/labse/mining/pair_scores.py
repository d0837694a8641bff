"""Scores of pairs that are aligned already, line by line: what `labse score` does, as one call.

Takes: two sides of N lines each. Gives: N cosines and N margin scores, in their order.
Source: Artetxe & Schwenk 2019 (arXiv 1811.01136), section 4.3: filtering a noisy parallel corpus.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.encoder.source import EncoderSource
from labse.errors import LabseError, UsageError
from labse.files.npy import release_map
from labse.mining.bitext import (
    SearchOptions,
    find_neighbours,
    neighbourhood_means,
    warn_of_small_corpora,
)
from labse.mining.margin import Margin, margin_scores
from labse.mining.quality import aligned_quality, warn_of_other_vectors
from labse.mining.sides import (
    EmbeddedSide,
    EmbeddedSides,
    check_equal_lines,
    embed_sides,
    open_sides,
)
from labse.runtime import OnProgress
from labse.search.knn import MutualNeighbours

__all__ = [
    "PairScores",
    "aligned_cosines",
    "aligned_margins",
    "check_aligned",
    "pair_cosines",
    "score_pairs",
    "score_sides",
]

_CHUNK_ROWS = 4096


@dataclass(frozen=True, slots=True)
class PairScores:
    """Scores of N pairs; a pair with a blank side has 0.

    Attributes:
        cosines: (N,) float32.
        margins: (N,) float32; None if they were not asked for.
        qualities: (N,) float32; None if they were not asked for.
        num_truncated: lines embedded now that were cut; 0 where no encoder was needed.
        max_seq_length: tokens to which they were cut; None where no encoder was needed.
    """

    cosines: NDArray[np.float32]
    margins: NDArray[np.float32] | None
    num_truncated: int = 0
    max_seq_length: int | None = None
    qualities: NDArray[np.float32] | None = None


def score_pairs(
    source: str | Path,
    target: str | Path,
    *,
    vectors: tuple[str | Path | None, str | Path | None] = (None, None),
    column: str | None = None,
    encoder: EncoderSource = None,
    margin: Margin | None = "ratio",
    k: int = 4,
    search: SearchOptions | None = None,
    quality: bool = False,
    work: Path | None = None,
    on_progress: OnProgress | None = None,
) -> PairScores:
    """Scores line i of one file against line i of the other.

    Args:
        source: lines of text, a .tsv, .jsonl or .parquet file, or vectors of `labse encode`.
        target: the translations, line by line.
        vectors: of the lines of each side, where they are there already.
        column: of tables; None takes `text`.
        encoder: embeds a side without vectors; None loads the model that comes with labse.
        margin: formula of the margin score; None skips the search that it needs.
        k: neighbours among all distinct lines of the other file.
        search: how neighbours are searched, `labse.SearchOptions`.
        quality: whether to measure the quality score too, see docs/quality.md; it needs text.
        work: a folder that keeps lines, vectors and neighbours, for the same call to go on with.
        on_progress: called with the lines done and their number, of each step anew.

    Raises:
        LabseError, UsageError: see `embed_sides` and `check_aligned`.
        ResourceError: a package or device is missing.
    """
    search = search or SearchOptions()
    search.check_device()
    sides = open_sides(source, target, vectors=vectors, columns=(column, column))
    if quality and not all(side.has_text for side in sides):
        raise UsageError("the quality score needs the text; vectors go with --source-vectors")
    with embed_sides(
        sides,
        encoder,
        work=work,
        settings={"--k": k},
        is_aligned=True,
        on_progress=on_progress,
    ) as embedded:
        if margin is not None:
            warn_of_small_corpora(len(embedded.source.lines), len(embedded.target.lines), k)
        cosines, margins = score_sides(embedded, margin, k, search, on_progress)
        qualities = None
        if quality:
            warn_of_other_vectors(sides, embedded.encoder)
            parts = [*aligned_quality(embedded, cosines)]
            qualities = np.concatenate([np.zeros(0, np.float32), *parts])
    used = embedded.encoder
    if used is None:
        return PairScores(cosines, margins, qualities=qualities)
    return PairScores(cosines, margins, used.num_truncated, used.max_seq_length, qualities)


def score_sides(
    sides: EmbeddedSides,
    margin: Margin | None,
    k: int,
    search: SearchOptions,
    on_progress: OnProgress | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Returns (N,) cosines and, with a margin, (N,) margin scores.

    Raises:
        LabseError: see `check_aligned`.
    """
    both = sides.source, sides.target
    check_aligned(*both)
    cosines = aligned_cosines(*both)
    if margin is None:
        return cosines, None
    found = find_neighbours(sides, k, search, on_progress)
    return cosines, aligned_margins(cosines, *both, found, margin)


def check_aligned(source: EmbeddedSide, target: EmbeddedSide) -> None:
    """Refuses sides that cannot be paired line by line.

    Raises:
        LabseError: unequal numbers of lines, or vectors of two widths.
    """
    check_equal_lines(source.lines, target.lines)
    widths = source.vectors.shape[1], target.vectors.shape[1]
    if len(source.lines) and len(target.lines) and widths[0] != widths[1]:
        raise LabseError(
            f"the source has {widths[0]} dimensions and the target {widths[1]}; embed both with "
            "the same model"
        )


def aligned_cosines(source: EmbeddedSide, target: EmbeddedSide) -> NDArray[np.float32]:
    """Returns (N,) cosines; a pair with a blank side has 0."""
    cosines = np.zeros(len(source.lines.distinct), np.float32)
    for lines in _pairs(source, target):
        rows = source.lines.distinct[lines], target.lines.distinct[lines]
        cosines[lines] = pair_cosines(source.vectors, target.vectors, *rows)
        for side in (source, target):
            release_map(side.vectors)
    return cosines


def pair_cosines(
    source_vectors: NDArray[np.floating],
    target_vectors: NDArray[np.floating],
    source_rows: NDArray[np.int64],
    target_rows: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Returns (P,) cosines of pairs of rows."""
    left = np.asarray(source_vectors[source_rows], np.float64)
    right = np.asarray(target_vectors[target_rows], np.float64)
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosines: NDArray[np.float64] = np.einsum("nd,nd->n", left, right) / norms
    return cosines


def aligned_margins(
    cosines: NDArray[np.float32],
    source: EmbeddedSide,
    target: EmbeddedSide,
    found: MutualNeighbours,
    margin: Margin,
) -> NDArray[np.float32]:
    """Returns (N,) margin scores; a pair with a blank side, or without a ratio, has 0.

    Args:
        cosines: (N,) of the pairs.
        source: the source side.
        target: the target side.
        found: neighbours among the distinct lines, so that copies are no neighbourhood.
        margin: see `margin_scores`.
    """
    scores = np.zeros(len(cosines), np.float32)
    source_means, target_means = map(neighbourhood_means, (found.forward, found.backward))
    for lines in _pairs(source, target):
        means = source_means[source.lines.distinct[lines]]
        other_means = target_means[target.lines.distinct[lines]]
        scores[lines] = margin_scores(cosines[lines], means, other_means, margin)
    scores[~np.isfinite(scores)] = 0
    return scores


def _pairs(source: EmbeddedSide, target: EmbeddedSide) -> Iterator[NDArray[np.int64]]:
    """Yields the numbers of lines of which neither side is blank, in chunks."""
    numbers = np.flatnonzero((source.lines.distinct >= 0) & (target.lines.distinct >= 0))
    return (numbers[start : start + _CHUNK_ROWS] for start in range(0, len(numbers), _CHUNK_ROWS))
