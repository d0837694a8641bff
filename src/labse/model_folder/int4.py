"""Rows of 4 bits a value: a number from 0 to 15 that names a level, and one scale a row.

Takes: float32 matrices. Gives: packed rows, a sixth of their bytes in int8 and scales alike, and
    back.
Source: the 16 levels that lose least of normal values (Max 1960, "Quantizing for Minimum
Distortion", table I). Rows that are turned by a random rotation have such values, whatever they
were (QuIP, arXiv 2307.13304; `recipes/default/warm_start.py`). Rounding for what a layer makes of
its rows: GPTQ, arXiv 2210.17323; by coordinate descent: QuantEase, arXiv 2309.01885.

R rows, C columns.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError

__all__ = ["LEVELS", "PackedRows", "is_packable", "pack_rows"]

_POSITIVE = (0.1284, 0.3881, 0.6568, 0.9424, 1.2562, 1.6181, 2.0690, 2.7326)
LEVELS = np.array([-level for level in reversed(_POSITIVE)] + list(_POSITIVE), np.float32)
_PART_ROWS = 4096  # In pieces: a large table stays one table.
# With a metric, scales that are tried for each row, in root mean squares: levels that lie closer
# may make up better for each other's errors. From 1 on nothing is worse than the nearest levels.
_METRIC_SCALES = (1.0, 0.8)
_METRIC_ROUNDS = 6
_BLOCK_COLUMNS = 32


@dataclass(frozen=True, slots=True)
class PackedRows:
    """A matrix (R, C) as `levels[codes] * scales`, two codes a byte.

    Attributes:
        packed: (R, C / 2) uint8; byte j of a row holds column 2 j in its low four bits and column
            2 j + 1 in its high ones.
        scales: (R,) float32, the root mean square of each row, or with a metric a part of it.
        levels: (16,) float32, ascending.
    """

    packed: NDArray[np.uint8]
    scales: NDArray[np.float32]
    levels: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, ...]:
        """(R, C)."""
        num_rows, num_bytes = self.packed.shape
        return num_rows, 2 * num_bytes

    def dequantize(self) -> NDArray[np.float32]:
        """Returns the matrix, a new array of float32."""
        matrix = np.empty(self.shape, np.float32)
        for start in range(0, len(matrix), _PART_ROWS):
            numbers = np.arange(start, min(start + _PART_ROWS, len(matrix)))
            matrix[numbers] = self.take(numbers)
        return matrix

    def take(self, numbers: NDArray[np.integer]) -> NDArray[np.float32]:
        """Returns the rows of these numbers (any shape ...) as (..., C) float32."""
        # Both values of a byte are looked up as one number of 8 bytes.
        codes = np.arange(256)
        both = np.stack([self.levels[codes & 15], self.levels[codes >> 4]], axis=1)
        pairs = np.ascontiguousarray(both).view(np.uint64)[:, 0]
        taken: NDArray[np.float32] = pairs[self.packed[numbers]].view(np.float32)
        taken *= self.scales[numbers][..., None]
        return taken

    def select(self, numbers: NDArray[np.integer]) -> "PackedRows":
        """Returns the rows of these numbers (R'), packed."""
        return PackedRows(self.packed[numbers], self.scales[numbers], self.levels)


def is_packable(table: NDArray[np.float32]) -> bool:
    """Says whether a matrix can be packed: two columns share a byte."""
    return table.ndim == 2 and table.shape[1] % 2 == 0


def pack_rows(
    table: NDArray[np.float32], *, metric: NDArray[np.float32] | None = None
) -> PackedRows:
    """Rounds each value, over the root mean square of its row, to one of the levels.

    Without a metric that is the nearest. With a metric M (C, C), levels q are looked for that lower
    (q - x)^T M (q - x) for each row x: each value in turn takes the level that is best given those
    of the others. So what is lost lies where M does not see it; it is never more than with the
    nearest levels. A row of zeros stays one. 280,000 x 384 take two minutes of a core.

    Raises:
        LabseError: an odd number of columns.
    """
    if not is_packable(table):
        raise LabseError(f"rows of {table.shape[1]} values: int4 needs an even number; take int8")
    scales = np.empty(len(table), np.float32)
    packed = np.empty((len(table), table.shape[1] // 2), np.uint8)
    for start in range(0, len(table), _PART_ROWS):
        part = slice(start, start + _PART_ROWS)
        rows = np.asarray(table[part], np.float32)
        scales[part] = np.sqrt(np.square(rows).mean(1))
        nonzero = np.maximum(scales[part], np.finfo(np.float32).tiny)
        values = rows / nonzero[:, None]
        if metric is None:
            codes = _nearest(values)
        else:
            codes, shares = _best(values, metric)
            scales[part] *= shares
        packed[part] = codes[:, ::2] | codes[:, 1::2] << 4
    return PackedRows(packed, scales, LEVELS)


def _nearest(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.searchsorted((LEVELS[1:] + LEVELS[:-1]) / 2, values).astype(np.uint8)


def _best(
    values_RC: NDArray[np.floating], metric_CC: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Returns the best codes (R, C) over some scales, and the scale (R,) of each row."""
    codes_RC = np.empty(values_RC.shape, np.uint8)
    chosen_R = np.empty(len(values_RC), np.float32)
    least_R = np.full(len(values_RC), np.inf, np.float32)
    for scale in _METRIC_SCALES:
        found_RC = _descend(values_RC / np.float32(scale), metric_CC)
        error_RC = LEVELS[found_RC] * np.float32(scale) - values_RC
        lost_R = np.einsum("rc,rc->r", error_RC @ metric_CC, error_RC)
        is_better = (lost_R < least_R) | (scale == 1)  # What is not finite is as it was.
        codes_RC[is_better], chosen_R[is_better] = found_RC[is_better], scale
        least_R[is_better] = lost_R[is_better]
    return codes_RC, chosen_R


def _descend(values_RC: NDArray[np.floating], metric_CC: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Returns codes by coordinate descent, columns in blocks: the rest is a product a block."""
    size = np.diagonal(metric_CC)
    inverse = np.divide(1, size, out=np.zeros_like(size), where=size > 0)
    codes_CR = _nearest(values_RC).T.copy()
    levels_CR = LEVELS[codes_CR]
    gradient_CR = metric_CC @ (levels_CR - values_RC.T)
    for _ in range(_METRIC_ROUNDS):
        for start in range(0, len(size), _BLOCK_COLUMNS):
            block = slice(start, start + _BLOCK_COLUMNS)
            before, gradient = levels_CR[block].copy(), gradient_CR[block].copy()
            for row, column in enumerate(range(len(size))[block]):
                wanted = levels_CR[column] - inverse[column] * gradient[row]
                codes_CR[column] = _nearest(wanted)
                change = LEVELS[codes_CR[column]] - levels_CR[column]
                levels_CR[column] += change
                gradient += metric_CC[block, column, None] * change
            gradient_CR += metric_CC[:, block] @ (levels_CR[block] - before)
    return codes_CR.T
