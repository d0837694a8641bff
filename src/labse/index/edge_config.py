"""How the embedded engine is set: its small vectors, its graph, how far it looks, its filters.

Takes: the width of the vectors, the number of rows, a condition. Gives: objects of the engine.
Source: qdrant-edge-py 0.9; the figures are those of docs/experiments.md.
"""

from collections.abc import Mapping
from types import ModuleType

from labse.index.qdrant_payload import to_filter
from labse.index.where import Where
from labse.runtime import require

__all__ = [
    "MOST_PART_ROWS",
    "PART_ROWS",
    "build_config",
    "build_params",
    "edge_filter",
    "require_edge",
    "small_bytes",
]

PART_ROWS = 200_000
"""Rows that are compacted together while more are added; parts are searched in parallel."""
MOST_PART_ROWS = 250_000
"""Of a part that the engine makes of smaller ones."""

_CANDIDATES = (
    640  # Recall@10 of 2 bits, 1,000,000 rows: .972 with 160, .987 with 320, .995 with 640.
)
_LEAST_OVERSAMPLING = 8.0
_LEAST_TWO_BITS = 384  # Values of a vector; narrower ones, which were not measured, keep 8 bits.
_OVERSAMPLING = 4.0  # Recall@10 of 8 bits: .977 with 1, .998 with 2, 1.000 with 4.
_GRAPH_EDGES = 16
_GRAPH_EF = 512  # Recall@10 of 200,000 rows: .958 with 128, .982 with 256.
_FREE_PARTS = 8  # Fewer are left alone: with 2, the rest of 220,000 rows wrote all anew, 6.6 s.
_MIN_COMPACTED = 10_000  # Below, a scan in float32 takes under 5 ms.


def build_config(embedding_size: int, *, is_graph: bool, is_held: bool) -> object:
    """Returns the settings of a shard.

    Args:
        embedding_size: D.
        is_graph: whether it is searched by a graph over 8-bit vectors; else small ones are scanned.
        is_held: whether the small vectors stay in memory; else they are read from the disk.
    """
    edge = require_edge()
    memory = edge.Memory.Pinned if is_held else edge.Memory.Cold
    if _has_8_bits(embedding_size, is_graph):
        quantization = edge.ScalarQuantizationConfig(
            edge.ScalarType.Int8, quantile=0.99, memory=memory
        )
    else:
        quantization = edge.BinaryQuantizationConfig(
            encoding=edge.BinaryQuantizationEncoding.TwoBits,
            query_encoding=edge.BinaryQuantizationQueryEncoding.Binary,
            memory=memory,
        )
    row_kilobytes = embedding_size * 4 / 1024
    return edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(
            size=embedding_size, distance=edge.Distance.Dot, quantization_config=quantization
        ),
        hnsw_config=edge.HnswIndexConfig(
            m=_GRAPH_EDGES if is_graph else 0,
            ef_construct=100,
            full_scan_threshold=_MIN_COMPACTED,
        ),
        optimizers=edge.EdgeOptimizersConfig(
            indexing_threshold=int(_MIN_COMPACTED * row_kilobytes),
            default_segment_number=_FREE_PARTS,
            max_segment_size=int(MOST_PART_ROWS * row_kilobytes),
        ),
    )


def small_bytes(embedding_size: int, *, is_graph: bool) -> float:
    """Returns the bytes of a row's small vector."""
    return embedding_size if _has_8_bits(embedding_size, is_graph) else embedding_size / 4


def _has_8_bits(embedding_size: int, is_graph: bool) -> bool:
    return is_graph or embedding_size < _LEAST_TWO_BITS


def build_params(k: int, num_parts: int, embedding_size: int, *, is_graph: bool) -> object:
    """Returns how far a search for k rows looks; each part rescores its share of candidates."""
    edge = require_edge()
    oversampling = _OVERSAMPLING
    if not _has_8_bits(embedding_size, is_graph):
        oversampling = max(_CANDIDATES / num_parts / k, _LEAST_OVERSAMPLING)
    return edge.SearchParams(
        hnsw_ef=max(_GRAPH_EF, 2 * k),
        quantization=edge.QuantizationSearchParams(rescore=True, oversampling=oversampling),
    )


def edge_filter(where: Where | None) -> object:
    """Returns a condition as the engine takes it."""
    return None if where is None else to_filter(where, _EdgeParts())


class _EdgeParts:
    """See `FilterParts`."""

    def __init__(self) -> None:
        self._edge = require_edge()

    def combine(self, **parts: list[object]) -> object:
        return self._edge.Filter(**parts)

    def text(self, path: str, value: str) -> object:
        return self._edge.FieldCondition(path, match=self._edge.MatchValue(value))

    def numbers(self, path: str, bounds: Mapping[str, float]) -> object:
        return self._edge.FieldCondition(path, range=self._edge.RangeFloat(**bounds))

    def is_empty(self, path: str) -> object:
        return self._edge.IsEmptyCondition(path)


def require_edge() -> ModuleType:
    """Returns the package of the engine.

    Raises:
        ResourceError: it is not installed.
    """
    return require("qdrant_edge", "index")
