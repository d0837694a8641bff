"""BUCC for people: rows by cosine and by margin side by side, and the paper's numbers.

Takes: the scores of `evaluate_bucc`. Gives: a report to show, write and compare.
Source: Feng et al. 2020 (arXiv 2007.01852), the table of BUCC.
"""

from collections.abc import Sequence

from labse.evaluation.bucc import PAPER_BUCC_F1, BuccScore
from labse.evaluation.pictures import Bar
from labse.evaluation.report import Report, Score, Table, format_percent

__all__ = ["build_bucc_report"]

_TUNING = {
    "training": "training split",
    "folds": "other half",
    "oracle": "oracle",
}
_NOTES = (
    "oracle: the threshold is the best one of the tested sentences themselves, an upper bound",
    "LaBSE: the paper's F1 is cosine with the oracle threshold of the training split, so it "
    "stands beside that row only; margin and a threshold tuned elsewhere are other protocols",
    "a sentence on several lines is one sentence; of equally near ones the first counts",
)


def build_bucc_report(scores: Sequence[BuccScore], num_lines: Sequence[str]) -> Report:
    """Returns one table; F1 of the paper where the protocol is the same.

    Args:
        scores: of one or more pairs of languages.
        num_lines: one note a split: how many lines and gold pairs it has.
    """
    headers = ("pair", "split", "asks", "by", "threshold", "", "P", "R", "F1", "LaBSE")
    ordered = sorted(scores, key=lambda s: (s.lang_pair, s.split, s.tuning == "oracle"))
    return Report(
        data="bucc",
        metric="bucc_f1",
        scores=tuple(
            Score(score.sample.name, "bucc_f1", score.f1, score.signature, (score.sample.name,))
            for score in ordered
        ),
        tables=(Table("BUCC, percent", headers, tuple(map(_row, ordered)), num_names=5),),
        samples=tuple(score.sample for score in ordered),
        bars=tuple(
            Bar(f"{score.lang_pair} {score.retrieval} {score.similarity}", _lang(score), score.f1)
            for score in ordered
            if score.tuning != "oracle"
        ),
        notes=(*num_lines, *_NOTES),
        details={
            "rows": [
                {
                    "lang_pair": score.lang_pair,
                    "split": score.split,
                    "retrieval": score.retrieval,
                    "similarity": score.similarity,
                    "tuning": score.tuning,
                    "threshold": score.threshold,
                    "precision": score.precision,
                    "recall": score.recall,
                    "f1": score.f1,
                    "paper_f1": _paper(score),
                }
                for score in ordered
            ]
        },
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


def _lang(score: BuccScore) -> str:
    return score.lang_pair.partition("-")[0]
