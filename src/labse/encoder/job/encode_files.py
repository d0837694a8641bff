"""Files to vectors, row for row: what `labse encode` does, as one call.

Takes: files of text. Gives: one `.npy` file, or a folder of shards; a stopped call goes on there.
Source: docs/encoding.md; docs/design.md, promises.
"""

import contextlib
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from labse.cluster.tasks import Executor
from labse.corpus.shards import expand_folders
from labse.encoder.job.inputs import InputTexts, LineBlock
from labse.encoder.job.records import FolderRecord, open_record
from labse.encoder.job.shard import STORAGE_TYPES, SeenTexts, Shard, Storage, encode_shard
from labse.encoder.job.shard_tasks import run_shard_tasks
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.source import EncoderSource, load_encoder
from labse.encoder.streaming import UniqueTexts, split_by_budget
from labse.errors import InterruptedRunError, LabseError, UsageError
from labse.files.atomic import MANIFEST_NAME, check_space, check_writable, remove_leftovers
from labse.files.npy import write_array
from labse.files.system import real_path
from labse.runtime import OnProgress, hold_interrupts, resumable

__all__ = ["SHARD_ROWS", "EncodedFile", "EncodedFolder", "encode_files"]

SHARD_ROWS = 65_536  # 192 MiB of vectors of 768 dimensions; equal sentences in it meet.
_SHARD_CHARACTERS = 1 << 25
_POLL_SECONDS = 0.25
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


@dataclass(frozen=True, slots=True)
class EncodedFolder:
    """A folder of vectors.

    Attributes:
        path: the folder.
        num_rows: one for each line.
        num_encoded: lines that were computed.
        num_long: lines over the model's length.
        num_empty: lines without a token.
        num_unknown: lines of which the model knows no piece.
        num_shards: files of vectors.
        embedding_size: D.
        num_duplicates: rows that are copies of a row computed before.
    """

    path: Path
    num_rows: int
    num_encoded: int
    num_long: int
    num_empty: int
    num_unknown: int
    num_shards: int
    embedding_size: int
    num_duplicates: int


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
    check_writable(out / MANIFEST_NAME if is_folder else out, inputs=names)
    texts = InputTexts(expand_folders(names), column=column)
    if shard is not None:
        if "-" in texts.paths:
            raise UsageError("--shard reads the lines twice, so they cannot be standard input (-)")
        rows = shard.bounds(sum(1 for _ in texts))
        texts = InputTexts(texts.paths, column=column, rows=rows)

    # Cut the stream once: what is held in memory, and where equal lines meet for sure.
    parts = split_by_budget(texts, shard_rows, _SHARD_CHARACTERS)
    total = texts.estimate_rows() if on_progress else None

    def tell(done: int) -> None:
        if on_progress:
            on_progress(done, total)

    if not is_folder:
        loaded = load_encoder(encoder)
        _check_space(out, texts, loaded.embedding_size, storage)
        return _encode_file(loaded, parts, out, storage, tell)
    with resumable(out):
        loaded = load_encoder(encoder)
        settings = _describe_vectors(loaded) | {"storage": storage, "shard_rows": shard_rows}
        settings["embedding_size"] = loaded.embedding_size
        settings |= {} if shard is None else {"shard": str(shard)}
        with open_record(out, settings) as record:
            _check_space(out, texts, loaded.embedding_size, storage, num_done=record.num_rows)
            job = _FolderJob(record, loaded, storage, tell)
            return job.run(parts, texts.describe, jobs, gpus_per_task)


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


def _check_space(
    out: Path, texts: InputTexts, embedding_size: int, storage: Storage, *, num_done: int = 0
) -> None:
    """Compares the bytes of the vectors that are to come with the room on the disk."""
    if (num_rows := texts.estimate_rows()) is not None:
        row_bytes = embedding_size * np.dtype(STORAGE_TYPES[storage]).itemsize
        check_space(out, max(num_rows - num_done, 0) * row_bytes)


def _describe_vectors(encoder: SentenceEncoder) -> dict[str, object]:
    """Returns all of an encoder that the bytes of its vectors depend on."""
    return {
        "model_sha256": encoder.hash_model(),
        "runtime": encoder.runtime_name,
        "precision": encoder.precision,
        "max_seq_length": encoder.max_seq_length,
        **asdict(encoder.text),
    }


def _encode_file(
    encoder: SentenceEncoder,
    parts: Iterator[list[str]],
    out: Path,
    storage: Storage,
    tell: Callable[[int], None],
) -> EncodedFile:
    before = encoder.num_long, encoder.num_truncated, encoder.num_unknown
    num_rows = num_empty = 0
    tell(num_rows)
    remove_leftovers(real_path(out))
    with write_array(out, STORAGE_TYPES[storage], (encoder.embedding_size,)) as append:
        for part in parts:
            append(encoder.encode(part))
            num_rows += len(part)
            num_empty += sum(not text.strip() for text in part)
            tell(num_rows)
    return EncodedFile(
        path=out,
        num_rows=num_rows,
        embedding_size=encoder.embedding_size,
        num_long=encoder.num_long - before[0],
        num_truncated=encoder.num_truncated - before[1],
        num_unknown=encoder.num_unknown - before[2],
        num_empty=num_empty,
    )


