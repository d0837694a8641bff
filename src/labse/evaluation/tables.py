"""xsim and UN for people.

Takes: scores of `evaluate_xsim` and `evaluate_un`. Gives: reports to show, write and compare.
Source: Feng et al. 2020 (arXiv 2007.01852), the table of UN.
"""

from collections.abc import Sequence

from labse.evaluation.pictures import Bar
from labse.evaluation.report import Report, Score, Table, format_percent
from labse.evaluation.un import PAPER_UN_P_AT_1, UnScore
from labse.evaluation.xsim import XsimScore

__all__ = ["build_un_report", "build_xsim_report"]

_PAPER_POOL = 5_000_000  # Half of the paper's ten million: below, the task is another one.


def build_xsim_report(data: str, scores: Sequence[XsimScore]) -> Report:
    """Returns one row a pair and metric, with the kinds of near-misses that fooled the encoder."""
    kinds = sorted({kind for score in scores for kind, _ in score.kinds})
    means = [mean for metric in _NAMES if (mean := _mean(metric, scores)) is not None]
    rows = [_xsim_row(score, kinds) for score in scores]
    for mean in means:
        name, blanks = _NAMES[mean.metric], ("" for _ in kinds)
        rows.append(("mean", name, "", "", format_percent(mean.value), *blanks))
    headers = ("pair", "metric", "pairs", "near-misses", "error", *kinds)
    note = "the last columns count the errors in which a near-miss was chosen, by its kind"
    return Report(
        data=data,
        metric="error",
        scores=(*means, *(_xsim_score(score) for score in scores)),
        tables=(Table(f"{data}, error in percent: lower is better", headers, tuple(rows), 2),),
        samples=tuple(score.sample for score in scores),
        bars=tuple(_xsim_bar(score) for score in scores),
        notes=(note,) if kinds else (),
        details={"rows": [_xsim_details(score) for score in scores]},
    )


def build_un_report(score: UnScore) -> Report:
    """Returns one row; the paper's number stands beside it if the pool is of the paper's size."""
    paper = PAPER_UN_P_AT_1.get(score.lang_pair)
    is_same = paper is not None and score.num_pool >= _PAPER_POOL
    cells = (f"{score.num_queries:,}", f"{score.num_pool:,}", format_percent(score.p_at_1))
    shown = format_percent(paper) if paper is not None and is_same else ""
    notes = [] if is_same else ["the paper's pool has about 10,000,000 sentences of the UN corpus"]
    return Report(
        data="un",
        metric="p_at_1",
        scores=(
            Score(score.lang_pair, "p_at_1", score.p_at_1, score.signature, (score.sample.name,)),
        ),
        tables=(
            Table(
                "UN, P@1 in percent",
                ("pair", "queries", "pool", "P@1", "LaBSE"),
                ((score.lang_pair, *cells, shown),),
            ),
        ),
        samples=(score.sample,),
        notes=(*notes, "a row of equal text counts as the translation"),
        details={"num_queries": score.num_queries, "num_pool": score.num_pool},
    )


_NAMES = {"xsim_error": "xsim", "xsimpp_error": "xsim++"}


def _xsim_row(score: XsimScore, kinds: Sequence[str]) -> tuple[str, ...]:
    chosen = dict(score.kinds)
    counts = [str(chosen.get(kind, 0)) if score.num_near_misses else "" for kind in kinds]
    numbers = (f"{score.num_pairs:,}", f"{score.num_near_misses:,}")
    return (score.lang_pair, _NAMES[score.metric], *numbers, format_percent(score.error), *counts)


def _xsim_bar(score: XsimScore) -> Bar:
    lang = score.lang_pair.partition("-")[0]
    return Bar(f"{score.lang_pair} {_NAMES[score.metric]}", lang, score.error)


def _xsim_details(score: XsimScore) -> dict[str, object]:
    return {
        "lang_pair": score.lang_pair,
        "metric": score.metric,
        "error": score.error,
        "num_pairs": score.num_pairs,
        "num_near_misses": score.num_near_misses,
        "kinds": dict(score.kinds),
    }


def _xsim_score(score: XsimScore) -> Score:
    name = score.sample.name
    return Score(score.lang_pair, score.metric, score.error, score.signature, (name,))


def _mean(metric: str, scores: Sequence[XsimScore]) -> Score | None:
    """Returns the mean over pairs; its signature names them all."""
    chosen = [score for score in scores if score.metric == metric]
    if len(chosen) < 2:
        return None
    pairs = "+".join(score.lang_pair for score in chosen)
    first = chosen[0].signature
    signature = first.replace(f"|lang_pair:{chosen[0].lang_pair}|", f"|lang_pair:{pairs}|")
    value = sum(score.error for score in chosen) / len(chosen)
    return Score("mean", metric, value, signature, tuple(score.sample.name for score in chosen))
