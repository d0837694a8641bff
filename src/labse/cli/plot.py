"""The command `labse plot`."""

from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import say
from labse.corpus.writers import check_picture
from labse.errors import UsageError
from labse.training.plot import find_runs, plot_metrics

__all__ = ["plot"]


def plot(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="Folder of labse pretrain or labse train, or one with such folders below.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The picture, PNG; by default curves.png in RUN."),
    ] = None,
) -> None:
    """Draw loss, P@1, accuracy and perplexity over the steps (needs the extra plot).

    [bold]Examples[/bold]

    labse plot runs/tiny/run --out curves.png

    labse plot .
    """
    runs = find_runs(run)
    if out is not None and len(runs) > 1:
        raise UsageError(f"--out: is for one run, and {run} holds {len(runs)}; leave it out")
    for found in runs:
        check_picture(out or found / "curves.png")
    for found in runs:
        picture = out or found / "curves.png"
        plot_metrics(found / "metrics.jsonl", picture)
        say(f"{picture}")
