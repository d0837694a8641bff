"""The command `labse encode`."""

from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from labse.cli.console import count, print_json, progress, say
from labse.cli.options import (
    ClusterOption,
    GpusPerTaskOption,
    JsonOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    ShardOption,
    ThreadsOption,
    open_workers,
)
from labse.encoder.job.encode_files import encode_files
from labse.encoder.job.encode_folder import SHARD_ROWS, EncodedFolder
from labse.encoder.job.inputs import LineBlock
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.tokenization import TextOptions
from labse.files.object_store import find_url

__all__ = ["encode"]

_TEXT_PANEL = "Text"
_FOLDER_PANEL = "Folders"


def encode(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Text, one sentence a line, .tsv, .jsonl or .parquet; .gz, .bz2 and .zst too; - "
            "is standard input.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE.npy|FOLDER",
            help="One file of vectors, or a folder of shards and a manifest, for any size. Row i "
            "is line i, empty lines included.",
        ),
    ],
    model: ModelOption = None,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
    storage: Annotated[
        Literal["float32", "float16", "int8"],
        typer.Option(help="Type of the stored values; int8 has a scale a row, in folders only."),
    ] = "float32",
    column: Annotated[
        str | None,
        typer.Option(
            help="Column or key of .tsv, .jsonl and .parquet; without it, text.",
            rich_help_panel=_TEXT_PANEL,
        ),
    ] = None,
    long: Annotated[
        Literal["truncate", "mean"],
        typer.Option(
            help="Texts over the model's length: cut, or the mean of windows by their tokens.",
            rich_help_panel=_TEXT_PANEL,
        ),
    ] = "truncate",
    nfc: Annotated[
        bool,
        typer.Option(
            "--nfc", help="Compose characters first (Unicode NFC).", rich_help_panel=_TEXT_PANEL
        ),
    ] = False,
    split_long_words: Annotated[
        bool | None,
        typer.Option(
            help="Cut words over the tokenizer's limit in place of [UNK]. Without the option, all "
            "models but those with BERT's limit of 100 do.",
            rich_help_panel=_TEXT_PANEL,
        ),
    ] = None,
    shard: ShardOption = None,
    cluster: ClusterOption = None,
    gpus_per_task: GpusPerTaskOption = 0,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            max=64,
            help="Processes, each with a model of its own.",
            rich_help_panel=_FOLDER_PANEL,
        ),
    ] = 1,
    shard_rows: Annotated[
        int, typer.Option(min=1, help="Rows of a shard.", rich_help_panel=_FOLDER_PANEL)
    ] = SHARD_ROWS,
    json: JsonOption = False,
) -> None:
    """Turn lines into vectors that numpy.load reads.

    A folder takes any number of lines in constant memory. Stopped or killed, the same command
    goes on and ends in the same bytes; labse verify checks them.

    [bold]Examples[/bold]

    labse encode sentences.txt --out vectors.npy

    zcat news.gz | labse encode - --out vectors.npy --model LaBSE

    labse encode crawl-*.txt.gz --out vectors --storage float16 --jobs 2

    labse encode pages.jsonl --column body --long mean --out vectors

    labse encode /shared/crawl-*.txt.gz --out /shared/vectors --cluster auto
    """
    load = cache(
        partial(
            SentenceEncoder.from_pretrained,
            model,
            precision=precision,
            runtime=runtime,
            threads=threads,
            text=TextOptions(long=long, nfc=nfc, split_long_words=split_long_words),
        )
    )
    with (
        open_workers(jobs, cluster, "--jobs") as executor,
        progress("encode", unit="rows") as on_progress,
    ):
        written = encode_files(
            sources,
            out,
            encoder=load,
            storage=storage,
            column=column,
            shard=LineBlock.parse(shard),
            jobs=executor,
            gpus_per_task=gpus_per_task,
            shard_rows=shard_rows,
            on_progress=on_progress,
        )

    max_tokens, counts = load().max_seq_length, ""
    if isinstance(written, EncodedFolder):
        shards = count(written.num_shards, "shard")
        counts = f" in {shards}; {written.num_duplicates:,} copies of equal lines"
    elif not written.num_rows:
        say(f"{', '.join(sources)}: empty, so there are no rows")
    treated = f"cut to {max_tokens} tokens"
    if long == "mean":
        treated = f"over {max_tokens} tokens and averaged"
    say(
        f"{out}: {count(written.num_rows, 'row')} of {written.embedding_size}{counts}, "
        f"{written.num_long:,} {treated}"
    )
    if written.num_empty:
        say(f"{count(written.num_empty, 'line')} without text; all such lines have one vector")
    if written.num_unknown:
        say(
            f"{count(written.num_unknown, 'line')} without a piece that the model knows; all such "
            "lines have one vector, which says nothing"
        )
    if json:
        print_json(asdict(written) | {"path": find_url(written.path) or str(written.path)})
