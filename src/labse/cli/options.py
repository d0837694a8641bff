"""Options that several commands share, and the encoder they ask for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from labse.cli.console import parse_size
from labse.cluster.on_ray import RayExecutor
from labse.cluster.tasks import Executor
from labse.corpus.shards import CorpusKind
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import UsageError

__all__ = [
    "ClusterOption",
    "ColumnOption",
    "ColumnsOption",
    "DeviceOption",
    "GpusPerTaskOption",
    "JsonOption",
    "KOption",
    "KindOption",
    "LangOption",
    "MemoryOption",
    "ModelOption",
    "OptionalMemoryOption",
    "Precision",
    "PrecisionOption",
    "RowsPerShardOption",
    "Runtime",
    "RuntimeOption",
    "ShardOption",
    "SkipUnknownOption",
    "SourceLangOption",
    "SourceVectorsOption",
    "TargetLangOption",
    "TargetVectorsOption",
    "ThreadsOption",
    "WorkOption",
    "WorkersOption",
    "check_work",
    "load_encoder",
    "open_workers",
    "parse_size",
]

Precision = Literal["float32", "int8", "bfloat16"]
Runtime = Literal["auto", "ctranslate2", "numpy", "torch"]

_PANEL = "Model"

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        help="Model folder, ours or of sentence-transformers; or LaBSE or another owner/name of "
        "the Hugging Face hub, read from its cache or fetched. Without it, the model that comes "
        "with labse: nothing is fetched.",
        rich_help_panel=_PANEL,
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(help="Arithmetic of the model; vectors are float32.", rich_help_panel=_PANEL),
]
RuntimeOption = Annotated[
    Runtime,
    typer.Option(
        help="What computes: auto is numpy for a model without layers, torch for bfloat16, else "
        "ctranslate2.",
        rich_help_panel=_PANEL,
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(min=1, help="CPU threads; without it, all.", rich_help_panel=_PANEL),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs on standard output.")
]

WorkOption = Annotated[
    Path | None,
    typer.Option(
        "--work",
        metavar="FOLDER",
        help="Keep lines, vectors and neighbours here: after a stop the same command goes on. "
        "Without it they lie in a temporary folder (TMPDIR).",
    ),
]
_MEMORY = typer.Option(
    "--memory",
    metavar="SIZE",
    help="Memory for data that is held at a time, such as 800M or 2GB; the program and its results "
    "come on top.",
)
MemoryOption = Annotated[str, _MEMORY]
OptionalMemoryOption = Annotated[str | None, _MEMORY]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"],
    typer.Option(help="Device of the search; auto is a GPU if there is one."),
]
KOption = Annotated[
    int, typer.Option("--k", min=1, help="Neighbours that make the margin of a pair.")
]
KindOption = Annotated[
    CorpusKind,
    typer.Option(
        "--kind",
        help="What the rows are: single texts, or pairs (source, target, source_lang, target_lang; "
        "or lang, english, text).",
    ),
]
LangOption = Annotated[
    str | None,
    typer.Option(
        "--lang",
        help="Language of text, and of tables without lang, such as de. Without it, that of text "
        "in a file named like news.de.",
    ),
]
SourceLangOption = Annotated[
    str | None,
    typer.Option(
        "--source-lang",
        help="Language of the sources of pairs, where no column tells.",
    ),
]
TargetLangOption = Annotated[
    str | None,
    typer.Option(
        "--target-lang",
        help="Language of the targets, where no column tells.",
    ),
]
WorkersOption = Annotated[
    int, typer.Option("--workers", min=1, max=1024, help="Processes; the bytes do not differ.")
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="auto|ray://HOST:PORT",
        help="Ray cluster that does the work in place of --workers: auto is the one that this "
        "machine belongs to. All its nodes must see the inputs and --out under the same paths, or "
        "in a bucket; the bytes do not differ. Needs the extra cluster.",
    ),
]
GpusPerTaskOption = Annotated[
    float,
    typer.Option(
        "--gpus-per-task",
        min=0,
        help="GPUs, or the share of one, that --cluster gives each task.",
    ),
]
RowsPerShardOption = Annotated[
    int, typer.Option("--rows-per-shard", min=1, help="Rows of a shard.")
]
ColumnOption = Annotated[
    str | None,
    typer.Option(
        help="Column of texts in .tsv, .jsonl and .parquet files; without it, text.",
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="source=3,target=4",
        help="Columns of a table of others: by number, from 1, if a TSV has no header, else by "
        "name. Known are source, target, source_lang, target_lang, score, text and lang.",
    ),
]
SkipUnknownOption = Annotated[
    bool,
    typer.Option(
        "--skip-unknown",
        help="Leave out and count rows of a language that is not known, in place of an error.",
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only block I of N blocks of lines, so that N machines share the work. The outputs "
        "one after the other, headers aside, are those of the whole; vectors to the last bit.",
    ),
]
SourceVectorsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Vectors of the source lines from labse encode; row i is line i.",
    ),
]
TargetVectorsOption = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Vectors of the target lines."),
]


def load_encoder(
    model: Path | None, precision: Precision, runtime: Runtime, threads: int | None
) -> "SentenceEncoder":
    """Loads a model folder; see `SentenceEncoder.from_pretrained`."""
    return SentenceEncoder.from_pretrained(
        model, precision=precision, runtime=runtime, threads=threads
    )


def check_work(cluster: str | None, work: Path | None) -> None:
    """Refuses a cluster without a folder that its nodes share.

    Raises:
        UsageError: there is none.
    """
    if cluster is not None and work is None:
        raise UsageError("--cluster: give --work, a folder that all nodes share")


@contextmanager
def open_workers(
    workers: int, cluster: str | None, option: str = "--workers"
) -> Iterator[int | Executor]:
    """Gives what `workers` of a library call takes: processes, or a cluster for the block.

    Raises:
        UsageError: both were asked for.
        ResourceError: see `RayExecutor`.
    """
    if cluster is None:
        yield workers
        return
    if workers != 1:
        raise UsageError(f"{option}: are processes of this machine; leave it out with --cluster")
    with RayExecutor(cluster) as executor:
        yield executor
