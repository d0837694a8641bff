"""The command `labse mine`."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from labse.cli.console import print_lines, progress, say
from labse.cli.options import (
    ClusterOption,
    ColumnOption,
    DeviceOption,
    GpusPerTaskOption,
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
    check_work,
    load_encoder,
    open_workers,
    parse_size,
)
from labse.errors import UsageError
from labse.files.system import count_cpus
from labse.mining.bitext import MiningOptions, SearchOptions
from labse.mining.cluster_plan import ClusterSize
from labse.mining.estimate import estimate_mining
from labse.mining.mine_files import mine_files
from labse.mining.mined_output import MinedOutput, OutputFormat

__all__ = ["mine"]

_OUTPUT_PANEL = "Output"
_LARGE_PANEL = "Large corpora"
_ODD = {
    "copy": "copies",
    "number": "with other numbers",
    "name": "with other names",
    "letterless": "without letters on a side",
}


def mine(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Text, one sentence a line, .tsv, .jsonl or .parquet; .gz and .zst too; - is "
            "standard input. Or vectors of labse encode: a .npy file or a folder.",
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="Lines or vectors of the other language."),
    ],
    model: ModelOption = None,
    k: KOption = 4,
    margin: Annotated[
        Literal["ratio", "distance", "absolute"],
        typer.Option(
            help="Score of a pair: cosine over, minus or without that of the neighbourhood."
        ),
    ] = "ratio",
    min_score: Annotated[
        float | None,
        typer.Option(
            help="Least score of a pair. Without it all are written, and a start for these sizes "
            "is told; labse rate and calibrate find the right one.",
        ),
    ] = None,
    retrieval: Annotated[
        Literal["forward", "backward", "intersect", "max"],
        typer.Option(
            help=(
                "Pairs to take. forward: the best target of each source; backward: the best source "
                "of each target; intersect: both at once; max: best first, each line once."
            )
        ),
    ] = "intersect",
    rerank: Annotated[
        bool,
        typer.Option(
            "--rerank",
            help="Order the pairs by a learnt score, which compares words and lengths too, and add "
            "it as a column. It puts more of the right pairs above a bound.",
        ),
    ] = False,
    min_rerank_score: Annotated[
        float | None,
        typer.Option(
            metavar="P", help="Least rerank_score, from 0 to 1, 0.2 for a start; implies --rerank."
        ),
    ] = None,
    ids: Annotated[
        bool,
        typer.Option(
            "--ids",
            help="Add the line numbers, from 1, of both sides.",
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = False,
    flags: Annotated[
        bool,
        typer.Option(
            "--flags",
            help="Add what is odd: copy (not translated), number or name (one side has another).",
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = False,
    quality: Annotated[
        bool,
        typer.Option(
            "--quality",
            help="Add how far to trust the pair, from 0 to 1: the score of labse score --quality.",
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = False,
    drop: Annotated[
        str | None,
        typer.Option(
            metavar="FLAGS",
            help="Leave out pairs with one of these flags, commas between: "
            "copy,number,name,letterless.",
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File to write, in place of standard output: .tsv, .jsonl, .parquet or .tmx. For "
            "moses, the name to which .LANG is added.",
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = None,
    format: Annotated[
        OutputFormat | None,
        typer.Option(
            help="Format of the output; without it, that of --out's suffix, else tsv.",
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = None,
    json: JsonOption = False,
    source_lang: Annotated[
        str | None,
        typer.Option(
            help="Language of the source, for a column source_lang; tmx and moses need it.",
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = None,
    target_lang: Annotated[
        str | None,
        typer.Option(
            help="Language of the target, likewise.",
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = None,
    column: ColumnOption = None,
    source_vectors: SourceVectorsOption = None,
    target_vectors: TargetVectorsOption = None,
    work: WorkOption = None,
    memory: MemoryOption = "1GB",
    device: DeviceOption = "auto",
    index: Annotated[
        Literal["auto", "exact", "ivf", "ivf-sq", "ivf-pq", "hnsw"],
        typer.Option(
            help=(
                "Search for neighbours. exact compares all with all. The others, of faiss, miss "
                "some, tell how many, and are faster from some 200,000 lines a side. auto is exact "
                "up to 2 million."
            ),
            rich_help_panel=_LARGE_PANEL,
        ),
    ] = "auto",
    nprobe: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Lists of ivf, ivf-sq and ivf-pq that a line looks into: more find more; without "
            "it, 64.",
            rich_help_panel=_LARGE_PANEL,
        ),
    ] = None,
    ef: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Candidates that a line keeps in the graph of hnsw: more find more; without it, "
            "128.",
            rich_help_panel=_LARGE_PANEL,
        ),
    ] = None,
    cluster: ClusterOption = None,
    gpus_per_task: GpusPerTaskOption = 0,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the time, memory and disk it would take, from a sample, and stop.",
            rich_help_panel=_LARGE_PANEL,
        ),
    ] = False,
    cluster_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="With --dry-run: tell what it would take on so many machines like this one.",
            rich_help_panel=_LARGE_PANEL,
        ),
    ] = None,
    gpus: Annotated[
        int,
        typer.Option(
            min=0,
            help="GPUs of these machines together; they embed and search.",
            rich_help_panel=_LARGE_PANEL,
        ),
    ] = 0,
    tflops: Annotated[
        float,
        typer.Option(
            min=1e-6,
            help="What a GPU reaches, 10^12 operations a second: 400 is 40 % of an H100's peak.",
            rich_help_panel=_LARGE_PANEL,
        ),
    ] = 400,
    node_price: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Price of one of these machines for an hour, to tell what all costs.",
            rich_help_panel=_LARGE_PANEL,
        ),
    ] = None,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Find the lines of two files that translate each other, best first.

    Prints a table with a header: margin_score, source, target; --ids adds both line numbers,
    --flags what is odd, --source-lang and --target-lang the languages. A tab or line end inside a
    text becomes a space, and how often is told. --json keeps the text as it is, one object a line.
    Blank lines are left out, repeated ones taken once. Of two files of vectors the row numbers are
    printed, from 0, which --ids does then not repeat.

    [bold]Examples[/bold]

    labse mine news.de news.en --source-lang de --target-lang en --out pairs.tsv

    labse mine news.de.gz news.en.gz --ids --json | head

    labse mine big.de big.en --work work --out pairs.tmx --source-lang de --target-lang en
    """
    if min_score is not None and not math.isfinite(min_score):
        raise UsageError(f"--min-score {min_score}: give a number")
    search = SearchOptions(parse_size(memory), index, device, nprobe, ef)
    output = MinedOutput(
        "-" if out is None else out,
        "jsonl" if json else format,
        langs=(source_lang, target_lang),
        with_ids=ids,
        with_flags=flags,
        with_quality=quality,
        drop=frozenset(drop.split(",") if drop else ()),
    )
    try:
        options = MiningOptions(k, margin, min_score, retrieval, rerank, min_rerank_score)
    except ValueError as error:
        raise UsageError(f"--{str(error).replace('_', '-')}") from None
    vectors = (source_vectors, target_vectors)
    encoder = partial(load_encoder, model, precision, runtime, threads)
    if cluster is not None and dry_run:
        raise UsageError("--cluster: --dry-run plans one by --cluster-size")
    check_work(cluster, work)
    if gpus_per_task and cluster is None:
        raise UsageError("--gpus-per-task is for the tasks of --cluster")
    if not dry_run and (cluster_size or gpus or node_price is not None):
        raise UsageError("--cluster-size, --gpus and --node-price are for --dry-run")
    if cluster_size is None and (gpus or node_price is not None):
        raise UsageError("--gpus and --node-price are of a cluster; give --cluster-size")
    if dry_run:
        estimate = estimate_mining(
            source, target, vectors=vectors, column=column, encoder=encoder, k=k, search=search
        )
        told = estimate.describe()
        if cluster_size is not None:
            size = ClusterSize(cluster_size, count_cpus(), gpus, tflops, node_price=node_price)
            told = {"lines": told["lines"], **estimate.plan(size).describe()}
        print_lines(("\t".join(row) for row in told.items()), None)
        return
    with open_workers(1, cluster) as executor, progress("mine") as update:
        mined = mine_files(
            source,
            target,
            output,
            vectors=vectors,
            column=column,
            encoder=encoder,
            options=options,
            search=replace(search, workers=executor, gpus_per_task=gpus_per_task),
            work=work,
            on_progress=update,
        )

    if mined.num_altered:
        what = "a character that the format cannot; another is in its place"
        say(f"{mined.num_altered:,} pairs hold {what}")
    odd = [f"{number:,} {_ODD[flag]}" for flag, number in mined.flags.items() if number]
    if odd:
        say(f"odd pairs: {', '.join(odd)}; --flags shows them")
    dropped = f"; {mined.num_dropped:,} dropped by flag" if mined.num_dropped else ""
    say(f"{mined.num_written:,} pairs{dropped}")
    if mined.num_truncated:
        now = " of those embedded now" if work is not None else ""
        say(f"{mined.num_truncated:,} lines{now} cut to {mined.max_seq_length} tokens")
    if mined.start_score is not None and mined.num_written:
        say(
            f"no --min-score was given: with the model of labse {mined.start_score:.2f} is a start "
            f"for such sizes, which {mined.num_below:,} pairs do not reach; labse rate and labse "
            "calibrate find the right one"
        )
