"""From hidden states to unit vectors, in NumPy float32.

Dimensions: B sentences, S tokens, H hidden, D embedding.
Source: paper, section 2.1; mean as in sentence-transformers: over all real tokens, [CLS] and [SEP]
included.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labse.network.config import DualEncoderConfig

__all__ = [
    "average_windows",
    "copy_dense",
    "find_non_unit_row",
    "normalize_rows",
    "pool_tokens",
    "project_and_normalize",
]

_MAX_BLOCK_ROWS = 16
_ONE_THREAD_PRODUCT = 1 << 18  # Rows x columns x depth.


def pool_tokens(
    hidden_states: NDArray[np.float32],
    lengths: NDArray[np.int64],
    pooling: Literal["cls", "mean"],
) -> NDArray[np.float32]:
    """Returns (B, H): the first state of each sentence, or the mean of its real ones.

    Args:
        hidden_states: (B, S, H), padded on the right.
        lengths: (B,) real tokens of each sentence, at least 1.
        pooling: which of the two.
    """
    if pooling == "cls":
        return hidden_states[:, 0]
    is_real = np.arange(hidden_states.shape[1]) < lengths[:, None]  # (B, S)
    weights = (is_real / lengths[:, None]).astype(np.float32)
    # A select and not only a product: a runtime may leave anything, NaN too, in the padding.
    states = np.where(is_real[:, :, None], hidden_states, np.float32(0))
    pooled: NDArray[np.float32] = np.matmul(weights[:, None, :], states)[:, 0]
    return pooled


def copy_dense(weights: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Returns what `project_and_normalize` needs of a model, apart from the file it lies in."""
    names = [name for name in weights if name.startswith("dense.")]
    return {name: np.require(weights[name], requirements=["OWNDATA"]) for name in names}


def project_and_normalize(
    pooled: NDArray[np.float32],
    config: DualEncoderConfig,
    weights: Mapping[str, NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Returns (B, D) unit rows: tanh(W x + b), W x + b or x, divided by its L2 norm.

    The bytes do not depend on the threads of OpenBLAS.
    """
    if config.projection != "none":
        pooled = _multiply(pooled, weights["dense.weight"]) + weights["dense.bias"]
    if config.projection == "tanh":
        pooled = np.tanh(pooled)
    return normalize_rows(pooled)


def _multiply(rows: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns (B, D), `rows` (B, H) times `matrix` (D, H) transposed, on one thread.

    OpenBLAS cuts a product for its threads, and sums next to the cuts are rounded otherwise. A
    small one has one thread (GEMM_MULTITHREAD_THRESHOLD), so this is a grid of small products.
    """
    num_rows, depth = rows.shape
    # At least 2: one row alone would be a product with a vector, which has other bounds.
    height = min(max(1 << (num_rows - 1).bit_length(), 2), _MAX_BLOCK_ROWS)
    width = 1 << max((_ONE_THREAD_PRODUCT // (height * depth)).bit_length() - 1, 0)
    above = _fill_up(rows, height).reshape(-1, 1, height, depth)
    beside = _fill_up(matrix, width).reshape(1, -1, width, depth)
    grid = np.matmul(above, beside.swapaxes(2, 3)).swapaxes(1, 2)
    product: NDArray[np.float32] = grid.reshape(len(grid) * height, beside.shape[1] * width)
    return product[:num_rows, : len(matrix)]


def _fill_up(rows: NDArray[np.float32], multiple: int) -> NDArray[np.float32]:
    missing = -len(rows) % multiple
    return np.pad(rows, ((0, missing), (0, 0))) if missing else np.ascontiguousarray(rows)


def normalize_rows(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divides rows by their L2 norm; a row of zeros stays one."""
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit: NDArray[np.float32] = embeddings / np.maximum(norms, np.finfo(np.float32).tiny)
    return unit


def average_windows(
    embeddings: NDArray[np.float32], lengths: NDArray[np.int64], first_windows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Returns (N, D) unit rows: the mean of a sentence's windows, weighted by their tokens.

    Where the windows cancel out and leave no direction, the first of them stands for all.

    Args:
        embeddings: (W, D) unit rows.
        lengths: (W,) tokens of each window.
        first_windows: (N + 1,); sentence n has windows first_windows[n] to first_windows[n + 1].
    """
    starts = first_windows[:-1]
    sums = np.add.reduceat(embeddings * lengths[:, None].astype(np.float32), starts, axis=0)
    is_lost = np.linalg.norm(sums, axis=1) < 1e-3
    sums[is_lost] = embeddings[starts[is_lost]]
    is_single = np.diff(first_windows) == 1
    unit = normalize_rows(sums)
    unit[is_single] = embeddings[starts[is_single]]  # To the bit what it is without averaging.
    return unit


def find_non_unit_row(embeddings: NDArray[np.float32], tolerance: float) -> int | None:
    """Returns the first row of (N, D) that is not finite and of length 1; None if all rows are."""
    norms = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings))
    is_bad = ~(np.abs(norms - 1) < tolerance)  # NaN compares as false.
    return int(is_bad.argmax()) if is_bad.any() else None
