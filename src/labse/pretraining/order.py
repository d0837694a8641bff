"""Which examples a step has: a function of (seed, step), with no cursor to store.

Dimensions: B examples of a batch, G groups, M slots of the plan, N examples of a group.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.corpus.sampling import smoothed_shares
from labse.pretraining.examples import TokenizedExamples

__all__ = ["ExampleOrder", "Split", "group_probs", "permute", "split_examples"]

_PLAN_SLOTS = 1 << 16  # A group's share is exact to 1 in 65,536; the rarest gets one slot.
_NUM_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Split:
    """Example numbers by group: those to train on and those held out."""

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
    """Draws batches: groups by their probability, a group's examples each once an epoch.

    A plan of 65,536 slots, repeated for ever, says which group a draw belongs to, so the number of
    draws from a group before any step is known without counting them; a permutation that is
    computed, not stored, turns that number into an example.

    Args:
        groups: the examples of each group; an empty one is never drawn.
        probs: (G,) their probabilities.
        batch_size: B.
        seed: of plan and permutations.
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

        self._slots = _share_out(probs * (self._sizes > 0), _PLAN_SLOTS)
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
    """Maps each place in [0, size) to another; one-to-one for each size and key.

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


def _share_out(weights: NDArray[np.float64], num_slots: int) -> NDArray[np.int64]:
    """Gives out slots by weight, largest remainder, at least one to each weight above 0."""
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
