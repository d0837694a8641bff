"""A folder of vectors: a shard of each part of the text, made unless it is there already.

Takes: texts in order, an encoder, processes or a cluster. Gives: shards and a manifest; a stopped
    call goes on there.
Source: docs/encoding.md; docs/design.md, promises.
"""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from labse.cluster.tasks import Executor
from labse.encoder.job.records import FolderRecord, open_record
from labse.encoder.job.shard import STORAGE_TYPES, SeenTexts, Shard, Storage, encode_shard
from labse.encoder.job.shard_tasks import run_shard_tasks
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.streaming import UniqueTexts, split_by_budget
from labse.errors import InterruptedRunError, LabseError, UsageError
from labse.files.atomic import check_space
from labse.runtime import OnProgress, hold_interrupts

__all__ = [
    "SHARD_CHARACTERS",
    "SHARD_ROWS",
    "EncodedFolder",
    "check_vector_space",
    "encode_folder",
]

SHARD_ROWS = 65_536  # 192 MiB of vectors of 768 dimensions; equal sentences in it meet.
SHARD_CHARACTERS = 1 << 25
_POLL_SECONDS = 0.25


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


def encode_folder(
    texts: Iterable[str],
    out: Path,
    *,
    encoder: SentenceEncoder,
    storage: Storage = "float32",
    settings: Mapping[str, object] = MappingProxyType({}),
    jobs: int | Executor = 1,
    gpus_per_task: float = 0.0,
    shard_rows: int = SHARD_ROWS,
    num_rows: int | None = None,
    describe_inputs: Callable[[], Sequence[Mapping[str, object]]] = tuple,
    on_progress: OnProgress | None = None,
) -> EncodedFolder:
    """Encodes each text; goes on with the shards of an earlier call, whose texts are compared.

    Args:
        texts: of the rows, in order.
        out: the folder.
        encoder: gives the vectors.
        storage: type of the stored values.
        settings: what else decides which texts these are, for the manifest.
        jobs, gpus_per_task: see `encode_files`.
        shard_rows: rows of a shard, fewer if its text is over 32 Mi characters.
        num_rows: of all texts, at a guess; None: it cannot be told.
        describe_inputs: called at the end; tells of the inputs what the manifest is to say.
        on_progress: called with the rows done and `num_rows`.

    Raises:
        InterruptedRunError, UsageError, LabseError, ResourceError: see `encode_files`.
    """
    if gpus_per_task and encoder.runtime_name != "torch":
        raise UsageError(
            f"--gpus-per-task: the runtime {encoder.runtime_name} computes on the CPU; give "
            "--runtime torch"
        )

    def tell(done: int) -> None:
        if on_progress:
            on_progress(done, num_rows)

    described = _describe_vectors(encoder) | {"storage": storage, "shard_rows": shard_rows}
    described |= {"embedding_size": encoder.embedding_size, **settings}
    with open_record(out, described) as record:
        if num_rows is not None:
            num_new = max(num_rows - record.num_rows, 0)
            check_vector_space(out, num_new, encoder.embedding_size, storage)
        # Cut the stream once: what is held in memory, and where equal lines meet for sure.
        parts = split_by_budget(texts, shard_rows, SHARD_CHARACTERS)
        job = _FolderJob(record, encoder, storage, tell)
        return job.run(parts, describe_inputs, jobs, gpus_per_task)


def _describe_vectors(encoder: SentenceEncoder) -> dict[str, object]:
    """Returns all of an encoder that the bytes of its vectors depend on."""
    return {
        "model_sha256": encoder.hash_model(),
        "runtime": encoder.runtime_name,
        "precision": encoder.precision,
        "max_seq_length": encoder.max_seq_length,
        **asdict(encoder.text),
    }


def check_vector_space(out: Path, num_rows: int, embedding_size: int, storage: Storage) -> None:
    """Compares the bytes of the vectors that are to come with the room on the disk."""
    check_space(out, num_rows * embedding_size * np.dtype(STORAGE_TYPES[storage]).itemsize)


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
        describe_inputs: Callable[[], Sequence[Mapping[str, object]]],
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
