"""Pairs that are held out of training, and what they say of a model.

Takes: tokenised pairs. Gives: those not to train on, and P@1 among them.
Source: P@1 as in the paper, section 4.1; the sign test of Conover 1999, section 3.4.

Dimensions: P pairs, H of them held out, N distinct sentences, D embedding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from labse.dual_encoder.data.numbering import stored_keys
from labse.dual_encoder.data.pairs import TokenizedPairs
from labse.errors import UsageError

__all__ = [
    "RunQuality",
    "choose_held_out",
    "describe_quality",
    "find_hits",
    "is_by_chance",
    "scored_pairs",
]

_MIX = np.uint64(0x9E3779B97F4A7C15)  # Odd, of no pattern.
_MAX_SCORED = 10_000
_BLOCK_ROWS = 1024
_MANY = 1000  # The sign test is near the normal distribution.


@dataclass(frozen=True, slots=True)
class RunQuality:
    """Whether a trained model is better than the one that it was started from.

    Attributes:
        num_held_out: pairs that were not trained on and are scored.
        p_at_1_before: of the model at the start among them, mean of both directions; None without
            a start or without such pairs.
        p_at_1: of the trained model.
        verdict: `better`, `worse` or `same`; None where there is nothing to compare.
        is_by_chance: whether so few sentences changed sides that chance may have done it.
        other_langs: P@1 before and after of languages that were not trained on, in the sample
            that comes with labse.
        lost_langs: those of them that lost more than `max_loss`.
        max_loss: see `lost_langs`.
    """

    num_held_out: int
    p_at_1_before: float | None
    p_at_1: float | None
    verdict: str | None
    is_by_chance: bool
    other_langs: dict[str, tuple[float, float]]
    lost_langs: list[str]
    max_loss: float


def choose_held_out(pairs: TokenizedPairs, amount: float | None) -> NDArray[np.int64]:
    """Returns (H,) pairs that are not trained on, in their order.

    Sources are taken by the hash of their pieces, each with all of its pairs, so that equal pairs
    agree, and a run that goes on finds the same. A source of more pairs than all that are asked
    for stays in training.

    Args:
        pairs: all pairs.
        amount: below 1 a share of the pairs, else their number; None and 0: none.

    Raises:
        UsageError: fewer than two pairs are left to train on.
    """
    if not amount:
        return np.empty(0, np.int64)
    num_pairs = len(pairs.pairs)
    wanted = max(1, round(amount * num_pairs) if amount < 1 else round(amount))
    sources = np.asarray(pairs.pairs[:, 0])
    keys = stored_keys(pairs.input_ids, pairs.offsets)
    mixed = (keys ^ (keys >> np.uint64(31))) * _MIX

    # Whole sources in the order of their hashes, until there are enough pairs.
    _, numbers, counts = np.unique(mixed[sources], return_inverse=True, return_counts=True)
    counts = np.where(counts > wanted, 0, counts)
    num_before = np.cumsum(counts) - counts
    is_taken = (counts > 0) & (num_before < wanted)
    held_out = np.flatnonzero(is_taken[numbers])
    if num_pairs - len(held_out) < 2:
        raise UsageError(
            f"data.held_out: {len(held_out):,} of {num_pairs:,} pairs would be held out, which "
            "leaves none to train on; lower it, or 0 holds none out"
        )
    return held_out.astype(np.int64)


def scored_pairs(pairs: TokenizedPairs, held_out: NDArray[np.int64]) -> NDArray[np.int32]:
    """Returns (H, 2) sentence numbers of the pairs that are scored, 10,000 at most."""
    step = max(1, -(-len(held_out) // _MAX_SCORED))
    return np.asarray(pairs.pairs[held_out[::step]])


def find_hits(
    numbers: NDArray[np.int32], sources: NDArray[np.float32], targets: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Returns (2 * H,) whether the nearest of the other side translates each source, each target.

    What any of the pairs names as a translation is right.

    Args:
        numbers: (H, 2) equal for equal sentences.
        sources, targets: (H, D) unit rows.
    """
    codes = numbers.astype(np.int64) @ np.array([1 << 32, 1])
    nearest = np.concatenate(list(_iter_nearest(sources, targets)))
    forward = (numbers[:, 0].astype(np.int64) << 32) + numbers[nearest, 1]
    nearest = np.concatenate(list(_iter_nearest(targets, sources)))
    backward = (numbers[nearest, 0].astype(np.int64) << 32) + numbers[:, 1]
    return np.isin(np.concatenate([forward, backward]), codes)


def _iter_nearest(
    queries: NDArray[np.float32], corpus: NDArray[np.float32]
) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(queries), _BLOCK_ROWS):
        yield (queries[start : start + _BLOCK_ROWS] @ corpus.T).argmax(axis=1)


def is_by_chance(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> bool:
    """Says whether as uneven a change comes by chance in one of twenty cases (sign test)."""
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    changed = gained + lost
    if changed > _MANY:
        return bool(abs(gained - lost) <= 1.96 * changed**0.5)
    tail = sum(comb(changed, number) for number in range(min(gained, lost) + 1))
    return bool(2 * tail / 2**changed > 0.05)


def describe_quality(quality: RunQuality) -> list[str]:
    """Returns the lines that tell a person whether the model is better."""
    lines = []
    after, before = quality.p_at_1, quality.p_at_1_before
    if after is None:
        lines.append(
            "no pairs were held out, so nothing says whether the model is better: tune on 200 "
            "pairs or more, or give --held-out N"
        )
    elif before is None:
        lines.append(f"held out: {quality.num_held_out:,} pairs, P@1 {after:.1%}")
    else:
        verdict = "the same" if quality.verdict == "same" else str(quality.verdict)
        if quality.is_by_chance and quality.verdict != "same":
            verdict += " (so few changed that it may be chance)"
        lines.append(
            f"held out: {quality.num_held_out:,} pairs, P@1 {before:.1%} before, {after:.1%} now: "
            f"{verdict}"
        )
    if quality.other_langs:
        means = np.mean(list(quality.other_langs.values()), axis=0)
        lines.append(
            f"other languages: {len(quality.other_langs)} in a sample of 32 sentences each, P@1 "
            f"{means[0]:.1%} before, {means[1]:.1%} now"
        )
    if quality.lost_langs:
        told = (
            f"{lang} {quality.other_langs[lang][0]:.0%} to {quality.other_langs[lang][1]:.0%}"
            for lang in quality.lost_langs
        )
        lines.append(
            f"worse by more than {quality.max_loss:.0%}: {', '.join(told)}. If you need them, "
            "lower train.train_steps or train.embedding_lr, raise distill.weight, or add pairs of "
            "these languages"
        )
    return lines
