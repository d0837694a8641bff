"""The cheapest way through two documents: banded dynamic programming over spans of lines.

A span is some consecutive lines; its vector is computed from its own text.

Takes: the lines of documents and an encoder, or vectors of their spans; the sizes that a bead may
have and the cost of a skipped line.
Gives: the beads of the cheapest path; time and memory are linear in the lines of both.
Source: Thompson & Koehn 2019 (D19-1136), section 3: embeddings of concatenated sentences, the cost
of a bead. That rows of a band go in blocks, so that cosines are matrix products, is our own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.encoder.protocol import Encoder, encode_sentences
from labse.errors import LabseError

__all__ = [
    "Band",
    "SpanVectors",
    "Step",
    "encode_documents",
    "full_band",
    "halve_spans",
    "join_spans",
    "path_band",
    "search_band",
    "span_costs",
    "unit_spans",
]

_MAX_SPAN_CHARACTERS = 10_000  # As in vecalign; an encoder reads some hundred tokens of them.
_BLOCK_ROWS = 64
_BLOCK_CELLS = 1 << 15  # Of one block: a wide band is worked off in fewer rows at a time.
# Rounding must not decide: lines that are equal go one to one, not two to two, which costs 0 too.
_MIN_DISTANCE = 1e-4
_MIN_MEAN_DISTANCE = 1e-3  # Of documents that are one line repeated.
_ROUNDING = 1e-9
_INSERTED = 255


@dataclass(frozen=True, slots=True, eq=False)
class SpanVectors:
    """The spans of one document, as seen from the other.

    Attributes:
        vectors: (S, N, D) float32 unit rows; `vectors[s - 1, i]` is the span of s lines that ends
            with line i. Rows with i < s - 1 are not looked at.
        distances: (S, N) mean of 1 - cosine with the spans of the other document.
    """

    vectors: NDArray[np.float32]
    distances: NDArray[np.float32]

    @property
    def num_lines(self) -> int:
        """Lines of the document, N."""
        return int(self.vectors.shape[1])


@dataclass(frozen=True, slots=True)
class Step:
    """A bead as numbers of lines: one of them may be 0, for a line that is skipped."""

    num_source: int
    num_target: int


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Where a path may go: after i source lines, `low[i]` to `high[i] - 1` target lines.

    Both are (N + 1,) and never fall; `low[0]` is 0 and `high[N]` is M + 1.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]


# ---- spans -----------------------------------------------------------------------------------


def encode_documents(
    encoder: Encoder, source_lines: Sequence[str], target_lines: Sequence[str], num_spans: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embeds the spans of up to `num_spans` lines of two documents, in one call of the encoder.

    Returns:
        (S, N, D) and (S, M, D) vectors; `[s - 1, i]` is the span of s lines that ends with line i,
        where there are as many lines.

    Raises:
        LabseError: the encoder returned what is not one vector a span.
    """
    documents = [
        [join_spans(lines, size) for size in range(1, num_spans + 1)]
        for lines in (source_lines, target_lines)
    ]
    texts = [text for document in documents for spans in document for text in spans]
    embeddings = encode_sentences(encoder, texts)
    results = []
    start = 0
    for document in documents:
        shape = (num_spans, len(document[0]), embeddings.shape[1])
        vectors = np.zeros(shape, np.float32)
        for size, spans in enumerate(document, start=1):
            vectors[size - 1, size - 1 :] = embeddings[start : start + len(spans)]
            start += len(spans)
        results.append(vectors)
    return results[0], results[1]


def join_spans(lines: Sequence[str], size: int) -> list[str]:
    """Returns each span of `size` lines as one text, cut after 10,000 characters."""
    return [
        " ".join(line[:_MAX_SPAN_CHARACTERS] for line in lines[start : start + size])[
            :_MAX_SPAN_CHARACTERS
        ]
        for start in range(len(lines) - size + 1)
    ]


def unit_spans(name: str, spans: NDArray[np.floating], num_spans: int) -> NDArray[np.float32]:
    """Returns (S, N, D) unit rows, a copy; messages name the document `name`.

    Raises:
        ValueError: another shape. LabseError: a vector with NaN, infinity or only zeros.
    """
    spans = np.asarray(spans)
    if spans.ndim != 3 or spans.shape[0] < num_spans or not spans.shape[2]:
        raise ValueError(
            f"{name}_spans: expected (at least {num_spans}, lines, dimensions), found {spans.shape}"
        )
    spans = spans[:num_spans].astype(np.float32)  # A copy, which is then changed.
    for size in range(2, num_spans + 1):
        spans[size - 1, : size - 1] = spans[0, : size - 1]  # Too few lines before: never used.
    norms = np.sqrt(np.einsum("snd,snd->sn", spans, spans, dtype=np.float64))
    is_bad = ~(np.isfinite(norms) & (norms > 0))
    if is_bad.any():
        size, line = np.argwhere(is_bad)[0].tolist()
        fault = "only zeros" if norms[size, line] == 0 else "NaN or infinity"
        raise LabseError(
            f"{name}: the vector of {size + 1} lines that end with line {line + 1} holds {fault}"
        )
    spans /= norms[..., None]
    return spans


