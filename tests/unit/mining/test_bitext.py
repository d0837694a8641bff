import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from labse.errors import LabseError
from labse.mining.bitext import (
    MinedPair,
    MinedSentencePair,
    Retrieval,
    mine_bitext,
    mine_sentences,
    unify_lines,
)

RETRIEVALS: tuple[Retrieval, ...] = ("forward", "backward", "intersect", "max")


def random_rows(num_rows: int, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    # Positive parts: all cosines, and so all ratios, are defined.
    return np.abs(rng.standard_normal((num_rows, 8), dtype=np.float32))


def indices(pairs: Sequence[MinedPair]) -> list[tuple[int, int]]:
    return [(pair.source_index, pair.target_index) for pair in pairs]


class TableEncoder:
    """Embeds by a table and remembers what it was asked."""

    def __init__(self, table: Mapping[str, Sequence[float]]) -> None:
        self.table = table
        self.calls: list[list[str]] = []

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        self.calls.append(list(sentences))
        return np.array([self.table[sentence] for sentence in sentences], dtype=np.float32)


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


def test_unify_lines_counts_what_it_leaves_out() -> None:
    unified = unify_lines(["a", "", "b", "a", " \t\u3000", "a"])
    assert unified.sentences == ["a", "b"]
    assert unified.indices == [0, 2]
    assert (unified.num_blank, unified.num_repeated) == (2, 2)


def test_sentences_are_unified_before_the_search_and_report_their_first_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    encoder = TableEncoder({"Hund": [1, 0.1], "Katze": [0.1, 1], "dog": [1, 0.2], "cat": [0.2, 1]})
    source = ["", "Katze", "Hund", "Katze", "Katze"]
    target = ["dog", " ", "dog", "cat"]
    with caplog.at_level(logging.INFO, "labse.mining"):
        mined = mine_sentences(encoder, source, target)
    assert mined == [
        MinedSentencePair(mined[0].margin_score, "Katze", "cat", 1, 3),
        MinedSentencePair(mined[1].margin_score, "Hund", "dog", 2, 0),
    ]
    assert encoder.calls == [["Katze", "Hund"], ["dog", "cat"]]
    assert caplog.messages[:2] == [
        "source: 5 lines, 1 blank left out, 2 repeated left out",
        "target: 4 lines, 1 blank left out, 1 repeated left out",
    ]


@pytest.mark.parametrize(("source", "target"), [([], ["a"]), (["a"], []), (["", " "], ["a"])])
def test_nothing_is_mined_or_encoded_where_a_side_has_no_text(
    source: list[str], target: list[str]
) -> None:
    encoder = TableEncoder({})
    assert mine_sentences(encoder, source, target) == []
    assert encoder.calls == []


def test_wrong_options_are_refused_before_anything_is_encoded() -> None:
    encoder = TableEncoder({"a": [1, 0]})
    with pytest.raises(ValueError, match="k must be at least 1"):
        mine_sentences(encoder, ["a"], ["a"], k=0)
    assert encoder.calls == []


def test_an_encoder_that_changes_its_width_is_refused() -> None:
    encoder = TableEncoder({"a": [1, 0], "b": [1, 0, 0]})
    with pytest.raises(LabseError, match="2 dimensions for the source and 3 for the target"):
        mine_sentences(encoder, ["a"], ["b"])


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


@settings(max_examples=150, deadline=None)
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
    mine_bitext(random_rows(4), random_rows(9, seed=1), k=3)
    assert caplog.text == ""
