"""The command `labse plot`."""

from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import say
from labse.training.plot import plot_metrics

__all__ = ["plot"]


def plot(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Folder of labse pretrain or labse train.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The picture, PNG; by default curves.png in RUN.", show_default=False),
    ] = None,
) -> None:
    """Draw loss, P@1, accuracy and perplexity over the steps (needs the extra train).

    [bold]Examples[/bold]

    labse plot runs/tiny/run --out curves.png
    """
    out = out or run / "curves.png"
    plot_metrics(run / "metrics.jsonl", out)
    say(f"{out}")
