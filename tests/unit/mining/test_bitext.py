from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from labse.mining.bitext import (
    MinedPair,
    Retrieval,
    mine_bitext,
)

RETRIEVALS: tuple[Retrieval, ...] = ("forward", "backward", "intersect", "max")


def random_rows(num_rows: int, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    # Positive parts: all cosines, and so all ratios, are defined.
    return np.abs(rng.standard_normal((num_rows, 8), dtype=np.float32))


def indices(pairs: Sequence[MinedPair]) -> list[tuple[int, int]]:
    return [(pair.source_index, pair.target_index) for pair in pairs]


@pytest.mark.parametrize("retrieval", RETRIEVALS)
def test_a_shuffled_copy_is_mined_back(retrieval: Retrieval) -> None:
    source = random_rows(30)
    order = np.random.default_rng(1).permutation(30)
    mined = mine_bitext(source, source[order], retrieval=retrieval)
    assert sorted(indices(mined)) == sorted((row, i) for i, row in enumerate(order.tolist()))


def test_the_winner_by_margin_need_not_be_the_nearest() -> None:
    # Target 0 is a hub, near every source; target 1 is near source 0 alone. By hand, k = 2:
    # source 0 has cosines .8 and .6, the hub .8 (with both others 1.0), target 1 .6 and 0.
    source = np.array([[0.8, 0.6, 0], [1, 0, 0], [1, 0, 0]], dtype=np.float32)
    target = np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32)
    by_cosine = mine_bitext(source, target, k=2, margin="absolute", retrieval="forward")
    assert MinedPair(0, 0, pytest.approx(0.8)) in by_cosine
    by_ratio = mine_bitext(source, target, k=2, margin="ratio", retrieval="forward")
    # Mean of (.8 + .6) / 2 and (.6 + 0) / 2 is .5: .6 / .5 = 1.2, against .8 / .85 for the hub.
    assert by_ratio[0] == MinedPair(1, 0, pytest.approx(1 / 0.75))
    assert MinedPair(0, 1, pytest.approx(1.2)) in by_ratio


def test_one_line_each_scores_one() -> None:
    assert mine_bitext(random_rows(1), random_rows(1, seed=1)) == [
        MinedPair(0, 0, pytest.approx(1.0))
    ]


@pytest.mark.parametrize("retrieval", RETRIEVALS)
@pytest.mark.parametrize("sizes", [(0, 0), (0, 3), (3, 0), (1, 3), (3, 1), (3, 3)])
def test_tiny_corpora_are_mined_with_k_above_their_size(
    sizes: tuple[int, int], retrieval: Retrieval
) -> None:
    mined = mine_bitext(
        random_rows(sizes[0]), random_rows(sizes[1], seed=1), k=100, retrieval=retrieval
    )
    assert len(mined) <= max(sizes) * min(1, *sizes)
    assert bool(mined) == (0 not in sizes)


def test_of_many_copies_only_the_first_pair_is_mutual() -> None:
    copies = np.repeat(random_rows(1), 500, axis=0)
    assert indices(mine_bitext(copies, copies)) == [(0, 0)]
    forward = mine_bitext(copies, copies, retrieval="forward")
    assert indices(forward) == [(source, 0) for source in range(500)]


@pytest.mark.parametrize("retrieval", RETRIEVALS)
def test_min_score_applies_to_every_retrieval_and_is_inclusive(retrieval: Retrieval) -> None:
    source, target = random_rows(40), random_rows(50, seed=1)
    everything = mine_bitext(source, target, retrieval=retrieval)
    bound = everything[len(everything) // 2].margin_score
    kept = mine_bitext(source, target, retrieval=retrieval, min_score=bound)
    assert kept == [pair for pair in everything if pair.margin_score >= bound]
    assert kept[-1].margin_score == bound


@pytest.mark.parametrize("retrieval", RETRIEVALS)
def test_pairs_come_best_first_then_by_source_then_by_target(retrieval: Retrieval) -> None:
    rows = np.eye(8, dtype=np.float32)[[0, 1, 2, 3, 0, 1]] + 0.1
    mined = mine_bitext(rows, rows[::-1], retrieval=retrieval)
    keys = [(-pair.margin_score, pair.source_index, pair.target_index) for pair in mined]
    assert keys == sorted(keys)


def test_max_uses_each_sentence_once_and_holds_every_mutual_pair() -> None:
    source, target = random_rows(60), random_rows(40, seed=1)
    greedy = indices(mine_bitext(source, target, retrieval="max"))
    assert len({i for i, _ in greedy}) == len({j for _, j in greedy}) == len(greedy)
    assert set(indices(mine_bitext(source, target))) <= set(greedy)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5), st.randoms())
def test_scores_move_with_the_rows(num_source: int, num_target: int, k: int, random) -> None:  # noqa: ANN001
    source, target = random_rows(num_source), random_rows(num_target, seed=1)
    order = list(range(num_source))
    random.shuffle(order)
    mined = mine_bitext(source, target, k=k)
    moved = mine_bitext(source[order], target, k=k)
    assert {(order[pair.source_index], pair.target_index, pair.margin_score) for pair in moved} == {
        (pair.source_index, pair.target_index, pair.margin_score) for pair in mined
    }


