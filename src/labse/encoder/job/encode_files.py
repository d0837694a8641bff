"""Files to vectors, row for row: what `labse encode` does, as one call.

Takes: files of text. Gives: one `.npy` file, or a folder of shards; a stopped call goes on there.
Source: docs/encoding.md; docs/design.md, promises.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from labse.cluster.tasks import Executor
from labse.corpus.shards import expand_folders
from labse.encoder.job.encode_folder import (
    SHARD_CHARACTERS,
    SHARD_ROWS,
    EncodedFolder,
    check_vector_space,
    encode_folder,
)
from labse.encoder.job.inputs import InputTexts, LineBlock
from labse.encoder.job.shard import STORAGE_TYPES, Storage
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.source import EncoderSource, load_encoder
from labse.encoder.streaming import split_by_budget
from labse.errors import UsageError
from labse.files.atomic import MANIFEST_NAME, check_writable, refuse_url
from labse.files.npy import write_array
from labse.files.scratch import remove_leftovers
from labse.files.system import real_path
from labse.runtime import OnProgress, resumable

__all__ = ["EncodedFile", "encode_files"]

# What a user would not expect to become a folder.
_NO_FOLDER = re.compile(r"\.(bin|csv|gz|h5|jsonl?|npz|parquet|pkl|pt|safetensors|tsv|txt|zst)")


@dataclass(frozen=True, slots=True)
class EncodedFile:
    """A file of vectors.

    Attributes:
        path: the file.
        num_rows: one for each line.
        embedding_size: D.
        num_long: lines over the model's length.
        num_truncated: those of them that were cut, and not averaged.
        num_unknown: lines of which the model knows no piece.
        num_empty: lines of white space only.
    """

    path: Path
    num_rows: int
    embedding_size: int
    num_long: int
    num_truncated: int
    num_unknown: int = 0
    num_empty: int = 0


def encode_files(
    paths: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    encoder: EncoderSource = None,
    storage: Storage = "float32",
    column: str | None = None,
    shard: LineBlock | None = None,
    jobs: int | Executor = 1,
    gpus_per_task: float = 0.0,
    shard_rows: int = SHARD_ROWS,
    on_progress: OnProgress | None = None,
) -> EncodedFile | EncodedFolder:
    """Encodes each line of the files in constant memory; row i is line i, empty lines included.

    A folder that an earlier call was filling is gone on with: the lines are read from the start,
    compared with the shards that are there, and the rest is computed. The bytes are those of a call
    that was never stopped, whatever `jobs` is: for numpy and ctranslate2 as they come, for torch if
    each process has the same number of threads.

    Args:
        paths: text, .tsv, .jsonl or .parquet, packed or not, one or several; `-` is standard input.
        out: a file that ends in .npy; any other name is a folder of shards.
        encoder: gives the vectors, or loads what does; None: the model that comes with labse.
        storage: type of the stored values; int8 is for folders.
        column: column or key of tables; None: `text`.
        shard: the block of lines to encode, so that several machines share the files, which are
            then read twice; None: all lines.
        jobs: processes, each with an encoder of its own, or an executor such as
            `labse.RayExecutor`, whose machines load it from the same folder; for folders.
        gpus_per_task: GPUs, or the share of one, that an executor gives each shard.
        shard_rows: rows of a shard, fewer if its text is over 32 Mi characters; for folders.
        on_progress: called with the rows done and the rows there may be.

    Raises:
        InterruptedRunError: Ctrl-C or SIGTERM came, or a process died; the same call goes on. For
            folders alone.
        UsageError: an option that `out` does not take, a file of a format that is not read, or
            another process is at work in `out`, or it holds something else.
        LabseError: the input is broken, or not that of the shards that are there.
        ResourceError: `out` cannot be written.
    """
    # Check all that can be checked before a model is loaded.
    out = Path(out)
    is_folder = _is_folder(out, storage, jobs, shard_rows)
    if gpus_per_task and isinstance(jobs, int):
        raise UsageError("--gpus-per-task is for the tasks of --cluster")
    names = [paths] if isinstance(paths, str | Path) else paths
    if is_folder:
        refuse_url(out)
    check_writable(out / MANIFEST_NAME if is_folder else out, inputs=names)
    texts = InputTexts(expand_folders(names), column=column)
    if shard is not None:
        if "-" in texts.paths:
            raise UsageError("--shard reads the lines twice, so they cannot be standard input (-)")
        rows = shard.bounds(sum(1 for _ in texts))
        texts = InputTexts(texts.paths, column=column, rows=rows)

    num_rows = texts.estimate_rows()
    if not is_folder:
        loaded = load_encoder(encoder)
        if num_rows is not None:
            check_vector_space(out, num_rows, loaded.embedding_size, storage)
        parts = split_by_budget(texts, shard_rows, SHARD_CHARACTERS)
        return _encode_file(loaded, parts, out, storage, num_rows, on_progress)
    with resumable(out):
        return encode_folder(
            texts,
            out,
            encoder=load_encoder(encoder),
            storage=storage,
            settings={} if shard is None else {"shard": str(shard)},
            jobs=jobs,
            gpus_per_task=gpus_per_task,
            shard_rows=shard_rows,
            num_rows=num_rows,
            describe_inputs=texts.describe,
            on_progress=on_progress,
        )


def _is_folder(out: Path, storage: Storage, jobs: int | Executor, shard_rows: int) -> bool:
    """Says whether `out` is to be a folder, and refuses what a file does not take."""
    if storage not in STORAGE_TYPES:
        raise UsageError(f"storage {storage!r}: choose one of {', '.join(STORAGE_TYPES)}")
    if str(out) == "-":
        raise UsageError("--out -: vectors do not go to standard output; name a file or a folder")
    for option, number in (("jobs", jobs), ("shard_rows", shard_rows)):
        if isinstance(number, int) and number < 1:
            raise UsageError(f"{option} is {number}; it must be at least 1")
    if _NO_FOLDER.fullmatch(out.suffix.lower()) and not out.is_dir():
        raise UsageError(
            f"--out {out}: vectors are written as one .npy file or as a folder of shards; give a "
            "name that ends in .npy, or one without a suffix for a folder"
        )
    if out.suffix != ".npy":
        return True
    for name, is_given in (
        ("--storage int8", storage == "int8"),
        ("--jobs", isinstance(jobs, int) and jobs != 1),
        ("--cluster", not isinstance(jobs, int)),
        ("--shard-rows", shard_rows != SHARD_ROWS),
    ):
        if is_given:
            raise UsageError(f"{name}: is for a folder; give --out a name without .npy")
    return False


def _encode_file(
    encoder: SentenceEncoder,
    parts: Iterator[list[str]],
    out: Path,
    storage: Storage,
    total: int | None,
    on_progress: OnProgress | None,
) -> EncodedFile:
    before = encoder.num_long, encoder.num_truncated, encoder.num_unknown
    num_rows = num_empty = 0

    def tell() -> None:
        if on_progress:
            on_progress(num_rows, total)

    tell()
    remove_leftovers(real_path(out))
    with write_array(out, STORAGE_TYPES[storage], (encoder.embedding_size,)) as append:
        for part in parts:
            append(encoder.encode(part))
            num_rows += len(part)
            num_empty += sum(not text.strip() for text in part)
            tell()
    return EncodedFile(
        path=out,
        num_rows=num_rows,
        embedding_size=encoder.embedding_size,
        num_long=encoder.num_long - before[0],
        num_truncated=encoder.num_truncated - before[1],
        num_unknown=encoder.num_unknown - before[2],
        num_empty=num_empty,
    )
