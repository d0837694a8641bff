"""A model on torch: the one under training, or one on a GPU.

Takes: a `DualEncoder` or a `ModelFolder`, ragged token ids. Gives: (B, D) float32 unit rows.
Source: labse.dual_encoder.model.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from labse.bert.convert import from_hf_state_dict
from labse.dual_encoder.folder import ModelFolder
from labse.dual_encoder.model import DualEncoder

__all__ = ["TorchRuntime"]

_CPU_BATCH_TOKENS = 4096
_GPU_BATCH_TOKENS = 32_768


class TorchRuntime:
    """Embeds with a `DualEncoder`, on the device where its weights are.

    The model may be in training: each call runs in evaluation mode and puts every module back into
    the mode it had. Calls from several threads wait for each other.
    """

    def __init__(
        self, model: DualEncoder, *, precision: Literal["float32", "bfloat16"] = "float32"
    ) -> None:
        """Keeps the model; nothing is copied.

        Args:
            model: read at each call, so that it may be trained between calls.
            precision: "bfloat16" multiplies under autocast; the vectors are float32 all the same.
        """
        self._model = model
        self._precision = precision
        self._lock = threading.Lock()

    @classmethod
    def from_folder(
        cls, model: ModelFolder, *, precision: Literal["float32", "bfloat16"] = "float32"
    ) -> Self:
        """Builds the module from a model folder's weights, on the first GPU if there is one."""
        tensors = {name: torch.from_numpy(array) for name, array in model.weights.items()}
        dense = {
            name.removeprefix("dense."): tensors.pop(name)
            for name in list(tensors)
            if name.startswith("dense.")
        }
        dual_encoder = DualEncoder(model.config)
        dual_encoder.bert.load_state_dict(from_hf_state_dict(tensors))
        if dual_encoder.dense is not None:
            dual_encoder.dense.load_state_dict(dense)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(dual_encoder.eval().to(device), precision=precision)

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch that suits this runtime, padding included."""
        return _CPU_BATCH_TOKENS if self._device.type == "cpu" else _GPU_BATCH_TOKENS

    @property
    def embedding_size(self) -> int:
        """D, the width of a vector."""
        return self._model.config.output_size

    @property
    def _device(self) -> torch.device:
        return next(self._model.parameters()).device

    def embed(self, input_ids: Sequence[Sequence[int] | NDArray[np.int32]]) -> NDArray[np.float32]:
        """Returns (B, D) float32 unit rows for B sentences of any lengths, at least 1 each."""
        if not len(input_ids):
            return np.empty((0, self.embedding_size), np.float32)
        longest = max(len(ids) for ids in input_ids)
        padded_BS = np.full((len(input_ids), longest), self._model.config.bert.pad_token_id)
        is_real_BS = np.zeros(padded_BS.shape, dtype=bool)
        for row, ids in enumerate(input_ids):
            padded_BS[row, : len(ids)] = ids
            is_real_BS[row, : len(ids)] = True

        device = self._device
        autocast = torch.autocast(
            device.type, torch.bfloat16, enabled=self._precision == "bfloat16"
        )
        with self._lock, _evaluation_mode(self._model), torch.inference_mode(), autocast:
            embeddings_BD = self._model(
                torch.from_numpy(padded_BS).to(device), torch.from_numpy(is_real_BS).to(device)
            )
        result: NDArray[np.float32] = embeddings_BD.float().cpu().numpy()
        return result


@contextlib.contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in was_training.items():
            module.training = mode
