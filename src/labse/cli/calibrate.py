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
from labse.rating.by_lang_pair import LangPairBound, fit_by_lang_pair
from labse.rating.calibration import (
    BestF1,
    Interval,
    PrecisionFit,
    fit_best_f1,
    fit_precision,
    plot_precision,
)
from labse.rating.ratings import Ratings, read_gold_pairs, read_mined, read_ratings

__all__ = ["calibrate"]


def calibrate(
    rated: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Rated pairs: a TSV of score and label, as labse rate writes it; one for each "
            "rater of the same pairs. With --gold, the table of labse mine.",
        ),
    ],
    precision: Annotated[
        float | None,
        typer.Option(
            help="Wanted share of GOOD pairs; without it 0.8, as in the paper.",
        ),
    ] = None,
    good: Annotated[
        str | None,
        typer.Option(
            metavar="LABELS",
            help="Labels that count as GOOD, such as V,F,MT, where they are finer than good and "
            "bad.",
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

    labse calibrate anna.tsv ben.tsv --good V,F,MT --plot precision.png

    labse calibrate pairs.tsv --gold gold.tsv
    """
    if not 0 < confidence < 1:
        raise UsageError(f"--confidence {confidence}: give a share between 0 and 1")
    check_outputs(out, inputs=(*rated, gold), kind=None)
    if gold is not None:
        given = {"--precision": precision, "--plot": plot, "--good": good}
        for name in (name for name, value in given.items() if value is not None):
            raise UsageError(f"{name} is for rated pairs; with --gold the best F1 is found")
        if len(rated) > 1:
            raise UsageError(f"{rated[1]}: with --gold give one table of mined pairs")
        if rated[0] == gold == "-":
            raise UsageError("only one of both can be standard input (-)")
        best = fit_best_f1(read_mined(rated[0]), read_gold_pairs(gold), confidence=confidence)
        _print(best.to_dict(), out, as_json=json)
        if not json:
            _print_best_f1(best)
        return

    precision = 0.8 if precision is None else precision
    if not 0 < precision < 1:
        raise UsageError(f"--precision {precision}: give a share between 0 and 1")
    check_picture(plot, inputs=(*rated, out))
    ratings = read_ratings(rated, None if good is None else good.split(","))
    fit = fit_precision(ratings, precision, confidence=confidence)
    lang_pairs = fit_by_lang_pair(ratings, fit) if len({*ratings.lang_pairs}) > 1 else []
    described = fit.to_dict() | ratings.describe_raters()
    described["lang_pairs"] = {bound.lang_pair: bound.to_dict() for bound in lang_pairs}
    _print(described, out, as_json=json)
    if not json:
        _print_fit(fit, lang_pairs)
        _tell_raters(ratings)
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


def _print_fit(fit: PrecisionFit, lang_pairs: list[LangPairBound]) -> None:
    safe = "too few ratings" if fit.safe_min_score is None else f"{fit.safe_min_score:.4f}"
    rows = [
        (
            f"min_score for {fit.wanted_precision:.0%} GOOD",
            f"{fit.min_score:.4f}",
            _show_bounds(fit.min_score_interval),
        ),
        ("precision there", f"{fit.precision:.3f}", _show_shares(fit.precision_interval)),
        ("share of the file kept", f"{fit.kept_share:.3f}", _show_shares(fit.kept_share_interval)),
        (f"min_score to be {(1 + fit.confidence) / 2:.1%} sure", safe, ""),
    ]
    print_table(("", "value", f"{fit.confidence:.0%} interval"), rows)
    say(
        f"{fit.num_kept:,} of {fit.num_ratings:,} rated pairs have at least this score; "
        f"{fit.num_skipped:,} skipped"
    )
    if fit.min_score == fit.thresholds[0]:
        say("all rated scores are good enough: lower ones, which were not rated, may be too")
    if lang_pairs:
        _print_lang_pairs(lang_pairs, fit.confidence)


def _print_lang_pairs(lang_pairs: list[LangPairBound], confidence: float) -> None:
    rows = [
        (
            bound.lang_pair or "(not told)",
            f"{bound.num_ratings:,}",
            f"{bound.good_share:.3f}",
            "not reached" if bound.min_score is None else f"{bound.min_score:.4f}",
            _show_bounds(bound.min_score_interval),
            f"{bound.kept_share:.3f}",
        )
        for bound in lang_pairs
    ]
    head = ("lang pair", "ratings", "GOOD", "min_score", f"{confidence:.0%} interval", "kept")
    print_table(head, rows)


def _tell_raters(ratings: Ratings) -> None:
    if ratings.num_raters > 1:
        shown = "-" if ratings.alpha is None else f"{ratings.alpha:.3f}"
        good = "-" if ratings.alpha_good is None else f"{ratings.alpha_good:.3f}"
        say(
            f"{ratings.num_raters} raters, Krippendorff's alpha {shown} of the labels, {good} of "
            "good or not (1 agreement, 0 chance)"
        )


def _show_bounds(interval: Interval) -> str:
    low = "any" if math.isinf(interval.low) else f"{interval.low:.4f}"
    high = "not reached" if math.isinf(interval.high) else f"{interval.high:.4f}"
    return f"{low} to {high}"


def _show_shares(interval: Interval) -> str:
    return f"{interval.low:.3f} to {interval.high:.3f}"
