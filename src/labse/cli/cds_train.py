"""The command `labse cds train`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import print_json, print_table, progress, say
from labse.cli.options import (
    JsonOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    ThreadsOption,
    load_encoder,
)
from labse.errors import UsageError
from labse.selection.train import CdsReport, train_cds

__all__ = ["train"]


def train(
    trusted: Annotated[
        Path,
        typer.Option(help="Table of translations that are sure: columns source and target."),
    ],
    pool: Annotated[
        Path, typer.Option(help="Table of pairs such as will be filtered: source and target.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to make, for labse filter --cds.")],
    ratings: Annotated[
        Path | None,
        typer.Option(
            help="Ratings of labse rate to join the parts by; without them, errors made of "
            "trusted pairs stand for bad ones."
        ),
    ] = None,
    good: Annotated[
        str | None,
        typer.Option(metavar="LABELS", help="Labels that count as GOOD, such as V,F,MT."),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Translation model of CTranslate2, with its tokenizer.json, in place of word "
            "models for cds_forward.",
        ),
    ] = None,
    tuned: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The same model, tuned on trusted pairs."),
    ] = None,
    max_pairs: Annotated[
        int, typer.Option(min=100, help="Trusted pairs, and pairs of the pool, to learn from.")
    ] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of samples and of errors made.")] = 1,
    model: ModelOption = None,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Learn word models of trusted pairs and of a pool, and the chance that a pair is good.

    labse filter --cds adds the columns: cds, the chance; cds_forward and cds_backward, how much
    better the model of trusted pairs likes a pair than that of the pool; and others. The same
    command goes on after a stop.

    [bold]Examples[/bold]

    labse cds train --trusted clean.tsv --pool mined.tsv --out cds

    labse filter mined.tsv --cds cds --min-cds 0.5 --scores scores.jsonl --out kept.tsv
    """
    if good is not None and ratings is None:
        raise UsageError("--good chooses among labels; give --ratings too")
    if (base is None) != (tuned is None):
        raise UsageError("give both --base and --tuned, or neither")
    with progress("cds") as update:
        report = train_cds(
            trusted,
            pool,
            out,
            ratings=ratings,
            good=None if good is None else good.split(","),
            translation=None if base is None or tuned is None else (base, tuned),
            max_pairs=max_pairs,
            seed=seed,
            encoder=partial(load_encoder, model, precision, runtime, threads),
            on_progress=update,
        )
    _print(report, as_json=json)


def _print(report: CdsReport, *, as_json: bool) -> None:
    if as_json:
        print_json(report.to_dict())
        return
    print_table(("score", "AUC"), [(name, f"{auc:.3f}") for name, auc in report.roc_auc.items()])
    what = "rated pairs" if report.from_ratings else "trusted pairs and errors made of them"
    say(
        f"{report.num_trusted:,} trusted pairs, {report.num_pool:,} of the pool; AUC on the "
        f"{report.num_joined:,} {what} that the joint score was learnt from"
    )
