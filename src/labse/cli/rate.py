"""The command `labse rate`."""

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import say
from labse.errors import UsageError
from labse.rating.rating import Label, MinedRow, RatingFile, draw_sample

__all__ = ["rate"]

_KEYS = "g good, b bad, s skip, u undo, q quit"
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
    count: Annotated[
        int, typer.Option(min=1, help="Pairs to rate, spread evenly over the scores.")
    ] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sample and of its order.")] = 1,
) -> None:
    """Rate mined pairs with two keys: g for GOOD, b for BAD (s skips, u undoes, q quits).

    The sample is spread over all scores, so that labse calibrate can find a min_score from it.
    Each rating is saved at once. The same command goes on where it was stopped, and a higher
    --count adds pairs. Without a terminal, each line of standard input is one key.

    [bold]Examples[/bold]

    labse rate pairs.tsv --out rated.tsv --count 200

    labse calibrate rated.tsv
    """
    if str(mined) == "-":
        raise UsageError("the pairs cannot be standard input (-), which gives the keys")
    sample = draw_sample(mined, count, seed=seed)
    with RatingFile(out, sample) as ratings, _open_keys() as keys:
        _rate_all(sample, ratings, keys)
        labels = list(ratings.labels.values())
    say(
        f"{len(labels):,} of {len(sample):,} rated: {labels.count('GOOD'):,} GOOD, "
        f"{labels.count('BAD'):,} BAD, {labels.count('SKIP'):,} skipped"
    )
    if len(labels) < len(sample):
        say("the same command goes on from here")


def _rate_all(sample: list[MinedRow], ratings: RatingFile, keys: Iterator[str]) -> None:
    labels: dict[str, Label] = {"g": "GOOD", "b": "BAD", "s": "SKIP"}
    while True:
        rated = ratings.labels
        row = next((row for row in sample if row.line not in rated), None)
        if row is None:
            return
        _show(row, len(rated) + 1, len(sample))
        key = next(keys, "q")
        while key not in ("g", "b", "s", "u", "q"):
            say(f"{key[:10]!r} is no key here: {_KEYS}")
            key = next(keys, "q")
        if key == "q":
            return
        if key == "u":
            if ratings.undo() is None:
                say("there is no rating to undo")
        else:
            ratings.rate(row, labels[key])


def _show(row: MinedRow, number: int, total: int) -> None:
    say(f"\n{number}/{total}  score {row.score:.4f}  ({_KEYS})")
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
