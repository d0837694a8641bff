"""The command `labse export`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from labse.cli.console import print_json, progress, say
from labse.cli.options import JsonOption
from labse.encoder.export.model import export_model
from labse.encoder.export.quality import QualityBounds
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.evaluation.datasets import read_tatoeba
from labse.evaluation.tatoeba import evaluate_tatoeba
from labse.files.text import read_lines

__all__ = ["export"]


def export(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="Model folder: ours, of sentence-transformers, of a BERT, or a TensorFlow "
            "checkpoint.",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write, or file.onnx.")],
    storage: Annotated[
        Literal["float32", "float16", "int8", "int4"],
        typer.Option(
            help="How the matrices are stored; int4 has 4 bits a value of word rows, 8 of layers. "
            "sentence-transformers reads float32 and float16."
        ),
    ] = "float32",
    sample: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Text on which the vectors are compared, one sentence a line; without it, 800 "
            "sentences of 25 languages that come with labse.",
        ),
    ] = None,
    tatoeba: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="LASER's Tatoeba sets, on which P@1 is compared; without it, those sentences.",
        ),
    ] = None,
    min_cosine: Annotated[
        float, typer.Option(min=0, max=1, help="Least mean cosine of old and new vectors.")
    ] = 0.999,
    max_loss: Annotated[
        float, typer.Option(min=0, max=1, help="Largest fall of P@1; 0.003 is 0.3 points.")
    ] = 0.003,
    force: Annotated[bool, typer.Option("--force", help="Write whatever is lost.")] = False,
    json: JsonOption = False,
) -> None:
    """Write a model anew: smaller, for sentence-transformers, or as ONNX.

    What the new model loses is measured first; past the bounds nothing is written.

    [bold]Examples[/bold]

    labse export runs/tiny/run/model small --storage int8

    labse export LaBSE labse.onnx --tatoeba tatoeba/v1
    """
    sets = None if tatoeba is None else read_tatoeba(tatoeba)

    def measure(encoder: SentenceEncoder) -> float:
        assert sets is not None
        return evaluate_tatoeba(encoder, sets).mean.p_at_1

    with progress("export") as update:
        report = export_model(
            model,
            out,
            storage=storage,
            sample=None if sample is None else list(read_lines(sample)),
            measure=None if sets is None else measure,
            bounds=None if force else QualityBounds(min_cosine, max_loss),
            on_progress=update,
        )
    loss = report.loss
    where = "Tatoeba" if sets else "the sample"
    say(
        f"{loss.num_sentences:,} sentences: mean cosine {loss.mean_cosine:.6f}, least "
        f"{loss.least_cosine:.6f}; P@1 on {where} {100 * loss.score_before:.2f} % -> "
        f"{100 * loss.score_after:.2f} %"
    )
    say(f"{out}: {report.num_bytes_after:,} bytes, {model} has {report.num_bytes_before:,}")
    if json:
        print_json({**asdict(report), "path": str(out)})
