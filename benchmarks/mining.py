"""Mining beside its peers: the double loop of LASER, and sentence-transformers' bitext example.

score: margin scores of given candidates. The peer is the published algorithm as two plain loops,
    a score for each of the k neighbours of each row.
mine: pairs from vectors. The peer searches with faiss IndexFlatIP in both directions, scores both
    lists by ratio, and goes greedily from the best pair down; our --retrieval max.

    python benchmarks/mining.py score --rows 25000
    python benchmarks/mining.py mine --rows 20000
"""

import argparse
import json
import time
import warnings

import numpy as np
from knn import make_rows as make_aligned_rows
from numpy.typing import NDArray

from labse.mining.bitext import mine_bitext
from labse.mining.margin import margin_scores

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import faiss

K = 4


def make_rows(num_rows: int, dimensions: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    source, target = make_aligned_rows(num_rows, dimensions)
    return source, target[np.random.default_rng(1).permutation(num_rows)]


def search(
    queries: NDArray[np.float32], corpus: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    index = faiss.IndexFlatIP(corpus.shape[1])
    index.add(corpus)
    similarities, neighbours = index.search(queries, K)
    return similarities, neighbours


def score_in_loops(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    neighbours: NDArray[np.int64],
    means: NDArray[np.floating],
    other_means: NDArray[np.floating],
) -> NDArray[np.float64]:
    """A score for each row and each of its neighbours, one dot product at a time."""
    scores = np.zeros(neighbours.shape)
    for row in range(len(source)):
        for place in range(neighbours.shape[1]):
            other = neighbours[row, place]
            cosine = source[row].dot(target[other])
            scores[row, place] = cosine / ((means[row] + other_means[other]) / 2)
    return scores


def mine_greedily(
    source: NDArray[np.float32], target: NDArray[np.float32]
) -> list[tuple[int, int]]:
    """The peer's way: both searches, both score lists, all candidates sorted, first come."""
    forward_similarities, forward = search(source, target)
    backward_similarities, backward = search(target, source)
    means, other_means = forward_similarities.mean(axis=1), backward_similarities.mean(axis=1)
    forward_scores = score_in_loops(source, target, forward, means, other_means)
    backward_scores = score_in_loops(target, source, backward, other_means, means)
    forward_best = forward[np.arange(len(source)), forward_scores.argmax(axis=1)]
    backward_best = backward[np.arange(len(target)), backward_scores.argmax(axis=1)]
    pairs = np.concatenate([
        np.stack([np.arange(len(source)), forward_best], axis=1),
        np.stack([backward_best, np.arange(len(target))], axis=1),
    ])  # fmt: skip
    scores = np.concatenate([forward_scores.max(axis=1), backward_scores.max(axis=1)])
    seen_source, seen_target = set(), set()
    found = []
    for position in np.argsort(-scores):
        row, other = (int(number) for number in pairs[position])
        if row not in seen_source and other not in seen_target:
            seen_source.add(row)
            seen_target.add(other)
            found.append((row, other))
    return found


def compare_scores(num_rows: int, dimensions: int) -> None:
    source, target = make_rows(num_rows, dimensions)
    # Any neighbours do, for the time: those of a search are not needed.
    neighbours = np.random.default_rng(1).integers(0, num_rows, (num_rows, K))
    similarities = np.einsum("nd,nkd->nk", source, target[neighbours])
    means = np.random.default_rng(2).uniform(0.1, 0.2, num_rows)
    other_means = np.random.default_rng(3).uniform(0.1, 0.2, num_rows)
    started = time.process_time()
    expected = score_in_loops(source, target, neighbours, means, other_means)
    loop_seconds = time.process_time() - started
    started = time.process_time()
    scores = margin_scores(similarities, means[:, None], other_means[neighbours], "ratio")
    seconds = time.process_time() - started
    record = {"candidates": scores.size, "loop_cpu_seconds": round(loop_seconds, 4),
              "labse_cpu_seconds": round(seconds, 5), "ratio": round(loop_seconds / seconds, 1),
              "largest_difference": float(np.abs(scores - expected).max())}  # fmt: skip
    print(json.dumps(record))


def compare_mining(num_rows: int, dimensions: int) -> None:
    source, target = make_rows(num_rows, dimensions)
    wall, cpu = time.perf_counter(), time.process_time()
    theirs = mine_greedily(source, target)
    their_wall, their_cpu = time.perf_counter() - wall, time.process_time() - cpu
    wall, cpu = time.perf_counter(), time.process_time()
    mined = mine_bitext(source, target, k=K, retrieval="max")
    our_wall, our_cpu = time.perf_counter() - wall, time.process_time() - cpu
    ours = {(pair.source_index, pair.target_index) for pair in mined}
    record = {"rows": num_rows, "peer_wall_seconds": round(their_wall, 2),
              "labse_wall_seconds": round(our_wall, 2),
              "wall_ratio": round(their_wall / our_wall, 2),
              "peer_cpu_seconds": round(their_cpu, 2), "labse_cpu_seconds": round(our_cpu, 2),
              "cpu_ratio": round(their_cpu / our_cpu, 2), "pairs": len(ours),
              "same_pairs": len(ours & set(theirs))}  # fmt: skip
    print(json.dumps(record))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["score", "mine"])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dimensions", type=int, default=768)
    options = parser.parse_args()
    run = compare_scores if options.step == "score" else compare_mining
    run(options.rows, options.dimensions)


if __name__ == "__main__":
    main()
