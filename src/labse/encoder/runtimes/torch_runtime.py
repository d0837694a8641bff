"""A model on torch: the one under training, or one on a GPU.

Takes: a `DualEncoder` or a `ModelFolder`, ragged token ids. Gives: (B, D) float32 unit rows.
Source: labse.network.dual_encoder.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from labse.encoder.runtimes.padding import pad_sentences
from labse.errors import ResourceError, UsageError
from labse.model_folder.folder import ModelFolder
from labse.model_folder.torch_model import to_dual_encoder
from labse.network.dual_encoder import DualEncoder, embed_bags, is_bag
from labse.runtime import warn_of_emulation

__all__ = ["TorchRuntime"]

# As in ctranslate2_runtime: 1024 tokens of BERT-Base, 1.25 times as fast as 4096 in bfloat16.
_CPU_BATCH_VALUES = 3 << 20
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
            precision: "bfloat16" multiplies the layers' matrices under autocast; norms, residuals,
                pooling, the last dense layer and the vectors are float32.
        """
        self._model = model
        self._precision = precision
        self._lock = threading.Lock()
        self._process = os.getpid()

    @classmethod
    def from_folder(
        cls,
        model: ModelFolder,
        *,
        precision: Literal["float32", "bfloat16"] = "float32",
        device: str | None = None,
    ) -> Self:
        """Builds the module from a model folder's weights, on the first GPU if there is one.

        Args:
            model: the folder.
            precision: see the constructor.
            device: another place, by its name in torch.

        Raises:
            UsageError: there is no such device.
        """
        dual_encoder = to_dual_encoder(model)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts it.
            reason = str(error).splitlines()[0]
            raise UsageError(
                f"device {device!r}: torch has none here ({reason}); leave device out"
            ) from None
        if precision == "bfloat16":
            warn_of_emulation(device, "the precision float32 or int8")
            for layer in dual_encoder.bert.layers.modules():
                if isinstance(layer, nn.Linear):
                    layer.to(torch.bfloat16)  # Once, not in each call of autocast.
        return cls(dual_encoder.eval().to(device), precision=precision)

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch that suits this runtime, padding included."""
        if self.device.type != "cpu":
            return _GPU_BATCH_TOKENS
        return max(_CPU_BATCH_VALUES // self._model.config.bert.intermediate_size, 1)

    @property
    def embedding_size(self) -> int:
        """D, the width of a vector."""
        return self._model.config.output_size

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self._model.parameters()).device

    def embed(self, input_ids: Sequence[Sequence[int] | NDArray[np.int32]]) -> NDArray[np.float32]:
        """Returns (B, D) float32 unit rows for B sentences of any lengths, at least 1 each."""
        if not len(input_ids):
            return np.empty((0, self.embedding_size), np.float32)
        if self._process != os.getpid():
            self._follow_fork()
        with self._lock, _evaluation_mode(self._model), torch.inference_mode():
            if is_bag(self._model):
                lengths = np.fromiter((len(ids) for ids in input_ids), np.int64, len(input_ids))
                flat = np.concatenate([np.asarray(ids, np.int32) for ids in input_ids])
                embeddings_BD = embed_bags(self._model, flat, lengths)
            else:
                embeddings_BD = self._embed_padded(input_ids)
        result: NDArray[np.float32] = embeddings_BD.float().cpu().numpy()
        return result

    def _follow_fork(self) -> None:
        """Computes in one thread in a forked process, which has none of its parent's threads.

        Raises:
            ResourceError: the weights are on a GPU, which no forked process can use.
        """
        if self.device.type != "cpu":
            raise ResourceError(
                f"this process was forked from the one that loaded the model on {self.device}; "
                "load the model in each worker after the fork, or start workers with spawn"
            )
        torch.set_num_threads(1)
        self._lock = threading.Lock()
        self._process = os.getpid()

    def _embed_padded(self, input_ids: Sequence[Sequence[int] | NDArray[np.int32]]) -> Tensor:
        """Returns (B, D); under autocast the residual path and its norms stay float32."""
        device = self.device
        padded = pad_sentences(input_ids, self._model.config.bert.pad_token_id)
        ids_BS = torch.from_numpy(padded.input_ids).to(device)
        mask_BS = torch.from_numpy(padded.is_real).to(device)
        # Without padding there is nothing to mask, and attention is faster.
        mask = None if padded.is_real.all() else mask_BS
        is_narrow = self._precision == "bfloat16"
        with torch.autocast(device.type, torch.bfloat16, enabled=is_narrow):
            hidden_BSH = self._model.bert(ids_BS, mask).last_hidden_state.float()
        if self._model.config.pooling == "cls":
            return self._model.project(hidden_BSH[:, 0])
        weights_BS1 = mask_BS.unsqueeze(-1).to(hidden_BSH.dtype)
        return self._model.project((hidden_BSH * weights_BS1).sum(1) / weights_BS1.sum(1))


@contextlib.contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in was_training.items():
            module.training = mode
