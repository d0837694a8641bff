"""The command `labse encode`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import print_json, progress, say
from labse.cli.options import (
    JsonOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    ThreadsOption,
    load_encoder,
)
from labse.errors import UsageError

__all__ = ["encode"]


def encode(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="Text, one sentence a line; .gz and .zst too; - is standard input.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE.npy",
            help="File to write: float32 unit rows; row i is line i, empty lines included.",
            show_default=False,
        ),
    ],
    model: ModelOption = None,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Turn lines into vectors that numpy.load reads.

    [bold]Examples[/bold]

    labse encode sentences.txt --out vectors.npy

    zcat news.gz | labse encode - --out vectors.npy --model runs/tiny/run/model
    """
    if out.suffix != ".npy":
        raise UsageError(f"--out {out}: give a name that ends in .npy, which is what is written")
    encoder = load_encoder(model, precision, runtime, threads)

    from labse.encoder.embedding_file import encode_file

    with progress("encode") as update:
        update(0)
        written = encode_file(encoder, source, out, report=update)
    if not written.num_rows:
        say(f"{source}: empty, so there are no rows")
    say(
        f"{out}: {written.num_rows:,} rows of {written.embedding_size}, "
        f"{written.num_truncated:,} cut to {encoder.max_seq_length} tokens"
    )
    if json:
        print_json({**asdict(written), "path": str(written.path)})
