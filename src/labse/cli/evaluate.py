"""The commands `labse evaluate ...`."""

from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import print_json, print_table, say
from labse.cli.options import (
    JsonOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    ThreadsOption,
    VisibleEncoder,
    load_encoder,
)

__all__ = ["app", "tatoeba"]

app = typer.Typer(help="Score a model on public test sets, each score with its signature.")


@app.callback()
def _group() -> None:
    pass


@app.command()
def tatoeba(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder of LASER's sets: tatoeba.deu-eng.deu, tatoeba.deu-eng.eng and so on.",
            show_default=False,
        ),
    ],
    model: ModelOption = None,
    langs: Annotated[
        str | None,
        typer.Option(help="Only these languages, with commas: de,fr,zh.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="JSON report to write as well.", show_default=False)
    ] = None,
    json: JsonOption = False,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Tatoeba: is the nearest sentence of the other language the translation?

    P@1 in both directions, and the means over the paper's groups whose sets are all there.

    [bold]Examples[/bold]

    labse evaluate tatoeba data/tatoeba/v1

    labse evaluate tatoeba data/tatoeba/v1 --langs de,fr --model runs/tiny/run/model --json
    """
    from labse.evaluation.datasets import read_tatoeba
    from labse.evaluation.report import render_report, report_dict, write_report
    from labse.evaluation.tatoeba import evaluate_tatoeba

    codes = None if langs is None else [code.strip() for code in langs.split(",") if code.strip()]
    sets = read_tatoeba(folder, codes)
    encoder = load_encoder(model, precision, runtime, threads)
    report = evaluate_tatoeba(VisibleEncoder(encoder), sets, max_seq_length=encoder.max_seq_length)

    if encoder.num_truncated:
        say(f"{encoder.num_truncated:,} sentences cut to {encoder.max_seq_length} tokens")
    if json:
        print_json(report_dict(report))
    else:
        print_table(render_report(report))
    if out is not None:
        write_report(out, report)
        say(f"{out}: report written")
