"""Batches: drawn, masked and laid out as rows for the device.

Dimensions: B examples of a batch, b of a micro-batch, S tokens of its longest, m masked tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labse.pretraining.config import MaskingConfig
from labse.pretraining.examples import TokenizedExamples
from labse.pretraining.masking import MaskedTokens, mask_tokens

__all__ = ["Batch", "BatchBuilder", "MicroBatch"]


@dataclass(frozen=True, slots=True)
class Batch:
    """A global batch, its examples sorted by length, masked as a whole.

    Attributes:
        masked: tokens, one example after the other.
        lengths: (B,) tokens of each example.
        source_lengths: (B,) tokens of the first side of a pair, 0 for text.
    """

    masked: MaskedTokens
    lengths: NDArray[np.int64]
    source_lengths: NDArray[np.int64]

    def every(self, step: int, first: int) -> "Batch":
        """Returns example `first` and every `step`-th after it: a share of like lengths."""
        is_kept_B = np.arange(len(self.lengths)) % step == first
        is_kept_T = np.repeat(is_kept_B, self.lengths)
        inside = is_kept_T[self.masked.positions]
        places_T = np.cumsum(is_kept_T) - 1
        kept = MaskedTokens(
            self.masked.input_ids[is_kept_T],
            places_T[self.masked.positions[inside]],
            self.masked.labels[inside],
        )
        return Batch(kept, self.lengths[is_kept_B], self.source_lengths[is_kept_B])


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Part of a batch as tensors.

    Attributes:
        input_ids: (b, S), padded with 0.
        attention_mask: (b, S) bool; None without padding.
        token_type_ids: (b, S); None: all 0.
        position_ids: (b, S); None: 0, 1, 2, ...
        positions: (m,) places of the masked tokens in (b * S).
        labels: (m,) what stood there.
    """

    input_ids: Tensor
    attention_mask: Tensor | None
    token_type_ids: Tensor | None
    position_ids: Tensor | None
    positions: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "MicroBatch":
        """Copies the tensors to a device, without waiting where memory is pinned."""
        is_cuda = device.type == "cuda"

        def move(tensor: Tensor) -> Tensor:
            return tensor.pin_memory().to(device, non_blocking=True) if is_cuda else tensor

        mask, types, places = self.attention_mask, self.token_type_ids, self.position_ids
        return MicroBatch(
            move(self.input_ids),
            None if mask is None else move(mask),
            None if types is None else move(types),
            None if places is None else move(places),
            move(self.positions),
            move(self.labels),
        )


@dataclass(frozen=True, slots=True)
class BatchBuilder:
    """Makes batches of some examples.

    Attributes:
        examples: all of them.
        masking: shares and cap.
        special_ids: pieces that are never masked.
        mask_id: of [MASK].
        vocab_size: V.
        positions: `reset` starts the second side of a pair at 0.
        segments: `on` gives it token type 1.
    """

    examples: TokenizedExamples
    masking: MaskingConfig
    special_ids: NDArray[np.int32]
    mask_id: int
    vocab_size: int
    positions: Literal["continue", "reset"] = "continue"
    segments: Literal["on", "off"] = "off"

    def build(self, numbers: NDArray[np.int64], generator: np.random.Generator) -> Batch:
        """Masks the examples of these numbers."""
        lengths = self.examples.offsets[numbers + 1] - self.examples.offsets[numbers]
        numbers = numbers[np.argsort(lengths, kind="stable")]
        input_ids, lengths = self.examples.gather(numbers)
        source_lengths = self.examples.source_lengths[numbers].astype(np.int64)
        masked = mask_tokens(
            input_ids,
            lengths,
            source_lengths,
            special_ids=self.special_ids,
            mask_id=self.mask_id,
            vocab_size=self.vocab_size,
            config=self.masking,
            generator=generator,
        )
        return Batch(masked, lengths, source_lengths)

    def iter_micro_batches(self, batch: Batch, size: int) -> Iterator[MicroBatch]:
        """Cuts a batch into rows of `size` examples, of fewer at the end."""
        ends = np.concatenate([[0], np.cumsum(batch.lengths)])
        for first in range(0, len(batch.lengths), size):
            last = min(first + size, len(batch.lengths))
            start, end = ends[first], ends[last]
            where = batch.masked.positions
            inside = slice(*np.searchsorted(where, [start, end]))
            yield self._lay_out(
                batch.masked.input_ids[start:end],
                batch.lengths[first:last],
                batch.source_lengths[first:last],
                where[inside] - start,
                batch.masked.labels[inside],
            )

    def _lay_out(
        self,
        input_ids: NDArray[np.int32],
        lengths: NDArray[np.int64],
        source_lengths: NDArray[np.int64],
        positions: NDArray[np.int64],
        labels: NDArray[np.int32],
    ) -> MicroBatch:
        places_S = np.arange(lengths.max())
        mask_BS = places_S < lengths[:, None]
        ids_BS = np.zeros(mask_BS.shape, np.int64)
        ids_BS[mask_BS] = input_ids
        is_target_BS = (places_S >= source_lengths[:, None]) & (source_lengths > 0)[:, None]
        is_pair = bool(is_target_BS.any())
        reset_BS = places_S - np.where(is_target_BS, source_lengths[:, None], 0)
        return MicroBatch(
            input_ids=torch.from_numpy(ids_BS),
            attention_mask=None if mask_BS.all() else torch.from_numpy(mask_BS),
            token_type_ids=(
                torch.from_numpy(is_target_BS.astype(np.int64))
                if is_pair and self.segments == "on"
                else None
            ),
            position_ids=(
                torch.from_numpy(reset_BS) if is_pair and self.positions == "reset" else None
            ),
            positions=torch.from_numpy(np.flatnonzero(mask_BS)[positions]),
            labels=torch.from_numpy(labels.astype(np.int64)),
        )
