"""An exported ONNX file on onnxruntime: what an export is checked with.

Takes: the bytes of a file, ragged token ids. Gives: (B, D) float32 unit rows.
Source: labse.encoder.export.onnx_graph.
"""

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labse.encoder.runtimes.padding import pad_sentences
from labse.runtime import require

__all__ = ["OnnxRuntime"]

_BATCH_TOKENS = 4096


class OnnxRuntime:
    """Embeds with an ONNX file that `labse export` made. Thread-safe."""

    def __init__(self, content: str | bytes, *, pad_token_id: int) -> None:
        """Loads the file.

        Args:
            content: a path, or the bytes.
            pad_token_id: what fills short rows.

        Raises:
            ResourceError: onnxruntime is not installed.
        """
        onnxruntime = require("onnxruntime", "onnx")
        self._session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        self._pad_token_id = pad_token_id
        self._lock = threading.Lock()

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch that suits this runtime, padding included."""
        return _BATCH_TOKENS

    @property
    def embedding_size(self) -> int:
        """D, the width of a vector."""
        return int(self._session.get_outputs()[0].shape[1])

    def embed(self, input_ids: Sequence[Sequence[int] | NDArray[np.int32]]) -> NDArray[np.float32]:
        """Returns (B, D) float32 unit rows for B sentences of any lengths, at least 1 each."""
        if not len(input_ids):
            return np.empty((0, self.embedding_size), np.float32)
        padded = pad_sentences(input_ids, self._pad_token_id)
        inputs = {"input_ids": padded.input_ids, "attention_mask": padded.is_real.astype(np.int64)}
        with self._lock:
            (embeddings,) = self._session.run(None, inputs)
        result: NDArray[np.float32] = embeddings
        return result
