"""The command `labse rate`."""

import contextlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from labse.cli.console import say
from labse.cli.options import ColumnsOption
from labse.corpus.tables import parse_columns
from labse.errors import UsageError
from labse.rating.labels import SKIP, Scheme, find_scheme
from labse.rating.rating_file import RatingFile
from labse.rating.ratings import MinedRow
from labse.rating.sample import draw_sample

__all__ = ["rate"]

_SHOWN_CHARACTERS = 2_000
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")  # They could move the cursor or worse.


def rate(
    mined: Annotated[
        Path,
        typer.Argument(
            metavar="MINED",
            help="Table of margin_score, source and target, as labse mine writes it.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="TSV of score, label, source, target and line, to which each rating adds a row.",
        ),
    ],
    count: Annotated[int, typer.Option(min=1, help="Pairs to rate, spread over the scores.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sample and of its order.")] = 1,
    labels: Annotated[
        Literal["good-bad", "paracrawl", "glance"],
        typer.Option(
            help=(
                "What can be said of a pair: good or bad, ParaCrawl's V F MT E T A L, or CC CB CS "
                "X WL NL of Quality at a Glance. calibrate --good says which are good."
            )
        ),
    ] = "good-bad",
    stratify: Annotated[
        Literal["even", "score"],
        typer.Option(
            help=(
                "even: all pairs have the same chance. score: each tenth of the range of scores is "
                "rated equally often, so that pairs near the bound come often. calibrate weights "
                "them back."
            )
        ),
    ] = "even",
    score: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column by which a bound is sought, such as quality; without it margin_score or "
            "score.",
        ),
    ] = None,
    columns: ColumnsOption = None,
) -> None:
    """Rate mined pairs with two keys: g for GOOD, b for BAD (s skips, u undoes, q quits).

    The sample is spread over all scores, so that labse calibrate can find a min_score from it.
    Pairs come shuffled and without their scores. Several people rate the same pairs with the same
    command and an --out each. Each rating is saved at once. The same command goes on where it was
    stopped, and a higher --count adds pairs. Without a terminal, each line of standard input is
    one key.

    [bold]Examples[/bold]

    labse rate pairs.tsv --out rated.tsv --count 200

    labse rate pairs.tsv --out anna.tsv --labels paracrawl --stratify score

    labse calibrate anna.tsv ben.tsv --good V,F,MT
    """
    if str(mined) == "-":
        raise UsageError("the pairs cannot be standard input (-), which gives the keys")
    scheme = find_scheme(labels)
    sample = draw_sample(
        mined,
        count,
        seed=seed,
        stratify=stratify,
        score=score or "score",
        columns=parse_columns(columns),
    )
    with RatingFile(out, sample, scheme) as ratings, _open_keys() as keys:
        _rate_all(sample, ratings, keys, scheme)
        counts = Counter(ratings.labels.values())
    told = ", ".join(f"{counts[label]:,} {label}" for label in scheme.meanings)
    say(f"{counts.total():,} of {len(sample):,} rated: {told}, {counts[SKIP]:,} skipped")
    if counts.total() < len(sample):
        say("the same command goes on from here")


def _rate_all(
    sample: list[MinedRow], ratings: RatingFile, keys: Iterator[str], scheme: Scheme
) -> None:
    labels = {**scheme.keys, "s": SKIP}
    while True:
        rated = ratings.labels
        row = next((row for row in sample if row.line not in rated), None)
        if row is None:
            return
        _show(row, len(rated) + 1, len(sample), scheme)
        key = next(keys, "q")
        while key not in (*labels, "u", "q"):
            say(f"{key[:10]!r} is no key here: {scheme.tell_keys()}")
            key = next(keys, "q")
        if key == "q":
            return
        if key == "u":
            if ratings.undo() is None:
                say("there is no rating to undo")
        else:
            ratings.rate(row, labels[key])


def _show(row: MinedRow, number: int, total: int, scheme: Scheme) -> None:
    say(f"\n{number}/{total}  ({scheme.tell_keys()})")
    for text in (row.source, row.target):
        shown = _CONTROLS.sub("\ufffd", text[:_SHOWN_CHARACTERS])
        say(f"  {shown}{' ...' if len(text) > _SHOWN_CHARACTERS else ''}")


@contextlib.contextmanager
def _open_keys() -> Iterator[Iterator[str]]:
    """Gives one key at a time, without Enter if standard input is a terminal."""
    if not sys.stdin.isatty():
        yield (line.strip().lower() for line in sys.stdin)
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield (key.lower() for key in iter(lambda: sys.stdin.read(1), ""))
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
