"""The command `labse calibrate`."""

import math
from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import check_out, print_json, print_table, say
from labse.cli.options import JsonOption
from labse.errors import UsageError
from labse.rating.calibration import (
    BestF1,
    Interval,
    PrecisionFit,
    Ratings,
    fit_best_f1,
    fit_precision,
    read_ratings,
)
from labse.rating.calibration_plot import plot_precision
from labse.rating.mined_files import read_gold_pairs, read_mined

__all__ = ["calibrate"]


def calibrate(
    rated: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Rated pairs, TSV of score and GOOD or BAD, as labse rate writes them; with "
            "--gold the TSV of labse mine.",
            show_default=False,
        ),
    ],
    precision: Annotated[
        float | None,
        typer.Option(
            help="The share of GOOD pairs that is wanted; 0.8 if not given, as in the paper.",
            show_default=False,
        ),
    ] = None,
    gold: Annotated[
        str | None,
        typer.Option(
            help="TSV of source and target, pairs that are translations: find the best F1 "
            "against them.",
            show_default=False,
        ),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Level of the confidence intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap over ratings.")] = 1,
    json: JsonOption = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="PNG of precision over min_score (needs the extra train).",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Find the min_score for a wanted precision or the best F1, from rated or gold pairs.

    Below a number of ratings that could not show the precision if all were GOOD (16 for 0.8, 35
    for 0.9), nothing is said but that.

    [bold]Examples[/bold]

    labse calibrate rated.tsv

    labse calibrate rated.tsv --precision 0.95 --json

    labse calibrate pairs.tsv --gold gold.tsv
    """
    if not 0 < confidence < 1:
        raise UsageError(f"--confidence {confidence}: give a share between 0 and 1")
    if gold is not None:
        if precision is not None or plot is not None:
            name = "--plot" if precision is None else "--precision"
            raise UsageError(f"{name} is for rated pairs; with --gold the best F1 is found")
        _calibrate_f1(rated, gold, confidence, json)
        return
    precision = 0.8 if precision is None else precision
    if not 0 < precision < 1:
        raise UsageError(f"--precision {precision}: give a share between 0 and 1")
    check_out(plot)

    ratings = read_ratings(rated)
    fit = fit_precision(ratings, precision, confidence=confidence, seed=seed)
    if json:
        print_json(_fit_to_json(fit, ratings, precision, confidence, seed))
    else:
        _print_fit(fit, ratings, precision, confidence)
    if plot:
        plot_precision(fit, precision, plot)
        say(f"{plot}")


def _calibrate_f1(mined: str, gold: str, confidence: float, json: bool) -> None:

    if mined == gold == "-":
        raise UsageError("only one of both can be standard input (-)")
    fit = fit_best_f1(read_mined(mined), read_gold_pairs(gold), confidence=confidence)
    if json:
        print_json(_f1_to_json(fit, confidence))
        return
    rows = [
        ("min_score", _show(fit.min_score), ""),
        ("precision", f"{fit.precision:.3f}", _show_shares(fit.precision_interval)),
        ("recall", f"{fit.recall:.3f}", _show_shares(fit.recall_interval)),
        ("F1", f"{fit.f1:.3f}", ""),
    ]
    print_table(("", "value", f"{confidence:.0%} interval"), rows)
    say(
        f"{fit.num_kept:,} of {fit.num_mined:,} mined pairs kept, {fit.num_right:,} of them among "
        f"the {fit.num_gold:,} gold pairs"
    )


def _print_fit(
    fit: "PrecisionFit", ratings: "Ratings", precision: float, confidence: float
) -> None:
    low, high = fit.min_score_interval.low, fit.min_score_interval.high
    shown_high = "not reached" if math.isinf(high) else _show(high)
    interval = f"{_show(low)} to {shown_high}"
    safe = "too few ratings" if fit.safe_min_score is None else _show(fit.safe_min_score)
    rows = [
        (f"min_score for {precision:.0%} GOOD", _show(fit.min_score), interval),
        ("precision there", f"{fit.precision:.3f}", _show_shares(fit.precision_interval)),
        (f"min_score to be {(1 + confidence) / 2:.1%} sure", safe, ""),
    ]
    print_table(("", "value", f"{confidence:.0%} interval"), rows)
    say(
        f"{fit.num_kept:,} of {fit.num_ratings:,} rated pairs have at least this score; "
        f"{ratings.num_skipped:,} skipped"
    )
    if fit.min_score == fit.thresholds[0]:
        say("all rated scores are good enough: lower ones, which were not rated, may be too")


def _show(score: float) -> str:
    return f"{score:.4f}"


def _show_shares(interval: "Interval") -> str:
    return f"{interval.low:.3f} to {interval.high:.3f}"


def _to_list(interval: "Interval") -> list[float | None]:
    return [interval.low, None if math.isinf(interval.high) else interval.high]


def _fit_to_json(
    fit: "PrecisionFit", ratings: "Ratings", wanted: float, confidence: float, seed: int
) -> dict[str, object]:
    return {
        "min_score": fit.min_score,
        "min_score_interval": _to_list(fit.min_score_interval),
        "safe_min_score": fit.safe_min_score,
        "wanted_precision": wanted,
        "precision": fit.precision,
        "precision_interval": _to_list(fit.precision_interval),
        "confidence": confidence,
        "num_kept": fit.num_kept,
        "num_ratings": fit.num_ratings,
        "num_skipped": ratings.num_skipped,
        "seed": seed,
    }


def _f1_to_json(fit: "BestF1", confidence: float) -> dict[str, object]:
    return {
        "min_score": fit.min_score,
        "precision": fit.precision,
        "precision_interval": _to_list(fit.precision_interval),
        "recall": fit.recall,
        "recall_interval": _to_list(fit.recall_interval),
        "f1": fit.f1,
        "confidence": confidence,
        "num_kept": fit.num_kept,
        "num_right": fit.num_right,
        "num_mined": fit.num_mined,
        "num_gold": fit.num_gold,
    }
