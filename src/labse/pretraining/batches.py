"""Batches: drawn by (seed, step) without a cursor, masked, and laid out as rows for the device.

Dimensions: B examples of a batch, b of a micro-batch, S tokens of its longest, m masked tokens, G
groups, M slots of the plan, N examples of a group.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labse.corpus.sampling import smoothed_shares
from labse.pretraining.config import MaskingConfig
from labse.pretraining.examples import TokenizedExamples
from labse.pretraining.masking import MaskedTokens, mask_tokens

__all__ = [
    "Batch",
    "BatchBuilder",
    "ExampleOrder",
    "MicroBatch",
    "Split",
    "group_probs",
    "permute",
    "split_examples",
]

_PLAN_SLOTS = 1 << 16  # A group's share is exact to 1 in 65,536; the rarest gets one slot.
_NUM_ROUNDS = 4


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
        """Returns example `first` and every `step`-th after it: a part with like lengths."""
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
    """Makes batches of examples.

    Attributes:
        masking: rates and cap of masked tokens.
        special_ids: pieces that are never masked.
        positions: `reset` starts the second side of a pair at 1, where the first side starts.
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
        """Returns a batch of the examples with these numbers, masked."""
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
        # As in XLM's concat_batches word i of both sides stands at i + 1, behind an opening token.
        reset_BS = places_S - np.where(is_target_BS, source_lengths[:, None] - 1, 0)
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


@dataclass(frozen=True, slots=True)
class Split:
    """Numbers of the examples of each group: those to train on, and those held out."""

    train: tuple[NDArray[np.int64], ...]
    validation: tuple[NDArray[np.int64], ...]


def split_examples(examples: TokenizedExamples, *, num_validation: int, seed: int) -> Split:
    """Holds out `num_validation` random examples of each group, at most a twentieth of it."""
    train, validation = [], []
    for group in range(len(examples.group_names)):
        members = np.flatnonzero(examples.groups == group)
        generator = np.random.default_rng([seed, group, 1])
        held_out = generator.permutation(members)[: min(num_validation, len(members) // 20)]
        validation.append(np.sort(held_out))
        train.append(np.setdiff1d(members, held_out))
    return Split(tuple(train), tuple(validation))


def group_probs(
    examples: TokenizedExamples, *, smoothing_exponent: float, tlm_share: float | None
) -> NDArray[np.float64]:
    """Returns the probability (G,) of each group: objective first, then smoothed languages."""
    tokens = dict(zip(examples.group_names, examples.group_tokens.tolist(), strict=True))
    mlm = {name: n for name, n in tokens.items() if name.startswith("mlm ")}
    tlm = {name: n for name, n in tokens.items() if name.startswith("tlm ")}
    share = 0.5 if tlm_share is None else tlm_share
    probs: dict[str, float] = {}
    for counts, of_all in ((mlm, 1 - share if tlm else 1.0), (tlm, share if mlm else 1.0)):
        if counts:
            smoothed = smoothed_shares(counts, smoothing_exponent)
            probs |= {name: of_all * value for name, value in smoothed.items()}
    return np.array([probs[name] for name in examples.group_names])


class ExampleOrder:
    """Draws batches: groups by their probability, and each example of a group once an epoch.

    A plan of 65,536 slots, repeated for ever, says which group a draw belongs to, so the number of
    draws from a group before any step is known without counting them; a permutation that is
    computed, not stored, turns that number into an example.

    Args:
        groups: numbers of the examples of each group; an empty one is never drawn.
        probs: (G,) probabilities of the groups.
        seed: seed of the plan and of the permutations.
    """

    def __init__(
        self,
        groups: Sequence[NDArray[np.int64]],
        probs: NDArray[np.float64],
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        self.batch_size = batch_size
        self._seed = seed
        self._members = np.concatenate(groups)
        self._sizes = np.array([len(group) for group in groups])
        self._starts = np.cumsum(self._sizes) - self._sizes

        self._slots = _divide_slots(probs * (self._sizes > 0), _PLAN_SLOTS)
        plan = np.repeat(np.arange(len(groups)), self._slots)
        self._plan = np.random.default_rng([seed, 2]).permutation(plan)
        by_group = np.argsort(self._plan, kind="stable")
        self._ranks = np.empty(_PLAN_SLOTS, np.int64)  # Earlier slots of the same group.
        self._ranks[by_group] = np.arange(_PLAN_SLOTS) - np.repeat(
            np.cumsum(self._slots) - self._slots, self._slots
        )

    def batch(self, step: int) -> NDArray[np.int64]:
        """Returns the (B,) example numbers of update `step`, from 0."""
        draws = step * self.batch_size + np.arange(self.batch_size)
        rounds, slots = np.divmod(draws, _PLAN_SLOTS)
        groups = self._plan[slots]
        numbers = rounds * self._slots[groups] + self._ranks[slots]
        epochs, places = np.divmod(numbers, self._sizes[groups])
        keys = _mix(_mix(_mix(np.uint64(self._seed) + _u64(groups)) + _u64(epochs)))
        shuffled = permute(places, self._sizes[groups], keys)
        batch: NDArray[np.int64] = self._members[self._starts[groups] + shuffled]
        return batch


def permute(
    places: NDArray[np.int64], sizes: NDArray[np.int64], keys: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """Maps each place in [0, size) to another, one-to-one for each size and key.

    A Feistel network over the next power of 4, walked until it is back inside the range.
    Source: Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002 (cycle walking).
    """
    half_bits = _u64(np.maximum(1, np.ceil(np.log2(np.maximum(sizes, 2)) / 2)))
    low = (np.uint64(1) << half_bits) - np.uint64(1)
    result = places.copy()
    todo = np.arange(len(places))
    while len(todo):
        left = _u64(result[todo]) >> half_bits[todo]
        right = _u64(result[todo]) & low[todo]
        for number in range(_NUM_ROUNDS):
            mixed = _mix(right + keys[todo] + np.uint64(number << 40))
            left, right = right, left ^ (mixed & low[todo])
        result[todo] = ((left << half_bits[todo]) | right).astype(np.int64)
        todo = todo[result[todo] >= sizes[todo]]
    return result


def _divide_slots(weights: NDArray[np.float64], num_slots: int) -> NDArray[np.int64]:
    """Returns slots by weight, by largest remainder; each weight above 0 has at least one."""
    exact = weights / weights.sum() * num_slots
    slots = np.where(weights > 0, np.maximum(1, np.floor(exact)), 0).astype(np.int64)
    missing = num_slots - int(slots.sum())
    if missing >= 0:
        slots[np.argsort(slots - exact, kind="stable")[:missing]] += 1
    else:
        slots[np.argmax(slots)] += missing
    return slots


def _u64(values: NDArray[np.integer] | NDArray[np.float64]) -> NDArray[np.uint64]:
    return values.astype(np.uint64)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood 2014): one step and its finaliser."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
