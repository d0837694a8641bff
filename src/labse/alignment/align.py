"""Sentence alignment: which lines of a document translate which lines of another, m to n.

Takes: two documents as lines and an encoder, or vectors of their spans. Gives: beads, in order.
Source: Thompson & Koehn 2019 (D19-1136), vecalign; no random vectors, and the costs are normalised
by exact means in place of samples (`search.span_costs`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.alignment.search import (
    SpanVectors,
    Step,
    encode_documents,
    full_band,
    halve_spans,
    path_band,
    search_band,
    span_costs,
    unit_spans,
)
from labse.encoder.protocol import Encoder
from labse.files.text import refuse_one_text

__all__ = ["SKIP_PERCENTILE", "Bead", "align_documents", "align_embeddings", "bead_sizes"]

SKIP_PERCENTILE = 50.0
"""Percentile of what lines cost with their cheapest counterparts. A skipped line costs half way
from there to 1, the cost of two lines that have nothing to do with each other.

vecalign takes the 20th percentile of random pairs, about 0.9. On development documents that gives
one to two points of strict F1 less, and up to 0.2 of lax (docs/alignment.md).
"""

_FULL_LINES = 300  # vecalign: documents up to 300 x 300 lines are searched whole.
_BAND_MARGIN = 10  # Lines on each side of the coarse path.
_SAMPLED_LINES = 128  # Of each document, for the cost of a skip.


@dataclass(frozen=True, slots=True)
class Bead:
    """Lines `source_start` to `source_stop` - 1 and those of the target that translate them.

    Lines are numbered from 0. A side is empty where lines have no translation. `score` is 1 minus
    the distance of both sides over the mean distance of each to the other document: 1 for equal
    vectors, 0 for no nearer than any other; it is 0 where a side is empty.
    """

    source_start: int
    source_stop: int
    target_start: int
    target_stop: int
    score: float


def bead_sizes(max_size: int) -> list[Step]:
    """Returns the sizes m:n with m + n up to `max_size`, at least 1 on each side.

    Raises:
        ValueError: `max_size` is below 2.
    """
    if max_size < 2:
        raise ValueError(f"max_size must be at least 2 (one line to one line), not {max_size}")
    sides = range(1, max_size)
    return [Step(m, n) for m in sides for n in sides if m + n <= max_size]


def align_documents(
    encoder: Encoder,
    source_lines: Sequence[str],
    target_lines: Sequence[str],
    *,
    max_size: int = 4,
    skip_percentile: float = SKIP_PERCENTILE,
    seed: int = 1,
) -> list[Bead]:
    """Aligns two documents; each line of both stands in exactly one bead.

    A blank line inside a bead belongs to it; any other blank line is a bead of its own.

    Args:
        encoder: what embeds each span of up to `max_size` - 1 lines of both documents.
        max_size: lines of a bead, both sides together; see `bead_sizes`.

    Raises:
        ValueError: a wrong option. LabseError: the encoder returned what is not one vector a span.
    """
    refuse_one_text(source_lines, "source_lines")
    refuse_one_text(target_lines, "target_lines")
    num_spans = bead_sizes(max_size)[-1].num_source
    source_kept = [i for i, line in enumerate(source_lines) if line.strip()]
    target_kept = [i for i, line in enumerate(target_lines) if line.strip()]
    if source_kept and target_kept:
        source, target = encode_documents(
            encoder,
            [source_lines[i] for i in source_kept],
            [target_lines[i] for i in target_kept],
            num_spans,
        )
        beads = align_embeddings(
            source, target, max_size=max_size, skip_percentile=skip_percentile, seed=seed
        )
    else:
        beads = _skip_all(len(source_kept), len(target_kept))
    return _insert_blank(beads, (source_kept, target_kept), len(source_lines), len(target_lines))


def align_embeddings(
    source_spans: NDArray[np.floating],
    target_spans: NDArray[np.floating],
    *,
    max_size: int = 4,
    skip_percentile: float = SKIP_PERCENTILE,
    seed: int = 1,
) -> list[Bead]:
    """Aligns two documents, given the vectors of all their spans (consecutive lines).

    Args:
        source_spans: (S, N, D), S at least `max_size` - 1; `source_spans[s - 1, i]` is the vector
            of the s lines that end with line i, of any length but 0. Rows with i < s - 1, for
            which there are not enough lines, are ignored.
        target_spans: (S, M, D), likewise.
        max_size: lines of a bead, both sides together.
        skip_percentile: 0 to 100; less skips more. See `SKIP_PERCENTILE`.
        seed: seed of the sample of 128 lines from which longer documents take the percentile.

    Raises:
        ValueError: a wrong option or shape. LabseError: a vector with NaN, infinity or only zeros.
    """
    # Check the options, and that both sides are vectors of one encoder.
    steps = bead_sizes(max_size)
    if not 0 <= skip_percentile <= 100:
        raise ValueError(f"skip_percentile must be 0 to 100, not {skip_percentile}")
    sides = [
        unit_spans(name, spans, max_size - 1)
        for name, spans in (("source", source_spans), ("target", target_spans))
    ]
    if sides[0].shape[2] != sides[1].shape[2]:
        raise ValueError(
            f"the source has {sides[0].shape[2]} dimensions and the target {sides[1].shape[2]}"
        )
    if not (sides[0].shape[1] and sides[1].shape[1]):
        return _skip_all(sides[0].shape[1], sides[1].shape[1])

    # Documents are halved until they are short enough to be searched whole.
    levels = [sides]
    while levels[-1][0].shape[1] * levels[-1][1].shape[1] > _FULL_LINES**2:
        levels.append([halve_spans(spans) for spans in levels[-1]])

    # The path found there, widened by a margin, is where the next longer ones are searched.
    path: list[Step] = []
    generator = np.random.default_rng(seed)
    for depth in range(len(levels) - 1, -1, -1):
        source, target = _measure_distances(*levels[depth])
        num_lines = source.num_lines, target.num_lines
        is_coarsest = depth == len(levels) - 1
        band = (
            full_band(*num_lines)
            if is_coarsest
            else path_band(path, *num_lines, scale=2, margin=_BAND_MARGIN)
        )
        skip_cost = _skip_cost(source, target, skip_percentile, generator)
        path = search_band(source, target, band, steps if depth == 0 else [Step(1, 1)], skip_cost)
    return _score_path(source, target, path)


# ---- costs -----------------------------------------------------------------------------------


def _measure_distances(
    source: NDArray[np.float32], target: NDArray[np.float32]
) -> tuple[SpanVectors, SpanVectors]:
    """Measures the mean distance of each span to the other document."""
    means = [spans.mean(axis=(0, 1), dtype=np.float64) for spans in (source, target)]
    return (
        SpanVectors(source, (1 - source @ means[1].astype(np.float32))),
        SpanVectors(target, (1 - target @ means[0].astype(np.float32))),
    )


def _skip_cost(
    source: SpanVectors, target: SpanVectors, percentile: float, generator: np.random.Generator
) -> float:
    """Returns what a line without counterpart costs, see `SKIP_PERCENTILE`."""
    rows = _sample_lines(source.num_lines, generator)
    columns = _sample_lines(target.num_lines, generator)
    one, every = Step(1, 1), slice(None)
    forward = span_costs(_select(source, rows), target, one, every, every).min(axis=1)
    backward = span_costs(source, _select(target, columns), one, every, every).min(axis=0)
    nearest = np.percentile(np.concatenate([forward, backward]), percentile)
    return (float(nearest) + 1) / 2


def _select(side: SpanVectors, lines: NDArray[np.int64]) -> SpanVectors:
    return SpanVectors(side.vectors[:1, lines], side.distances[:1, lines])


def _sample_lines(num_lines: int, generator: np.random.Generator) -> NDArray[np.int64]:
    if num_lines <= _SAMPLED_LINES:
        return np.arange(num_lines)
    return generator.choice(num_lines, _SAMPLED_LINES, replace=False)


# ---- beads -----------------------------------------------------------------------------------


def _score_path(source: SpanVectors, target: SpanVectors, path: Sequence[Step]) -> list[Bead]:
    sizes = np.array([(step.num_source, step.num_target) for step in path])
    stops = sizes.cumsum(axis=0)
    x, y = sizes.T - 1
    is_pair = (x >= 0) & (y >= 0)
    rows, columns = stops.T - 1
    scores = np.zeros(len(path))
    x, y, rows, columns = (values[is_pair] for values in (x, y, rows, columns))
    cosines = np.einsum("nd,nd->n", source.vectors[x, rows], target.vectors[y, columns])
    scale = (source.distances[x, rows] + target.distances[y, columns]) / 2
    scores[is_pair] = 1 - np.maximum(1 - cosines, 0) / np.maximum(scale, 1e-3)
    starts = stops - sizes
    return [
        Bead(start[0], stop[0], start[1], stop[1], score)
        for start, stop, score in zip(starts.tolist(), stops.tolist(), scores.tolist(), strict=True)
    ]


def _skip_all(num_source: int, num_target: int) -> list[Bead]:
    return [
        *(Bead(i, i + 1, 0, 0, 0.0) for i in range(num_source)),
        *(Bead(num_source, num_source, j, j + 1, 0.0) for j in range(num_target)),
    ]


def _insert_blank(
    beads: Sequence[Bead],
    kept: tuple[Sequence[int], Sequence[int]],
    num_source: int,
    num_target: int,
) -> list[Bead]:
    """Numbers the lines as the files do: `kept` are the lines that are not blank."""
    result: list[Bead] = []
    source_done = target_done = 0

    def skip_to(source: int, target: int) -> None:
        nonlocal source_done, target_done
        result.extend(
            Bead(i, i + 1, target_done, target_done, 0.0) for i in range(source_done, source)
        )
        source_done = source
        result.extend(Bead(source, source, j, j + 1, 0.0) for j in range(target_done, target))
        target_done = target

    for bead in beads:
        sides = (
            kept[0][bead.source_start : bead.source_stop],
            kept[1][bead.target_start : bead.target_stop],
        )
        skip_to(sides[0][0] if sides[0] else source_done, sides[1][0] if sides[1] else target_done)
        stops = (
            sides[0][-1] + 1 if sides[0] else source_done,
            sides[1][-1] + 1 if sides[1] else target_done,
        )
        result.append(Bead(source_done, stops[0], target_done, stops[1], bead.score))
        source_done, target_done = stops
    skip_to(num_source, num_target)
    return result