def halve_spans(spans: NDArray[np.float32]) -> NDArray[np.float32]:
    """Averages (S, N, D) lines two by two: (1, N / 2 rounded up, D) unit rows.

    The mean of all is subtracted, as in vecalign.
    """
    lines = spans[0]
    starts = np.arange(0, len(lines), 2)
    halved = lines[starts]
    halved[: len(lines) // 2] += lines[1::2]
    halved -= halved.mean(axis=0)
    norms = np.linalg.norm(halved, axis=1, keepdims=True)
    # A document of one line repeated has nothing but the mean; any direction will do.
    halved = np.where(norms > 1e-6, halved / np.maximum(norms, 1e-6), lines[starts])
    return np.asarray(halved[None], np.float32)


# ---- bands and costs -------------------------------------------------------------------------


def full_band(num_source: int, num_target: int) -> Band:
    """Returns the band that leaves nothing out."""
    low = np.zeros(num_source + 1, np.int64)
    return Band(low, low + num_target + 1)


def path_band(
    steps: Sequence[Step], num_source: int, num_target: int, *, scale: int, margin: int
) -> Band:
    """Returns the band `margin` lines around a path found in `scale` times shorter documents.

    Among skips that follow each other the order says nothing: the band goes straight through them.
    """
    corners = [(0, 0)]
    is_after_skip = False
    for step in steps:
        x, y = corners[-1][0] + step.num_source, corners[-1][1] + step.num_target
        is_skip = not (step.num_source and step.num_target)
        if is_skip and is_after_skip:
            corners[-1] = (x, y)
        else:
            corners.append((x, y))
        is_after_skip = is_skip
    points = np.minimum(np.array([*corners, corners[-1]]) * scale, (num_source, num_target))
    points[-1] = (num_source, num_target)

    # Skipped target lines stand upright: a slant that never matters makes the path a function.
    x_axis = points[:, 0] + points[:, 1] * (1e-3 / (num_target + 1))
    rows = np.arange(num_source + 1)
    low = np.floor(np.interp(rows - 1, x_axis, points[:, 1])).astype(np.int64) - margin
    high = np.ceil(np.interp(rows + 1, x_axis, points[:, 1])).astype(np.int64) + margin + 1
    low, high = np.clip(low, 0, num_target), np.clip(high, 1, num_target + 1)
    low[0], high[-1] = 0, num_target + 1
    return Band(low, high)


def span_costs(
    source: SpanVectors, target: SpanVectors, step: Step, rows: slice, columns: slice
) -> NDArray[np.float32]:
    """Returns the costs of the beads of one size that end with these lines of both documents.

    cost(x, y) = (1 - cos(x, y)) * #x * #y / (mean(1 - cos(x, .)) / 2 + mean(1 - cos(., y)) / 2)

    The paper divides by the means over some random spans of the other document; here they are the
    means over all its spans, which is one product with their mean vector.
    """
    x, y = step.num_source - 1, step.num_target - 1
    costs = source.vectors[x, rows] @ target.vectors[y, columns].T
    np.subtract(1, costs, out=costs)
    np.maximum(costs, _MIN_DISTANCE, out=costs)
    scale = source.distances[x, rows, None] + target.distances[y, columns]
    np.maximum(scale, 2 * _MIN_MEAN_DISTANCE, out=scale)
    costs *= 2 * step.num_source * step.num_target
    costs /= scale
    return costs


# ---- the search ------------------------------------------------------------------------------


def search_band(
    source: SpanVectors,
    target: SpanVectors,
    band: Band,
    steps: Sequence[Step],
    skip_cost: float,
) -> list[Step]:
    """Returns the cheapest path inside the band, from the first lines to the last.

    Args:
        source: the spans of the source lines, at least as long as the steps ask for.
        target: the spans of the target lines.
        band: where to look; blocks of rows share their columns, so it may grow.
        steps: the sizes of a bead, none with a 0; skipping one line comes by itself.
        skip_cost: cost of a line without a counterpart, above 0.
    """
    steps = [*steps, Step(1, 0)]
    blocks: list[_Block] = []
    for start, stop in _block_rows(band):
        columns = (int(band.low[start]), int(band.high[stop - 1]))
        block = _Block.after(blocks[-1] if blocks else None, steps, (start, stop), columns)
        costs = _block_costs(source, target, block, steps, skip_cost)
        block.fill(costs, skip_cost)
        if blocks:
            blocks[-1].forget_sums()
        blocks.append(block)
    return _trace_back(blocks, steps, source.num_lines, target.num_lines)


def _block_rows(band: Band) -> Iterator[tuple[int, int]]:
    start, num_rows = 0, len(band.low)
    while start < num_rows:
        stop = start + 1
        while stop < min(num_rows, start + _BLOCK_ROWS):
            width = int(band.high[stop] - band.low[start])
            if (stop + 1 - start) * width > _BLOCK_CELLS:
                break
            stop += 1
        yield start, stop
        start = stop


class _Block:
    """Rows `start` to `stop` - 1 of the table, all with the columns `low` to `high` - 1.

    `sums` holds the rows before the first that a step can come from, and columns of infinity on
    the left for those that a step would come from outside of the table.
    """

    def __init__(
        self, steps: Sequence[Step], rows: tuple[int, int], columns: tuple[int, int]
    ) -> None:
        self.start, self.stop = rows
        self.low, self.high = columns
        self.before = max(step.num_source for step in steps)
        self.left = max(step.num_target for step in steps)
        shape = (self.before + self.stop - self.start, self.left + self.high - self.low)
        self.sums: NDArray[np.float64] | None = np.full(shape, np.inf)
        self.choices = np.zeros((self.stop - self.start, self.high - self.low), np.uint8)
        # Where a step into row 0 of the block comes from, as places of the flat table.
        origins = [
            (self.before - step.num_source) * shape[1] + self.left - step.num_target
            for step in steps
        ]
        self.origins = np.array(origins)[:, None] + np.arange(self.high - self.low)

    @classmethod
    def after(
        cls,
        previous: "_Block | None",
        steps: Sequence[Step],
        rows: tuple[int, int],
        columns: tuple[int, int],
    ) -> "_Block":
        block = cls(steps, rows, columns)
        if previous is not None and previous.sums is not None and block.sums is not None:
            kept = min(block.before, len(previous.sums))
            first = max(block.low - block.left, previous.low)
            last = min(block.high, previous.high)
            block.sums[block.before - kept : block.before, _at(block, first) : _at(block, last)] = (
                previous.sums[-kept:, _at(previous, first) : _at(previous, last)]
            )
        return block

    def fill(self, costs: NDArray[np.float64], skip_cost: float) -> None:
        """Fills `sums` row by row and then `choices` at once; costs: (rows, steps, columns)."""
        assert self.sums is not None
        width = self.sums.shape[1]
        flat = self.sums.reshape(-1)
        skips = skip_cost * np.arange(self.high - self.low)
        for row in range(self.stop - self.start):
            candidates = flat[row * width :].take(self.origins)
            candidates += costs[row]
            best = candidates.min(axis=0)
            if self.start + row == 0:
                best[0] = 0
            # Skipped target lines: sum[j] = min over k <= j of best[k] + (j - k) * skip_cost.
            best -= skips
            np.minimum.accumulate(best, out=best)
            best += skips
            self.sums[self.before + row, self.left :] = best

        places = np.arange(self.stop - self.start)[:, None, None] * width + self.origins
        candidates = flat.take(places)
        candidates += costs
        self.choices = candidates.argmin(axis=1).astype(np.uint8)
        body = self.sums[self.before :, self.left - 1 : -1] + skip_cost
        self.choices[body < candidates.min(axis=1) - _ROUNDING] = _INSERTED

    def forget_sums(self) -> None:
        self.sums = None


def _at(block: _Block, column: int) -> int:
    return column - block.low + block.left


def _block_costs(
    source: SpanVectors,
    target: SpanVectors,
    block: _Block,
    steps: Sequence[Step],
    skip_cost: float,
) -> NDArray[np.float64]:
    """Returns (rows, steps, columns) costs; a cell stands for the lines that end before it."""
    shape = (block.stop - block.start, len(steps), block.high - block.low)
    costs = np.full(shape, skip_cost)
    # No line ends before cell 0: nothing comes there but by skips.
    top, edge = int(block.start == 0), int(block.low == 0)
    rows = slice(block.start - 1 + top, block.stop - 1)
    columns = slice(block.low - 1 + edge, block.high - 1)
    for number, step in enumerate(steps):
        if step.num_target:
            costs[top:, number, edge:] = span_costs(source, target, step, rows, columns)
            costs[:top, number] = np.inf
            costs[:, number, :edge] = np.inf
    return costs


def _trace_back(
    blocks: list[_Block], steps: Sequence[Step], num_source: int, num_target: int
) -> list[Step]:
    row, column, number = num_source, num_target, len(blocks) - 1
    path: list[Step] = []
    inserted = Step(0, 1)
    while row or column:
        while row < blocks[number].start:
            number -= 1
        block = blocks[number]
        choice = block.choices[row - block.start, column - block.low]
        step = inserted if row == 0 or choice == _INSERTED else steps[choice]
        path.append(step)
        row, column = row - step.num_source, column - step.num_target
    return path[::-1]
