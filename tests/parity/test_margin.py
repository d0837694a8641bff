"""Mining against a double loop written from Artetxe & Schwenk 2019 (arXiv 1811.01136), section 3.

Cosines and scores are rounded to float32, as ours are, so that ties are ties in both.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.mining.bitext import Retrieval, mine_bitext
from labse.mining.margin import Margin

Row = tuple[int, ...]
Scored = dict[tuple[int, int], float]


def cosine(x: Row, y: Row) -> float:
    dot = sum(a * b for a, b in zip(x, y, strict=True))
    return float(np.float32(dot / (math.hypot(*x) * math.hypot(*y))))


def nearest(row: Row, others: list[Row], k: int) -> list[int]:
    return sorted(range(len(others)), key=lambda other: (-cosine(row, others[other]), other))[:k]


def score(x: Row, y: Row, source: list[Row], target: list[Row], k: int, margin: Margin) -> float:
    forward = [cosine(x, target[z]) for z in nearest(x, target, k)]
    backward = [cosine(y, source[z]) for z in nearest(y, source, k)]
    mean = math.fsum(forward) / (2 * len(forward)) + math.fsum(backward) / (2 * len(backward))
    a = cosine(x, y)
    if margin == "ratio":
        value = a / mean if mean > 0 else -math.inf
    else:
        value = a - mean if margin == "distance" else a
    return float(np.float32(value))


def candidates(
    source: list[Row], target: list[Row], k: int, margin: Margin
) -> tuple[Scored, Scored]:
    """Returns the best pair of each source and of each target among its k neighbours."""
    forward: Scored = {}
    for i, x in enumerate(source):
        scored = {j: score(x, target[j], source, target, k, margin) for j in nearest(x, target, k)}
        j = min(scored, key=lambda other: (-scored[other], other))
        forward[i, j] = scored[j]
    backward: Scored = {}
    for j, y in enumerate(target):
        scored = {i: score(source[i], y, source, target, k, margin) for i in nearest(y, source, k)}
        i = min(scored, key=lambda other: (-scored[other], other))
        backward[i, j] = scored[i]
    return forward, backward


def double_loop(
    source: list[Row], target: list[Row], k: int, margin: Margin, retrieval: Retrieval
) -> list[tuple[int, int, float]]:
    forward, backward = candidates(source, target, k, margin)
    if retrieval == "intersect":
        chosen = {pair: forward[pair] for pair in forward if pair in backward}
    else:
        chosen = {"forward": forward, "backward": backward, "max": {**forward, **backward}}[
            retrieval
        ]
    ranked = sorted((-value, i, j) for (i, j), value in chosen.items() if value > -math.inf)
    pairs = [(i, j, -value) for value, i, j in ranked]
    if retrieval != "max":
        return pairs
    free: list[tuple[int, int, float]] = []
    for i, j, value in pairs:
        if all(i != other_i and j != other_j for other_i, other_j, _ in free):
            free.append((i, j, value))
    return free


rows = st.lists(st.tuples(*[st.integers(-3, 9)] * 4).filter(any), min_size=1, max_size=9)


@pytest.mark.parametrize("retrieval", ["forward", "backward", "intersect", "max"])
@pytest.mark.parametrize("margin", ["ratio", "distance", "absolute"])
@settings(max_examples=30, deadline=None)
@given(source=rows, target=rows, k=st.integers(1, 10))
def test_mining_equals_the_double_loop(
    source: list[Row], target: list[Row], k: int, margin: Margin, retrieval: Retrieval
) -> None:
    mined = mine_bitext(
        np.array(source, dtype=np.float32),
        np.array(target, dtype=np.float32),
        k=k,
        margin=margin,
        retrieval=retrieval,
    )
    expected = double_loop(source, target, k, margin, retrieval)
    assert [(pair.source_index, pair.target_index) for pair in mined] == [
        (i, j) for i, j, _ in expected
    ]
    # One rounding to float32 apart at most: the loop sums in another order.
    assert [pair.margin_score for pair in mined] == pytest.approx(
        [value for _, _, value in expected], rel=2e-7, abs=1e-7
    )
