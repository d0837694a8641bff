"""A model without layers in NumPy: gather rows, normalise, pool.

Dimensions: B sentences, S tokens, H hidden, D embedding, V vocabulary.
Source: the embedding layer of BERT (Devlin et al., arXiv 1810.04805), rearranged as noted below.
"""

from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from labse.encoder.pooling import copy_dense, project_and_normalize
from labse.encoder.runtimes.kept_rows import KeptRows
from labse.errors import UsageError
from labse.files.system import count_threads
from labse.model_folder.folder import ModelFolder
from labse.model_folder.int4 import PackedRows
from labse.model_folder.int8 import NarrowRows, QuantizedRows, quantize_rows, stored_weight

__all__ = ["NumpyRuntime"]

_NumberT = TypeVar("_NumberT", np.float32, np.int8, np.uint8)

_BATCH_TOKENS = 16_384  # Fewer and larger dense products than at 4096: 1.3 to 2 times as fast.
_CHUNK_TOKENS = 2048  # 2048 x 384 float32 is 3 MiB: what a step touches stays in the cache.


class NumpyRuntime:
    """Embeds with a model of zero layers: LayerNorm(word + position + type), pooled, projected.

    A layer norm subtracts the mean of x and divides by its deviation, then scales and shifts. The
    last two are linear, so they come after pooling, and a sentence costs one gather, one sum of
    squares for each token and one weighted sum:  mean_s(centered_s / sigma_s) * gamma + beta.

    Nothing but a copy is made of the word table as a whole, so that a model starts as fast as it is
    read; rows of int8 or 4 bits become float32 when a sentence needs them. Where the place of a
    piece says nothing, centered_s / sigma_s depends on the piece alone, and those met first are
    kept: see `KeptRows`.
    """

    def __init__(
        self,
        model: ModelFolder,
        *,
        precision: Literal["float32", "int8"] = "float32",
        threads: int | None = None,
    ) -> None:
        """Prepares the tables.

        Args:
            model: a model whose `num_hidden_layers` is 0.
            precision: "int8" keeps a float32 word table as int8 with one scale a row, a quarter of
                the memory; the arithmetic is float32 in both.
            threads: threads that may call `embed` at the same time; None takes `OMP_NUM_THREADS`
                where that is set, else the CPUs that this process may use.

        Raises:
            UsageError: the model has layers.
        """
        if model.config.bert.num_hidden_layers:
            raise UsageError(
                "the numpy runtime computes models without layers only, this one has "
                f"{model.config.bert.num_hidden_layers}; use ctranslate2 or torch"
            )
        self._config = model.config
        self._dense = copy_dense(model.weights)
        self._gamma = _own(model.weights["embeddings.LayerNorm.weight"])
        self._beta = _own(model.weights["embeddings.LayerNorm.bias"])

        position = model.weights["embeddings.position_embeddings.weight"]
        position = position + model.weights["embeddings.token_type_embeddings.weight"][0]
        self._position = position  # (max positions, H)
        hidden_size = position.shape[1]
        self._ones_H = np.full(hidden_size, 1 / hidden_size, np.float32)
        self._word = _word_table(model)  # (V, H)
        if precision == "int8" and not isinstance(self._word, NarrowRows):
            self._word = quantize_rows(self._word)
        self._kept: KeptRows | None = None
        if (position == position[0]).all():
            eps = self._config.bert.layer_norm_eps
            self._kept = KeptRows(self._word, addend=position[0], layer_norm_eps=eps)
        self.num_threads = threads or count_threads()

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch that suits this runtime, padding included."""
        return _BATCH_TOKENS

    @property
    def embedding_size(self) -> int:
        """D, the width of a vector."""
        return self._config.output_size

    def embed(self, input_ids: Sequence[Sequence[int] | NDArray[np.int32]]) -> NDArray[np.float32]:
        """Returns (B, D) float32 unit rows for B sentences of any lengths, at least 1 each."""
        lengths = np.fromiter((len(ids) for ids in input_ids), np.int64, len(input_ids))
        pooled = np.empty((len(input_ids), self._config.bert.hidden_size), np.float32)
        pool = self._pool_at_places if self._kept is None else self._kept.pool
        for rows in _equal_length_chunks(lengths):
            ids_BS = np.array([input_ids[row] for row in rows], dtype=np.int64)
            pooled[rows] = pool(ids_BS[:, :1] if self._config.pooling == "cls" else ids_BS)
        pooled *= self._gamma
        pooled += self._beta
        return project_and_normalize(pooled, self._config, self._dense)

    def _pool_at_places(self, ids_BS: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns (B, H), the mean of centered_s / sigma_s for B sentences of one length."""
        if isinstance(self._word, NarrowRows):
            states_BSH = self._word.take(ids_BS)
        else:
            states_BSH = self._word[ids_BS]
        states_BSH += self._position[: ids_BS.shape[1]]
        states_BSH -= (states_BSH @ self._ones_H)[:, :, None]

        variances_BS = np.einsum("bsh,bsh->bs", states_BSH, states_BSH) / states_BSH.shape[2]
        weights_BS = 1 / np.sqrt(variances_BS + np.float32(self._config.bert.layer_norm_eps))
        result: NDArray[np.float32]
        result = np.einsum("bs,bsh->bh", weights_BS / states_BSH.shape[1], states_BSH)
        return result


def _word_table(model: ModelFolder) -> NDArray[np.float32] | NarrowRows:
    table = stored_weight(model.weights, "embeddings.word_embeddings.weight")
    if isinstance(table, QuantizedRows):
        return QuantizedRows(_own(table.rows), _own(table.scales))
    if isinstance(table, PackedRows):
        return PackedRows(_own(table.packed), _own(table.scales), _own(table.levels))
    return _own(table)


def _own(array: NDArray[_NumberT]) -> NDArray[_NumberT]:
    """Copies a view of a file, which somebody may write anew while sentences are encoded."""
    return np.require(array, requirements=["OWNDATA"])


def _equal_length_chunks(lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Splits rows into runs of one length, each of at most `_CHUNK_TOKENS` tokens."""
    order = np.argsort(lengths, kind="stable")
    edges = np.flatnonzero(np.diff(lengths[order])) + 1
    chunks = []
    for rows in np.split(order, edges) if len(order) else []:
        size = max(_CHUNK_TOKENS // int(lengths[rows[0]]), 1)
        chunks += [rows[start : start + size] for start in range(0, len(rows), size)]
    return chunks
