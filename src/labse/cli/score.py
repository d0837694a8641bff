"""The command `labse score`."""

import json as json_format
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from labse.cli.console import print_lines, progress, say
from labse.cli.options import (
    ClusterOption,
    ColumnOption,
    ColumnsOption,
    DeviceOption,
    GpusPerTaskOption,
    JsonOption,
    KOption,
    MemoryOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    ShardOption,
    SourceLangOption,
    SourceVectorsOption,
    TargetLangOption,
    TargetVectorsOption,
    ThreadsOption,
    WorkOption,
    check_work,
    load_encoder,
    open_workers,
    parse_size,
)
from labse.corpus.tables import parse_columns
from labse.corpus.writers import check_outputs
from labse.encoder.job.inputs import LineBlock
from labse.errors import UsageError
from labse.mining.bitext import SearchOptions
from labse.mining.pair_scores import PairScores, score_pairs

__all__ = ["score"]


def score(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Text, one sentence a line, or vectors of labse encode; or with no TARGET a "
            ".tsv, .jsonl or .parquet with the columns source and target; .gz and .zst too.",
        ),
    ],
    target: Annotated[
        str | None,
        typer.Argument(metavar="[TARGET]", help="The translations, line by line."),
    ] = None,
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
        typer.Option(
            help=(
                "File to write, in place of standard output. .txt has the numbers alone; .tsv, "
                ".jsonl and .parquet the pairs with the columns cosine and margin_score."
            ),
        ),
    ] = None,
    column: ColumnOption = None,
    source_lang: SourceLangOption = None,
    target_lang: TargetLangOption = None,
    columns: ColumnsOption = None,
    shard: ShardOption = None,
    source_vectors: SourceVectorsOption = None,
    target_vectors: TargetVectorsOption = None,
    work: WorkOption = None,
    cluster: ClusterOption = None,
    gpus_per_task: GpusPerTaskOption = 0,
    memory: MemoryOption = "1GB",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Score the pairs of two line-aligned files or of a table: cosine and margin for each.

    Two files give a line of two numbers for each pair; a table of pairs is written again with two
    more columns. The neighbours of the margin are those among all lines of both sides, repeated
    lines taken once. A pair with a blank side has 0 for all.

    [bold]Examples[/bold]

    labse score news.de news.en > scores.tsv

    labse score news.de news.en --margin none --quality | paste - news.de news.en | sort -gr | head

    labse score pairs.tsv --out scored.tsv

    labse score web.tsv --columns source=1,target=2 --margin none --shard 2/8 --out scored-2.tsv
    """
    search = SearchOptions(parse_size(memory), device=device)
    check_work(cluster, work)
    if cluster is not None and margin == "none":
        raise UsageError("--cluster: searches neighbours, and --margin none needs none")
    if gpus_per_task and cluster is None:
        raise UsageError("--gpus-per-task is for the tasks of --cluster")
    numbers_only = json and target is not None
    if numbers_only:
        check_outputs(out, inputs=(source, target), kind=None)
    with open_workers(1, cluster) as executor, progress("score") as update:
        scores = score_pairs(
            source,
            target,
            None if numbers_only else out or "-",
            layout="jsonl" if json and not numbers_only else None,
            langs=(source_lang, target_lang),
            columns=parse_columns(columns),
            shard=LineBlock.parse(shard),
            vectors=(source_vectors, target_vectors),
            column=column,
            encoder=partial(load_encoder, model, precision, runtime, threads),
            margin=None if margin == "none" else margin,
            k=k,
            search=replace(search, workers=executor, gpus_per_task=gpus_per_task),
            quality=quality,
            work=work,
            on_progress=update,
        )
    if numbers_only:
        print_lines(_format(scores), out)
    if scores.num_altered:
        say(f"{scores.num_altered:,} pairs hold a character that the format cannot, replaced")
    if scores.num_truncated:
        say(f"{scores.num_truncated:,} lines cut to {scores.max_seq_length} tokens")


def _format(scores: PairScores) -> Iterator[str]:
    columns = {"cosine": scores.cosines}
    columns |= {} if scores.margins is None else {"margin": scores.margins}
    columns |= {} if scores.qualities is None else {"quality": scores.qualities}
    for row in zip(*(values.tolist() for values in columns.values()), strict=True):
        yield json_format.dumps(dict(zip(columns, row, strict=True)))
