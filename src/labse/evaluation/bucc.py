"""BUCC: find the translations hidden in two corpora, and leave the rest alone.

Takes: an encoder and splits with gold pairs. Gives: precision, recall and F1, forward and
backward, by cosine and by margin, with a threshold tuned on other sentences than it is tested on;
and a report with the paper's numbers beside ours.
Source: Zweigenbaum et al. 2017 (W17-2512); Feng et al. 2020 (arXiv 2007.01852), whose numbers are
cosine with the best threshold of the training split itself; Artetxe & Schwenk 2019 (arXiv
1811.01136), margin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from labse.encoder.protocol import Encoder
from labse.evaluation.bucc_files import BuccSplit
from labse.evaluation.embedded import embed_distinct
from labse.evaluation.pictures import Bar
from labse.evaluation.report import Report, Score, Table, build_signature, format_percent
from labse.evaluation.significance import Sample, build_sample
from labse.mining.margin import Margin, best_neighbours
from labse.search.knn import mutual_neighbours

__all__ = [
    "PAPER_BUCC_F1",
    "BuccScore",
    "Candidates",
    "best_threshold",
    "build_bucc_report",
    "evaluate_bucc",
    "find_candidates",
]

Retrieval: TypeAlias = Literal["forward", "backward", "intersect"]
Similarity: TypeAlias = Literal["cosine", "ratio"]
Tuning: TypeAlias = Literal["training", "folds", "oracle"]

PAPER_BUCC_F1: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "fr-en": MappingProxyType({"forward": 0.887, "backward": 0.878}),
        "de-en": MappingProxyType({"forward": 0.925, "backward": 0.920}),
        "ru-en": MappingProxyType({"forward": 0.889, "backward": 0.884}),
        "zh-en": MappingProxyType({"forward": 0.889, "backward": 0.890}),
    }
)
"""F1 of LaBSE on the training split, by cosine with the best threshold of that split."""

_K = 4  # Artetxe & Schwenk 2019 (arXiv 1811.01136), section 4.


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """For each sentence that asks, the one it finds.

    Attributes:
        source: (C,) source numbers.
        target: (C,) target numbers.
        queries: (C,) which of the two asks.
        scores: (C,) float32.
        is_gold: (C,) the pair is a translation.
        gold_queries: (G,) the asking side of all gold pairs, found or not.
    """

    num_queries: int
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    queries: NDArray[np.int64]
    scores: NDArray[np.float32]
    is_gold: NDArray[np.bool_]
    gold_queries: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BuccScore:
    """One row: how candidates were found and scored, and where the threshold comes from.

    `tuning` is "training" (the threshold of the training split), "folds" (each half of the
    sentences with the threshold of the other half) or "oracle" (the best one of the tested
    sentences themselves: an upper bound, and the paper's protocol on the training split).
    """

    lang_pair: str
    split: str
    retrieval: Retrieval
    similarity: Similarity
    tuning: Tuning
    threshold: float
    precision: float
    recall: float
    f1: float
    signature: str
    sample: Sample


def evaluate_bucc(
    encoder: Encoder,
    training: BuccSplit,
    test: BuccSplit | None,
    *,
    block_rows: int = 2048,
    memory_bytes: int | None = None,
) -> list[BuccScore]:
    """Scores forward (source asks), backward (target asks) and intersect (both agree).

    Args:
        encoder: what is called with all distinct sentences of a split, once unless memory is
            bounded.
        training: the split that tunes the thresholds.
        test: the split that is scored with them; None scores each half of `training` with the
            threshold of the other half.
        block_rows: rows that bound the memory of the search, see `mutual_neighbours`.
        memory_bytes: bytes of vectors held at a time, see `embed_distinct`.

    Raises:
        LabseError: the encoder returned what is not one vector a sentence.
    """
    tuned = find_candidates(encoder, training, block_rows, memory_bytes)
    tested = tuned if test is None else find_candidates(encoder, test, block_rows, memory_bytes)
    scores = []
    for key, candidates in tested.items():
        reference = tuned[key]
        oracle = best_threshold(reference)
        rows = [(training, reference, "oracle", np.full(len(reference.scores), oracle))]
        if test is None:
            rows.insert(0, (training, reference, "folds", _fold_thresholds(reference)))
        else:
            rows.insert(0, (test, candidates, "training", np.full(len(candidates.scores), oracle)))
            own = np.full(len(candidates.scores), best_threshold(candidates))
            rows.append((test, candidates, "oracle", own))
        for split, found, tuning, thresholds in rows:
            scores.append(_score(encoder, split, key, found, tuning, thresholds))
    return scores


def find_candidates(
    encoder: Encoder, split: BuccSplit, block_rows: int = 2048, memory_bytes: int | None = None
) -> dict[tuple[Retrieval, Similarity], Candidates]:
    """Finds the candidates of a split in every way, with one search."""
    embedded = embed_distinct(encoder, (split.source, split.target), memory_bytes=memory_bytes)
    found = mutual_neighbours(
        embedded.select(split.source), embedded.select(split.target), _K, block_rows=block_rows
    )
    candidates: dict[tuple[Retrieval, Similarity], Candidates] = {}
    margins: dict[Similarity, Margin] = {"cosine": "absolute", "ratio": "ratio"}
    for similarity, margin in margins.items():
        forward, forward_scores = best_neighbours(found.forward, found.backward, margin)
        backward, backward_scores = best_neighbours(found.backward, found.forward, margin)
        sources, targets = np.arange(len(forward)), np.arange(len(backward))
        agree = np.flatnonzero(backward[forward] == sources)
        pairs = {
            "forward": (sources, forward, forward_scores),
            "backward": (backward, targets, backward_scores),
            "intersect": (agree, forward[agree], forward_scores[agree]),
        }
        for retrieval, (source, target, scores) in pairs.items():
            key: tuple[Retrieval, Similarity] = (retrieval, similarity)  # type: ignore[assignment]
            candidates[key] = _candidates(split, retrieval, source, target, scores)
    return candidates


def best_threshold(candidates: Candidates, chosen: NDArray[np.bool_] | None = None) -> float:
    """Returns the threshold of the highest F1, half-way to the next lower score.

    Only between different scores: candidates of equal score are taken or left together.

    Args:
        chosen: (num_queries,) the asking sentences that count; None takes all.
    """
    used = slice(None) if chosen is None else chosen[candidates.queries]
    gold = candidates.gold_queries
    num_gold = len(gold) if chosen is None else int(chosen[gold].sum())
    scores, is_gold = candidates.scores[used], candidates.is_gold[used]
    is_finite = np.isfinite(scores)
    scores, is_gold = scores[is_finite], is_gold[is_finite]
    if not is_gold.any():
        return float("inf")  # Nothing to find here: any candidate would be wrong.
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order].astype(np.float64)
    f1 = 2 * np.cumsum(is_gold[order]) / (np.arange(1, len(order) + 1) + num_gold)
    is_cut = np.append(ordered[1:] < ordered[:-1], True)
    best = int(np.argmax(np.where(is_cut, f1, -1.0)))
    following = ordered[best + 1] if best + 1 < len(ordered) else ordered[best]
    return float((ordered[best] + following) / 2)


def _candidates(
    split: BuccSplit,
    retrieval: str,
    source: NDArray[np.int64],
    target: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> Candidates:
    is_backward = retrieval == "backward"
    gold = np.array(sorted(split.gold), dtype=np.int64)
    keys = gold[:, 0] * len(split.target) + gold[:, 1]
    return Candidates(
        num_queries=len(split.target if is_backward else split.source),
        source=source,
        target=target,
        queries=target if is_backward else source,
        scores=scores,
        is_gold=np.isin(source * len(split.target) + target, keys),
        gold_queries=gold[:, 1 if is_backward else 0],
    )


def _fold_thresholds(candidates: Candidates) -> NDArray[np.float64]:
    """Returns for each candidate the threshold of the other half: odd rows tune even ones."""
    is_odd = np.arange(candidates.num_queries) % 2 == 1
    of_even, of_odd = best_threshold(candidates, is_odd), best_threshold(candidates, ~is_odd)
    return np.where(is_odd[candidates.queries], of_odd, of_even)


def _score(
    encoder: Encoder,
    split: BuccSplit,
    key: tuple[Retrieval, Similarity],
    candidates: Candidates,
    tuning: str,
    thresholds: NDArray[np.float64],
) -> BuccScore:
    retrieval, similarity = key
    kept = candidates.scores.astype(np.float64) >= thresholds
    counts = [
        np.bincount(queries, minlength=candidates.num_queries)
        for queries in (
            candidates.queries[kept & candidates.is_gold],
            candidates.queries[kept],
            candidates.gold_queries,
        )
    ]
    right, found, gold = (int(count.sum()) for count in counts)
    fields = {
        "data": "bucc",
        "lang_pair": split.lang_pair,
        "split": split.split,
        "retrieval": retrieval,
        "similarity": "cosine" if similarity == "cosine" else f"ratio-k{_K}",
        "threshold": tuning,
    }
    name = " ".join((split.lang_pair, split.split, *key, tuning))
    return BuccScore(
        lang_pair=split.lang_pair,
        split=split.split,
        retrieval=retrieval,
        similarity=similarity,
        tuning=tuning,  # type: ignore[arg-type]
        threshold=float(np.mean(thresholds)),
        precision=right / found if found else 0.0,
        recall=right / gold,
        f1=2 * right / (found + gold),
        signature=build_signature("bucc_f1", fields, encoder, norm="l2"),
        sample=build_sample(name, counts, (*split.source, *split.target), "f1"),
    )


# ---- for people ------------------------------------------------------------------------------

_TUNING = {"training": "training split", "folds": "other half", "oracle": "oracle"}
_DETAILS = (
    "lang_pair", "split", "retrieval", "similarity", "tuning", "threshold", "precision", "recall",
    "f1",
)  # fmt: skip
_NOTES = (
    "oracle: the threshold is the best one of the tested sentences themselves, an upper bound",
    "LaBSE: the paper's F1 is cosine with the oracle threshold of the training split, so it "
    "stands beside that row only; margin and a threshold tuned elsewhere are other protocols",
    "a sentence on several lines is one sentence; of equally near ones the first counts",
)


def build_bucc_report(scores: Sequence[BuccScore], num_lines: Sequence[str]) -> Report:
    """Returns one table; F1 of the paper where the protocol is the same.

    Args:
        num_lines: a note for each split: how many lines and gold pairs it has.
    """
    headers = ("pair", "split", "asks", "by", "threshold", "", "P", "R", "F1", "LaBSE")
    ordered = sorted(scores, key=lambda s: (s.lang_pair, s.split, s.tuning == "oracle"))
    bars = (
        Bar(f"{s.lang_pair} {s.retrieval} {s.similarity}", s.lang_pair.partition("-")[0], s.f1)
        for s in ordered
        if s.tuning != "oracle"
    )
    details = (
        {name: getattr(s, name) for name in _DETAILS} | {"paper_f1": _paper(s)} for s in ordered
    )
    return Report(
        data="bucc",
        metric="bucc_f1",
        scores=tuple(
            Score(score.sample.name, "bucc_f1", score.f1, score.signature, (score.sample.name,))
            for score in ordered
        ),
        tables=(Table("BUCC, percent", headers, tuple(map(_row, ordered)), num_names=5),),
        samples=tuple(score.sample for score in ordered),
        bars=tuple(bars),
        notes=(*num_lines, *_NOTES),
        details={"rows": list(details)},
    )


def _row(score: BuccScore) -> tuple[str, ...]:
    paper = _paper(score)
    return (
        score.lang_pair,
        score.split,
        {"forward": "source", "backward": "target", "intersect": "both"}[score.retrieval],
        "margin, k=4" if score.similarity == "ratio" else "cosine",
        _TUNING[score.tuning],
        f"{score.threshold:.3f}",
        format_percent(score.precision),
        format_percent(score.recall),
        format_percent(score.f1),
        "" if paper is None else format_percent(paper),
    )


def _paper(score: BuccScore) -> float | None:
    """Returns the paper's F1 where ours follows the same protocol."""
    is_same = (score.split, score.similarity, score.tuning) == ("training", "cosine", "oracle")
    return PAPER_BUCC_F1.get(score.lang_pair, {}).get(score.retrieval) if is_same else None