class _FolderJob:
    """Shards of a folder, each made unless it is there already."""

    def __init__(
        self,
        record: FolderRecord,
        encoder: SentenceEncoder,
        storage: Storage,
        tell: Callable[[int], None],
    ) -> None:
        self._record = record
        self._encoder = encoder
        self._storage = storage
        self._tell = tell
        self._num_shards = 0
        self._num_encoded = 0
        self._is_stopped = False

    def run(
        self,
        parts: Iterator[list[str]],
        describe_inputs: Callable[[], Sequence[dict[str, object]]],
        jobs: int | Executor,
        gpus_per_task: float,
    ) -> EncodedFolder:
        """Makes a shard of each part, then the manifest."""
        record, unmade = self._record, self._unmade(parts)
        try:
            if jobs == 1:
                done = self._encode_beside(unmade)
            else:
                done = run_shard_tasks(
                    unmade,
                    record.folder,
                    record.work / "tasks",
                    encoder=self._encoder,
                    storage=self._storage,
                    workers=jobs,
                    gpus_per_task=gpus_per_task,
                    on_progress=lambda num_encoded, _: self._tell_rows(num_encoded),
                )
            with contextlib.closing(done):
                for shard in done:
                    record.add(shard)
                    self._tell_rows()
            shards = record.finish(self._num_shards, describe_inputs())
        except KeyboardInterrupt:
            raise InterruptedRunError(
                f"stopped; {len(record.shards):,} shards with {record.num_rows:,} rows are in "
                f"{record.folder}, and the same command goes on"
            ) from None
        return EncodedFolder(
            path=record.folder,
            num_rows=record.num_rows,
            num_encoded=sum(shard.num_encoded for shard in shards),
            num_long=sum(shard.num_long for shard in shards),
            num_empty=sum(shard.num_empty for shard in shards),
            num_unknown=sum(shard.num_unknown for shard in shards),
            num_shards=len(shards),
            embedding_size=self._encoder.embedding_size,
            num_duplicates=sum(shard.num_rows - shard.num_encoded for shard in shards),
        )

    def _unmade(
        self, parts: Iterator[list[str]]
    ) -> Iterator[tuple[int, UniqueTexts, NDArray[np.int64]]]:
        """Yields what is to be made: number, texts and places; compares what is there."""
        record, seen = self._record, SeenTexts()
        for number, part in enumerate(parts):
            unique = UniqueTexts.of(part)
            places = seen.replace(unique, number)
            self._num_shards = number + 1
            if (there := record.shards.get(number)) is None:
                yield number, unique, places
                continue
            if there.text_sha256 != unique.sha256():
                raise LabseError(
                    f"{record.folder}: the input is not the one of its shard {number}; give the "
                    "same input, or another --out"
                )
            self._tell_rows()

    def _encode_beside(
        self, shards: Iterator[tuple[int, UniqueTexts, NDArray[np.int64]]]
    ) -> Generator[Shard, None, None]:
        """Yields the shards, of which a thread computes one while the next is read."""
        before: Future[Shard] | None = None
        # With more threads OpenBLAS sums a product in another order, and the bytes of a shard must
        # not depend on how many processes share the processors.
        limit = ThreadpoolController().select(internal_api="openblas").limit(limits=1)
        pool = ThreadPoolExecutor(1, thread_name_prefix="labse-shard")
        try:
            with limit:
                for shard in shards:
                    if before is not None:
                        yield self._await(before)
                    with hold_interrupts():
                        before = pool.submit(self._encode, *shard)
                if before is not None:
                    yield self._await(before)
        finally:
            with hold_interrupts():
                self._is_stopped = True
                pool.shutdown(cancel_futures=True)

    def _encode(self, number: int, unique: UniqueTexts, places: NDArray[np.int64]) -> Shard:
        return encode_shard(
            self._encoder,
            unique,
            self._record.folder,
            number,
            storage=self._storage,
            places=places,
            on_batch=self._count,
        )

    def _await(self, future: Future[Shard]) -> Shard:
        while True:
            with hold_interrupts():
                done, _ = wait([future], timeout=_POLL_SECONDS)
            if done:
                return future.result()
            self._tell_rows(self._num_encoded)

    def _count(self, num_sentences: int) -> None:
        if self._is_stopped:  # Its caller waits for this batch, and no other.
            raise InterruptedRunError("stopped")
        self._num_encoded += num_sentences

    def _tell_rows(self, num_encoded: int = 0) -> None:
        ahead = max(num_encoded - self._record.num_encoded, 0)
        self._tell(self._record.num_rows + ahead)
