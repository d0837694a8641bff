"""The command `labse calibrate`."""

import math
from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import print_json, print_table, say
from labse.cli.options import JsonOption
from labse.corpus.writers import check_outputs, check_picture
from labse.errors import UsageError
from labse.files.atomic import write_json
from labse.rating.calibration import (
    BestF1,
    Interval,
    PrecisionFit,
    fit_best_f1,
    fit_precision,
    plot_precision,
)
from labse.rating.rating import read_gold_pairs, read_mined, read_ratings

__all__ = ["calibrate"]


def calibrate(
    rated: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Rated pairs: a TSV of score and GOOD or BAD, as labse rate writes it. With "
            "--gold, the table of labse mine.",
        ),
    ],
    precision: Annotated[
        float | None,
        typer.Option(
            help="Wanted share of GOOD pairs; without it 0.8, as in the paper.",
        ),
    ] = None,
    gold: Annotated[
        str | None,
        typer.Option(
            help="Find the min_score with the best F1 against these translations: a TSV of source "
            "and target.",
        ),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Level of the confidence intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap over ratings.")] = 1,
    json: JsonOption = False,
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file to write, for labse filter --min-score-from."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="PNG to draw: precision over min_score (needs matplotlib: the extra plot).",
        ),
    ] = None,
) -> None:
    """Find the min_score for a wanted precision or the best F1, from rated or gold pairs.

    Too few ratings are refused: fewer than could show the precision if all were GOOD (16 for 0.8,
    35 for 0.9).

    [bold]Examples[/bold]

    labse calibrate rated.tsv

    labse calibrate rated.tsv --precision 0.95 --out calibration.json

    labse calibrate pairs.tsv --gold gold.tsv
    """
    if not 0 < confidence < 1:
        raise UsageError(f"--confidence {confidence}: give a share between 0 and 1")
    check_outputs(out, inputs=(rated, gold), kind=None)
    if gold is not None:
        if precision is not None or plot is not None:
            name = "--plot" if precision is None else "--precision"
            raise UsageError(f"{name} is for rated pairs; with --gold the best F1 is found")
        if rated == gold == "-":
            raise UsageError("only one of both can be standard input (-)")
        best = fit_best_f1(read_mined(rated), read_gold_pairs(gold), confidence=confidence)
        _print(best.to_dict(), out, as_json=json)
        if not json:
            _print_best_f1(best)
        return

    precision = 0.8 if precision is None else precision
    if not 0 < precision < 1:
        raise UsageError(f"--precision {precision}: give a share between 0 and 1")
    check_picture(plot, inputs=(rated, out))
    fit = fit_precision(read_ratings(rated), precision, confidence=confidence, seed=seed)
    _print({**fit.to_dict(), "seed": seed}, out, as_json=json)
    if not json:
        _print_fit(fit)
    if plot:
        plot_precision(fit, plot)
        say(f"{plot}")


def _print(described: dict[str, object], out: Path | None, *, as_json: bool) -> None:
    if out is not None:
        write_json(out, described)
    if as_json:
        print_json(described)


def _print_best_f1(best: BestF1) -> None:
    rows = [
        ("min_score", f"{best.min_score:.4f}", ""),
        ("precision", f"{best.precision:.3f}", _show_shares(best.precision_interval)),
        ("recall", f"{best.recall:.3f}", _show_shares(best.recall_interval)),
        ("F1", f"{best.f1:.3f}", ""),
    ]
    print_table(("", "value", f"{best.confidence:.0%} interval"), rows)
    say(
        f"{best.num_kept:,} of {best.num_mined:,} mined pairs kept, {best.num_right:,} of them "
        f"among the {best.num_gold:,} gold pairs"
    )


def _print_fit(fit: PrecisionFit) -> None:
    interval = fit.min_score_interval
    high = "not reached" if math.isinf(interval.high) else f"{interval.high:.4f}"
    safe = "too few ratings" if fit.safe_min_score is None else f"{fit.safe_min_score:.4f}"
    rows = [
        (
            f"min_score for {fit.wanted_precision:.0%} GOOD",
            f"{fit.min_score:.4f}",
            f"{interval.low:.4f} to {high}",
        ),
        ("precision there", f"{fit.precision:.3f}", _show_shares(fit.precision_interval)),
        (f"min_score to be {(1 + fit.confidence) / 2:.1%} sure", safe, ""),
    ]
    print_table(("", "value", f"{fit.confidence:.0%} interval"), rows)
    say(
        f"{fit.num_kept:,} of {fit.num_ratings:,} rated pairs have at least this score; "
        f"{fit.num_skipped:,} skipped"
    )
    if fit.min_score == fit.thresholds[0]:
        say("all rated scores are good enough: lower ones, which were not rated, may be too")


def _show_shares(interval: Interval) -> str:
    return f"{interval.low:.3f} to {interval.high:.3f}"
