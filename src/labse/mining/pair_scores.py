"""Scores of pairs that are aligned already, line by line: what `labse score` does, as one call.

Takes: two sides of N lines each. Gives: N cosines and N margin scores, in their order.
Source: Artetxe & Schwenk 2019 (arXiv 1811.01136), section 4.3: filtering a noisy parallel corpus.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.corpus.file_formats import Layout, choose_layout
from labse.corpus.tables import ColumnNames
from labse.corpus.writers import check_outputs, open_output, write_rows
from labse.encoder.job.inputs import LineBlock
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
from labse.mining.pair_corpus import MINED_SCORE, PairCorpus, open_pair_corpus
from labse.mining.quality import aligned_quality, warn_of_other_vectors
from labse.mining.sides import (
    EmbeddedSide,
    EmbeddedSides,
    check_equal_lines,
    embed_sides,
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

_LOGGER = logging.getLogger(__name__)
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
        num_altered: rows written with a character that the format cannot hold.
    """

    cosines: NDArray[np.float32]
    margins: NDArray[np.float32] | None
    num_truncated: int = 0
    max_seq_length: int | None = None
    qualities: NDArray[np.float32] | None = None
    num_altered: int = 0


def score_pairs(
    source: str | Path,
    target: str | Path | None = None,
    out: str | Path | None = None,
    *,
    layout: Layout | None = None,
    vectors: tuple[str | Path | None, str | Path | None] = (None, None),
    column: str | None = None,
    langs: tuple[str | None, str | None] = (None, None),
    columns: ColumnNames | None = None,
    shard: LineBlock | None = None,
    encoder: EncoderSource = None,
    margin: Margin | None = "ratio",
    k: int = 4,
    search: SearchOptions | None = None,
    quality: bool = False,
    work: Path | None = None,
    on_progress: OnProgress | None = None,
) -> PairScores:
    """Scores line i of one file against line i of the other, or each pair of a table.

    Text (`.txt`, or a name without suffix) holds the numbers alone, a line for each pair and no
    header. A table holds the pairs with two more columns, `cosine` and `margin_score`, and goes on
    to every command that reads pairs.

    Args:
        source: lines of text, a table, or vectors of `labse encode`; without `target` a table with
            the columns source and target.
        target: the translations, line by line.
        out: a file to write, `-` is standard output; None writes nothing.
        layout: its format; None: that of the suffix, on standard output text for two files and TSV
            for a table.
        vectors: of the lines of each side, where they are there already.
        column: of two tables; None takes `text`.
        langs: of source and target, written as columns, where no column tells.
        columns: where a table of others has source, target and their languages.
        shard: the block of pairs to score, so that several machines share a corpus; the lines of
            all blocks are those of the whole. No `margin` then.
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
    # What can go wrong is told before hours of work.
    search = search or SearchOptions()
    search.check_device()
    if shard is not None and (margin is not None or quality):
        raise UsageError(
            f"--shard {shard}: the margin of a pair needs all lines, and so does its quality; give "
            "--margin none and no --quality"
        )
    if out is not None:
        layout = layout or ("tsv" if str(out) == "-" and target is None else None)
        layout = choose_layout(out, "scores", layout)
        check_outputs(out, inputs=(source, target), kind="scores", layout=layout)
    corpus = open_pair_corpus(
        source, target, vectors=vectors, column=column, langs=langs, columns=columns, shard=shard
    )
    if layout not in (None, "txt") and not corpus.has_text:
        raise UsageError(f"{out}: vectors have no text for a table; name a .txt file")
    if quality and not corpus.has_text:
        raise UsageError("the quality score needs the text; vectors go with --source-vectors")

    with embed_sides(
        corpus.sides,
        encoder,
        work=work,
        settings={"--k": k},
        is_aligned=True,
        on_progress=on_progress,
    ) as embedded:
        if margin is not None:
            warn_of_small_corpora(len(embedded.source.lines), len(embedded.target.lines), k)
        cosines, margins = score_sides(embedded, margin, k, search, on_progress)
        scores = PairScores(cosines, margins)
        if quality:
            warn_of_other_vectors(corpus.sides, embedded.encoder)
            parts = [*aligned_quality(embedded, cosines)]
            qualities = np.concatenate([np.zeros(0, np.float32), *parts])
            scores = replace(scores, qualities=qualities)
        if (used := embedded.encoder) is not None:
            scores = replace(
                scores, num_truncated=used.num_truncated, max_seq_length=used.max_seq_length
            )
        if out is not None and layout is not None:
            num_altered = _write_scores(out, layout, corpus, scores)
            scores = replace(scores, num_altered=num_altered)
    return scores


def _write_scores(out: str | Path, layout: Layout, corpus: PairCorpus, scores: PairScores) -> int:
    """Writes the scores, with their pairs unless it is text; returns how many rows had to change.

    Text and TSV have four decimals.
    """
    found = {"cosine": scores.cosines}
    found |= {} if scores.margins is None else {MINED_SCORE: scores.margins}
    found |= {} if scores.qualities is None else {"quality": scores.qualities}
    numbers = zip(*(values.tolist() for values in found.values()), strict=True)
    if layout == "txt":
        lines = (("\t".join(f"{value:.4f}" for value in row),) for row in numbers)
        with open_output(out) as stream:
            stream.writelines(f"{line}\n".encode() for (line,) in lines)
        return 0

    # An older margin score gives way to the new one.
    if MINED_SCORE in corpus.columns and MINED_SCORE in found:
        _LOGGER.info(f"the new {MINED_SCORE} stands in place of the older one")
    names = [name for name in corpus.columns if name not in found]
    places = [corpus.columns.index(name) for name in names]
    digits = 4 if layout == "tsv" else 9
    rows = (
        [*(pair[place] for place in places), *(round(value, digits) for value in row)]
        for pair, row in zip(map(corpus.typed, corpus.read()), numbers, strict=True)
    )
    return write_rows(out, (*names, *found), rows, layout=layout).num_altered


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