def test_changing_sides_swaps_the_pairs() -> None:
    source, target = random_rows(20), random_rows(30, seed=1)
    there = mine_bitext(source, target, retrieval="forward")
    back = mine_bitext(target, source, retrieval="backward")
    assert {(p.source_index, p.target_index, p.margin_score) for p in there} == {
        (p.target_index, p.source_index, p.margin_score) for p in back
    }


def test_a_pair_without_a_ratio_is_not_mined() -> None:
    source = np.array([[1, 0]], dtype=np.float32)
    assert mine_bitext(source, -source) == []
    assert mine_bitext(source, -source, margin="absolute") == [MinedPair(0, 0, -1.0)]


def test_embeddings_are_not_changed() -> None:
    source, target = random_rows(9), random_rows(9, seed=1).astype(np.float16)
    copies = source.copy(), target.copy()
    mine_bitext(source, target)
    assert (source == copies[0]).all()
    assert (target == copies[1]).all()


def test_unknown_options_are_refused_even_for_empty_corpora() -> None:
    empty = random_rows(0)
    with pytest.raises(ValueError, match="forward, backward, intersect, max, not 'mean'"):
        mine_bitext(empty, empty, retrieval="mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="margin must be one of"):
        mine_bitext(empty, empty, margin="cosine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="min_score"):
        mine_bitext(empty, empty, min_score=float("nan"))


def loop_reference(
    source: NDArray, target: NDArray, k: int, margin: str, retrieval: str
) -> list[tuple[int, int, float]]:
    """Artetxe and Schwenk's formulas, pair by pair; every arithmetic step in float64."""
    num_source, num_target = len(source), len(target)
    cosines = [
        [
            float(np.float32(np.dot(x, y) / np.sqrt(np.dot(x, x) * np.dot(y, y))))
            for y in target.astype(np.float64)
        ]
        for x in source.astype(np.float64)
    ]
    near_targets = [
        sorted(range(num_target), key=lambda j, i=i: (-cosines[i][j], j))[:k]
        for i in range(num_source)
    ]
    near_sources = [
        sorted(range(num_source), key=lambda i, j=j: (-cosines[i][j], i))[:k]
        for j in range(num_target)
    ]

    def score(i: int, j: int) -> float:
        to_targets = sum(cosines[i][z] for z in near_targets[i]) / len(near_targets[i])
        to_sources = sum(cosines[z][j] for z in near_sources[j]) / len(near_sources[j])
        mean = (to_targets + to_sources) / 2
        if margin == "absolute":
            return float(np.float32(cosines[i][j]))
        if margin == "distance":
            return float(np.float32(cosines[i][j] - mean))
        return float(np.float32(cosines[i][j] / mean)) if mean > 0 else -np.inf

    forward = [
        (i, min(near_targets[i], key=lambda j: (-score(i, j), j))) for i in range(num_source)
    ]
    backward = [
        (min(near_sources[j], key=lambda i: (-score(i, j), i)), j) for j in range(num_target)
    ]
    if retrieval == "forward":
        pairs = forward
    elif retrieval == "backward":
        pairs = backward
    elif retrieval == "intersect":
        pairs = [pair for pair in forward if pair in backward]
    else:
        pairs = sorted({*forward, *backward})
    scored = [(i, j, score(i, j)) for i, j in pairs if np.isfinite(score(i, j))]
    scored.sort(key=lambda pair: (-pair[2], pair[0], pair[1]))
    if retrieval != "max":
        return scored
    free: list[tuple[int, int, float]] = []
    for i, j, value in scored:
        if all(i != other[0] and j != other[1] for other in free):
            free.append((i, j, value))
    return free


small_vectors = st.lists(st.tuples(*[st.integers(-3, 3)] * 3).filter(any), min_size=1, max_size=9)


@settings(max_examples=30, deadline=None)
@given(
    small_vectors,
    small_vectors,
    st.integers(1, 6),
    st.sampled_from(["ratio", "distance", "absolute"]),
    st.sampled_from(RETRIEVALS),
)
def test_mining_equals_a_double_loop(
    source: list, target: list, k: int, margin: str, retrieval: Retrieval
) -> None:
    left, right = np.array(source, np.float32), np.array(target, np.float32)
    mined = mine_bitext(left, right, k=k, margin=margin, retrieval=retrieval)  # type: ignore[arg-type]
    found = [(pair.source_index, pair.target_index, pair.margin_score) for pair in mined]
    expected = loop_reference(left, right, k, margin, retrieval)
    assert found == expected


@pytest.mark.parametrize(("bound", "is_kept"), [(1e47, False), (-1e47, True), (1e308, False)])
@pytest.mark.parametrize("retrieval", RETRIEVALS)
def test_a_bound_beyond_float32_keeps_its_meaning(
    bound: float, is_kept: bool, retrieval: Retrieval
) -> None:
    rows = random_rows(5)
    assert bool(mine_bitext(rows, rows, min_score=bound, retrieval=retrieval)) is is_kept


def test_a_corpus_no_larger_than_k_is_told(caplog: pytest.LogCaptureFixture) -> None:
    mine_bitext(random_rows(3), random_rows(9, seed=1), k=3)
    assert "k is 3, but one side has only 3 sentences" in caplog.text
    caplog.clear()
    mine_bitext(random_rows(6), random_rows(9, seed=1), k=3)
    assert "k is 3, and one side has only 6 sentences" in caplog.text
    caplog.clear()
    mine_bitext(random_rows(7), random_rows(9, seed=1), k=3)
    assert caplog.text == ""
