"""The command `labse encode`."""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from labse.cli.console import print_json, progress, say
from labse.cli.options import (
    JsonOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    ThreadsOption,
)
from labse.encoder.job.embedding_file import encode_file
from labse.encoder.job.inputs import InputTexts
from labse.encoder.job.shard_run import encode_folder
from labse.encoder.job.workers import LoadEncoder, Workers
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.tokenization import TextOptions
from labse.errors import InterruptedRunError, UsageError
from labse.runtime import answer_signals

__all__ = ["encode"]

Storage = Literal["float32", "float16", "int8"]

_SHARD_ROWS = 65_536
_FILE_SUFFIXES = frozenset(
    {
        ".csv",
        ".tsv",
        ".txt",
        ".json",
        ".jsonl",
        ".parquet",
        ".npz",
        ".pt",
        ".h5",
        ".bin",
        ".safetensors",
        ".gz",
        ".zst",
        ".pkl",
    }
)
_TEXT_PANEL = "Text"
_FOLDER_PANEL = "Folders"


def encode(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Text, one sentence a line, .tsv, .jsonl or .parquet; .gz, .bz2 and .zst too; - "
            "is standard input.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE.npy|FOLDER",
            help="One file of vectors, or a folder of shards and a manifest, for any size. Row i "
            "is line i, empty lines included.",
            show_default=False,
        ),
    ],
    model: ModelOption = None,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
    storage: Annotated[
        Storage,
        typer.Option(help="Type of the stored values; int8 has a scale a row, in folders only."),
    ] = "float32",
    column: Annotated[
        str | None,
        typer.Option(
            help="Column or key of .tsv, .jsonl and .parquet; without it, text.",
            rich_help_panel=_TEXT_PANEL,
            show_default=False,
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
            show_default=False,
        ),
    ] = None,
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
    ] = _SHARD_ROWS,
    json: JsonOption = False,
) -> None:
    """Turn lines into vectors that numpy.load reads.

    A folder takes any number of lines in constant memory. Stopped or killed, the same command
    goes on and ends in the same bytes; labse verify checks them.

    [bold]Examples[/bold]

    labse encode sentences.txt --out vectors.npy

    zcat news.gz | labse encode - --out vectors.npy --model runs/tiny/run/model

    labse encode crawl-*.txt.gz --out vectors --storage float16 --jobs 2

    labse encode pages.jsonl --column body --long mean --out vectors
    """
    is_folder = _check_out(out, storage, jobs, shard_rows)
    if is_folder:
        # Before NumPy is loaded. With more threads a product is summed in another order, and the
        # bytes of a folder must not depend on how many processes share the processors.
        os.environ["OPENBLAS_NUM_THREADS"] = "1"

    texts = InputTexts(sources, column=column)
    load = partial(
        SentenceEncoder.from_pretrained,
        model,
        precision=precision,
        runtime=runtime,
        threads=threads,
        text=TextOptions(long=long, nfc=nfc, split_long_words=split_long_words),
    )
    if is_folder:
        with _termination_as_interrupt(out):
            _encode_folder(load, texts, out, storage, precision, jobs, shard_rows, json)
    else:
        _encode_file(load(), texts, out, "float16" if storage == "float16" else "float32", json)


def _check_out(out: Path, storage: Storage, jobs: int, shard_rows: int) -> bool:
    """Returns whether `out` is to be a folder."""
    if out.suffix.lower() in _FILE_SUFFIXES and not out.is_dir():
        raise UsageError(
            f"--out {out}: vectors are written as one .npy file or as a folder of shards; give a "
            "name that ends in .npy, or one without a suffix for a folder"
        )
    if out.suffix != ".npy":
        return True
    for name, is_given in (
        ("--storage int8", storage == "int8"),
        ("--jobs", jobs != 1),
        ("--shard-rows", shard_rows != _SHARD_ROWS),
    ):
        if is_given:
            raise UsageError(f"{name}: is for a folder; give --out a name without .npy")
    return False


def _encode_file(
    encoder: "SentenceEncoder",
    texts: "InputTexts",
    out: Path,
    storage: Literal["float32", "float16"],
    json: bool,
) -> None:

    with progress("encode", texts.estimate_rows(), unit="rows") as update:
        update(0)
        written = encode_file(encoder, texts, out, storage=storage, report=update)
    if not written.num_rows:
        say(f"{', '.join(map(str, texts.paths))}: empty, so there are no rows")
    say(
        f"{out}: {written.num_rows:,} rows of {written.embedding_size}, "
        + _tell_long(encoder, written.num_long)
    )
    if json:
        print_json(
            {
                "path": str(written.path),
                "num_rows": written.num_rows,
                "embedding_size": written.embedding_size,
                "num_long": written.num_long,
                "num_truncated": written.num_long if encoder.text.long == "truncate" else 0,
            }
        )


def _encode_folder(
    load: "LoadEncoder",
    texts: "InputTexts",
    out: Path,
    storage: Storage,
    precision: str,
    jobs: int,
    shard_rows: int,
    json: bool,
) -> None:

    encoder = load()
    settings = {
        "model_sha256": encoder.hash_model(),
        "runtime": encoder.runtime_name,
        "precision": precision,
        "max_seq_length": encoder.max_seq_length,
        **asdict(encoder.text),
        "storage": storage,
        "shard_rows": shard_rows,
    }
    with (
        Workers(encoder, jobs=jobs, load=load) as workers,
        progress("encode", texts.estimate_rows(), unit="rows") as update,
    ):
        written = encode_folder(
            workers,
            texts,
            out,
            settings=settings,
            shard_rows=shard_rows,
            storage=storage,
            inputs=texts.describe,
            report=update,
        )
    say(
        f"{out}: {written.num_rows:,} rows of {written.embedding_size} in {written.num_shards:,} "
        f"shards; {written.num_duplicates:,} copies of equal lines, {written.num_empty:,} empty, "
        + _tell_long(encoder, written.num_long)
    )
    if json:
        counts = asdict(written) | {"num_duplicates": written.num_duplicates}
        print_json(counts | {"path": str(written.path)})


def _tell_long(encoder: "SentenceEncoder", num_long: int) -> str:
    if encoder.text.long == "mean":
        return f"{num_long:,} over {encoder.max_seq_length} tokens and averaged"
    return f"{num_long:,} cut to {encoder.max_seq_length} tokens"


@contextlib.contextmanager
def _termination_as_interrupt(out: Path) -> Iterator[None]:
    """Makes SIGTERM and Ctrl-C end the run with the promise that it goes on."""

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    try:
        with answer_signals(stop, (signal.SIGTERM,)):
            yield
    except KeyboardInterrupt:
        raise InterruptedRunError(f"stopped; the same command goes on in {out}") from None
