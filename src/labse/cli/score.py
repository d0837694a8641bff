"""The command `labse score`."""

import json as json_format
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from labse.cli.console import print_lines, progress, say
from labse.cli.options import (
    ColumnOption,
    DeviceOption,
    JsonOption,
    KOption,
    MemoryOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    SourceVectorsOption,
    TargetVectorsOption,
    ThreadsOption,
    WorkOption,
    load_encoder,
    parse_size,
)
from labse.corpus.writers import check_outputs
from labse.mining.bitext import SearchOptions
from labse.mining.pair_scores import PairScores, score_pairs

__all__ = ["score"]


def score(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Text, one sentence a line, .tsv, .jsonl or .parquet; .gz and .zst too. Or "
            "vectors of labse encode.",
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="The translations, line by line."),
    ],
    model: ModelOption = None,
    margin: Annotated[
        Literal["ratio", "distance", "absolute", "none"],
        typer.Option(
            help="Second score: cosine over or minus that of the neighbourhood; none skips the "
            "search for it."
        ),
    ] = "ratio",
    k: KOption = 4,
    quality: Annotated[
        bool,
        typer.Option(
            "--quality",
            help="Add a score from 0 to 1, learnt from people's ratings, of cosine, neighbours, "
            "lengths, copied words and signs: how far to trust the pair.",
        ),
    ] = False,
    json: JsonOption = False,
    out: Annotated[
        Path | None,
        typer.Option(help="File to write, in place of standard output."),
    ] = None,
    column: ColumnOption = None,
    source_vectors: SourceVectorsOption = None,
    target_vectors: TargetVectorsOption = None,
    work: WorkOption = None,
    memory: MemoryOption = "1GB",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Score the pairs of two line-aligned files: a line of cosine and margin for each.

    The neighbours of the margin are those among all lines of the two files, repeated lines taken
    once. A pair with a blank side has 0 for all.

    [bold]Examples[/bold]

    labse score news.de news.en > scores.tsv

    labse score news.de news.en --margin none --quality | paste - news.de news.en | sort -gr | head
    """
    search = SearchOptions(parse_size(memory), device=device)
    check_outputs(out, inputs=(source, target), kind=None)
    with progress("score") as update:
        scores = score_pairs(
            source,
            target,
            vectors=(source_vectors, target_vectors),
            column=column,
            encoder=partial(load_encoder, model, precision, runtime, threads),
            margin=None if margin == "none" else margin,
            k=k,
            search=search,
            quality=quality,
            work=work,
            on_progress=update,
        )
    print_lines(_format(scores, as_json=json), out)
    if scores.num_truncated:
        say(f"{scores.num_truncated:,} lines cut to {scores.max_seq_length} tokens")


def _format(scores: PairScores, *, as_json: bool) -> Iterator[str]:
    columns = {"cosine": scores.cosines}
    columns |= {} if scores.margins is None else {"margin": scores.margins}
    columns |= {} if scores.qualities is None else {"quality": scores.qualities}
    for row in zip(*(values.tolist() for values in columns.values()), strict=True):
        if as_json:
            yield json_format.dumps(dict(zip(columns, row, strict=True)))
        else:
            yield "\t".join(f"{value:.4f}" for value in row)
