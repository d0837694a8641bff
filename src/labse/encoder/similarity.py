"""Cosines of vectors, each with all or row with row.

Takes: vectors of any length. Gives: float32 cosines.
Source: sentence-transformers, `similarity` and `similarity_pairwise`, whose names these have.
"""

import numpy as np
from numpy.typing import NDArray

from labse.encoder.pooling import normalize_rows
from labse.files.npy import Vectors, as_float32

__all__ = ["similarity", "similarity_pairwise"]


def similarity(source: Vectors, target: Vectors) -> NDArray[np.float32]:
    """Returns (N, M) cosines of (N, D) and (M, D) vectors, which need not be unit rows.

    A vector (D,) is a matrix of one row.

    Raises:
        ValueError: the arrays are not matrices of one width.
    """
    sources, targets = (np.atleast_2d(as_float32(a)) for a in (source, target))
    if sources.ndim != 2 or targets.ndim != 2 or sources.shape[1] != targets.shape[1]:
        raise ValueError(f"expected (N, D) and (M, D), found {sources.shape} and {targets.shape}")
    return normalize_rows(sources) @ normalize_rows(targets).T


def similarity_pairwise(source: Vectors, target: Vectors) -> NDArray[np.float32]:
    """Returns (N,) cosines of row with row of two (N, D) arrays.

    Raises:
        ValueError: the arrays are not of one shape.
    """
    sources, targets = (np.atleast_2d(as_float32(a)) for a in (source, target))
    if sources.shape != targets.shape or sources.ndim != 2:
        raise ValueError(f"expected (N, D) twice, found {sources.shape} and {targets.shape}")
    cosines: NDArray[np.float32] = np.einsum(
        "nd,nd->n", normalize_rows(sources), normalize_rows(targets)
    )
    return cosines
