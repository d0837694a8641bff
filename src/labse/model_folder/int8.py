"""How weights lie in a file: float32, float16, or rows of int8 or 4 bits with one scale each.

Takes: float32 matrices. Gives: the tensors of a safetensors file, and back.
Source: symmetric quantisation of rows, as in OpenNMT/CTranslate2, docs/quantization.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError
from labse.model_folder.int4 import PackedRows, pack_rows

__all__ = [
    "LEVELS_SUFFIX",
    "SCALE_SUFFIX",
    "STORAGES",
    "NarrowRows",
    "QuantizedRows",
    "Storage",
    "StoredWeights",
    "narrow_weights",
    "quantize_rows",
    "stored_weight",
    "to_tensors",
]

Storage = Literal["float32", "float16", "int8", "int4"]

STORAGES: tuple[Storage, ...] = get_args(Storage)
# `x.weight.scale` (R,) float32 beside `x.weight` (R, C) int8 or (R, C / 2) uint8; the latter has
# `x.weight.levels` (16,) float32 too.
SCALE_SUFFIX = ".scale"
LEVELS_SUFFIX = ".levels"
_WORD_TABLE = "embeddings.word_embeddings.weight"
_MAX_INT8 = 127  # Not -128: then a row and its negative are stored alike.


@dataclass(frozen=True, slots=True)
class QuantizedRows:
    """A matrix (R, C) as `rows * scales`.

    Attributes:
        rows: (R, C) int8, from -127 to 127.
        scales: (R,) float32.
    """

    rows: NDArray[np.int8]
    scales: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, ...]:
        """(R, C)."""
        return self.rows.shape

    def dequantize(self) -> NDArray[np.float32]:
        """Returns the matrix, a new array of float32."""
        matrix: NDArray[np.float32] = np.multiply(self.rows, self.scales[:, None])
        return matrix

    def take(self, numbers: NDArray[np.integer]) -> NDArray[np.float32]:
        """Returns the rows of these numbers (any shape ...) as (..., C) float32."""
        taken: NDArray[np.float32] = self.rows[numbers].astype(np.float32)
        taken *= self.scales[numbers][..., None]
        return taken

    def select(self, numbers: NDArray[np.integer]) -> "QuantizedRows":
        """Returns the rows of these numbers (R'), as int8."""
        return QuantizedRows(self.rows[numbers], self.scales[numbers])


NarrowRows = QuantizedRows | PackedRows


class StoredWeights(Mapping[str, NDArray[np.float32]]):
    """Weights by name; those kept as int8 or 4 bits become float32 each time they are asked for.

    So a caller that needs a few rows of a large table may take them from `rows_of`, and every
    other caller sees float32.
    """

    def __init__(self, stored: Mapping[str, NDArray[np.float32] | NarrowRows]) -> None:
        self._stored = dict(stored)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        value = self._stored[name]
        return value.dequantize() if isinstance(value, NarrowRows) else value

    def __contains__(self, name: object) -> bool:
        return name in self._stored  # That of `Mapping` would widen the whole table.

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def stored(self, name: str) -> NDArray[np.float32] | NarrowRows:
        """Returns the weight as it is kept."""
        return self._stored[name]


def stored_weight(
    weights: Mapping[str, NDArray[np.float32]], name: str
) -> NDArray[np.float32] | NarrowRows:
    """Returns a weight as it is kept, rows of int8 or 4 bits too."""
    return weights.stored(name) if isinstance(weights, StoredWeights) else weights[name]


def quantize_rows(table: NDArray[np.float32]) -> QuantizedRows:
    """Rounds each row to int8 by its largest value; a row of zeros stays one."""
    largest = np.maximum(table.max(axis=1), -table.min(axis=1))
    scales = np.maximum(largest / _MAX_INT8, np.finfo(np.float32).tiny).astype(np.float32)
    rows = np.empty(table.shape, np.int8)
    for start in range(0, len(table), 4096):  # In pieces: a large table stays one table.
        part = slice(start, start + 4096)
        rows[part] = np.rint(table[part] / scales[part, None])
    return QuantizedRows(rows, scales)


def to_tensors(
    weights: Mapping[str, NDArray[np.float32]], storage: Storage
) -> dict[str, NDArray[np.generic]]:
    """Returns the tensors of a file.

    Word rows and the matrices of layers change their type; biases, norms, positions, token types
    and the last dense layer, 1 % of the bytes together, stay float32. In "int4" word rows have 4
    bits and the matrices of layers 8.

    Raises:
        LabseError: a value is too large for float16.
    """
    tensors: dict[str, NDArray[np.generic]] = {}
    for name, array in weights.items():
        if storage == "float32" or not _is_narrowed(name, array):
            tensors[name] = np.ascontiguousarray(array, np.float32)
        elif storage == "float16":
            if np.abs(array).max() > np.finfo(np.float16).max:
                raise LabseError(
                    f"the weight {name!r} holds values beyond float16; store it as float32 or int8"
                )
            tensors[name] = array.astype(np.float16)
        elif storage == "int4" and name == _WORD_TABLE:
            packed = _pack(weights, name)
            tensors[name] = packed.packed
            tensors[name + SCALE_SUFFIX] = packed.scales
            tensors[name + LEVELS_SUFFIX] = packed.levels
        else:
            quantized = quantize_rows(array)
            tensors[name] = quantized.rows
            tensors[name + SCALE_SUFFIX] = quantized.scales
    return tensors


def narrow_weights(weights: Mapping[str, NDArray[np.float32]], storage: Storage) -> StoredWeights:
    """Returns the weights as they come back from a file of this storage."""
    tensors = to_tensors(weights, storage)
    narrowed: dict[str, NDArray[np.float32] | NarrowRows] = {}
    for name in weights:
        if name + LEVELS_SUFFIX in tensors:
            narrowed[name] = PackedRows(
                tensors[name].astype(np.uint8, copy=False),
                tensors[name + SCALE_SUFFIX].astype(np.float32, copy=False),
                tensors[name + LEVELS_SUFFIX].astype(np.float32, copy=False),
            )
        elif name + SCALE_SUFFIX in tensors:
            scales = tensors[name + SCALE_SUFFIX].astype(np.float32)
            narrowed[name] = QuantizedRows(tensors[name].astype(np.int8, copy=False), scales)
        else:
            narrowed[name] = tensors[name].astype(np.float32, copy=False)
    return StoredWeights(narrowed)


def _pack(weights: Mapping[str, NDArray[np.float32]], name: str) -> PackedRows:
    """Packs a table, unless it is: what was rounded once is not rounded again."""
    stored = stored_weight(weights, name)
    if isinstance(stored, PackedRows):
        return stored
    rows = stored.dequantize() if isinstance(stored, QuantizedRows) else stored
    return pack_rows(rows, metric=_seen_by_bag(weights))


def _seen_by_bag(weights: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32] | None:
    """Returns how much of an error in a word row a bag of pieces sees in its vector, (H, H).

    With x the row, P taking the mean of its values away, gamma the scale of the norm and W the
    dense layer, a piece adds W diag(gamma) P x / |P x| to the vector: M = A^T A with
    A = W diag(gamma) P; its size says nothing. None for a model with layers, or without a norm or a
    dense layer, or where they are 0 or not finite.
    """
    needed = ("dense.weight", "embeddings.LayerNorm.weight")
    if any(name not in weights for name in needed) or any(map(_is_of_layer, weights)):
        return None
    dense, scale = (weights[name].astype(np.float64) for name in needed)
    if not (np.isfinite(dense).all() and np.isfinite(scale).all()):
        return None
    seen = dense * scale
    seen -= seen.mean(1, keepdims=True)
    largest = np.abs(seen).max(initial=0.0)
    if not largest:
        return None
    seen /= largest
    return (seen.T @ seen).astype(np.float32)


def _is_narrowed(name: str, array: NDArray[np.float32]) -> bool:
    return name == _WORD_TABLE or (_is_of_layer(name) and array.ndim == 2)


def _is_of_layer(name: str) -> bool:
    return name.startswith("encoder.layer.")
