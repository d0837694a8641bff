"""Any number of sentences to a folder of shards, in constant memory; after a kill it goes on.

Takes: an encoder, a stream of sentences, a folder. Gives: shards and `manifest.json`.
Source: docs/design.md, promises. While the run lasts, `progress.jsonl` stands in place of the
manifest: how the vectors are made, then a line for each shard that is whole.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.corpus.equal_texts import hash_texts
from labse.encoder.batching import split_by_budget
from labse.encoder.job.duplicates import SeenSentences
from labse.encoder.job.records import RunRecord, Settings, open_record
from labse.encoder.job.shard import Shard, hash_text
from labse.encoder.job.vector_files import Storage
from labse.encoder.job.workers import Workers
from labse.errors import InterruptedRunError, LabseError, ResourceError
from labse.files.atomic import claim_folder
from labse.runtime import hold_interrupts

__all__ = ["MAX_JOBS", "EncodedFolder", "encode_folder"]

MAX_JOBS = 64
_SHARD_CHARACTERS = 1 << 25
_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class EncodedFolder:
    """What a whole run wrote; `num_*` count rows, `num_encoded` what was computed."""

    path: Path
    num_rows: int
    num_encoded: int
    num_long: int
    num_empty: int
    num_shards: int
    embedding_size: int

    @property
    def num_duplicates(self) -> int:
        """Rows that are copies of a row computed before."""
        return self.num_rows - self.num_encoded


@dataclass(slots=True)
class _State:
    """What the loop over shards knows."""

    record: RunRecord
    seen: SeenSentences = field(default_factory=SeenSentences)
    running: dict[Future[Shard], int] = field(default_factory=dict)


def encode_folder(
    workers: Workers,
    sentences: Iterable[str],
    out: str | Path,
    *,
    settings: Settings,
    shard_rows: int,
    storage: Storage,
    inputs: Callable[[], Sequence[dict[str, object]]] = tuple,
    report: Callable[[int], None] | None = None,
) -> EncodedFolder:
    """Encodes all sentences; row i of the folder is sentence i.

    Called again on the folder of a run that was stopped, it reads the sentences from the start,
    compares them with the shards that are there, and computes the rest. The bytes are those of a
    run that was never stopped, whatever the number of workers: for numpy and ctranslate2 as they
    come, for torch if each worker has the same number of threads.

    Args:
        workers: compute shards.
        sentences: valid Unicode.
        out: the folder; made if it is not there.
        settings: all that the bytes depend on beside the text; a folder keeps to its own.
        shard_rows: rows of a shard, fewer if its text is over 32 Mi characters.
        storage: the type of the stored values.
        inputs: asked at the end for what the manifest says of the inputs.
        report: called with the number of rows done.

    Raises:
        InterruptedRunError: SIGINT (KeyboardInterrupt) arrived.
        UsageError: another process is at work in `out`, or it holds something else.
        LabseError: the input is broken or not that of the shards that are there.
        ResourceError: the folder cannot be written, or a worker died.
    """
    folder = Path(out)
    _make_folder(folder)
    with claim_folder(folder), open_record(folder, settings, workers.embedding_size) as record:
        _remove_temporary(folder)
        state = _State(record)
        try:
            parts = split_by_budget(sentences, shard_rows, _SHARD_CHARACTERS)
            number = -1
            for number, part in enumerate(parts):
                _begin_shard(number, part, state, workers, storage, report)
            while state.running:
                _collect(state, workers, report)
            shards = record.finish(number + 1, inputs())
        except KeyboardInterrupt:
            workers.stop()
            rows = sum(shard.num_rows for shard in record.shards.values())
            raise InterruptedRunError(
                f"stopped; {len(record.shards):,} shards with {rows:,} rows are in {folder}, and "
                "the same command goes on"
            ) from None
        except BaseException:
            workers.stop()
            raise
    return EncodedFolder(
        path=folder,
        num_rows=sum(shard.num_rows for shard in shards),
        num_encoded=sum(shard.num_encoded for shard in shards),
        num_long=sum(shard.num_long for shard in shards),
        num_empty=sum(shard.num_empty for shard in shards),
        num_shards=len(shards),
        embedding_size=workers.embedding_size,
    )


def _begin_shard(
    number: int,
    sentences: list[str],
    state: _State,
    workers: Workers,
    storage: Storage,
    report: Callable[[int], None] | None,
) -> None:
    """Gives a shard to a worker, unless it is there already."""
    keys, rows = _first_rows(sentences)
    places = state.seen.find(keys)
    state.seen.add(keys, number, rows)
    if (there := state.record.shards.get(number)) is not None:
        if there.text_sha256 != hash_text(sentences):
            raise LabseError(
                f"{state.record.folder}: the input is not the one of its shard {number}; give the "
                "same input, or another --out"
            )
        _tell(state, workers, report)
        return
    while len(state.running) > workers.jobs:  # One waits for those that run.
        _collect(state, workers, report)
    future = workers.submit(sentences, state.record.folder, number, storage, places)
    state.running[future] = number


def _first_rows(sentences: list[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Returns hash and first row of each distinct sentence, in the order of appearance."""
    rows: dict[str, int] = {}
    for row, text in enumerate(sentences):
        rows.setdefault(text, row)
    return hash_texts(list(rows)), np.fromiter(rows.values(), np.int64, len(rows))


def _collect(state: _State, workers: Workers, report: Callable[[int], None] | None) -> None:
    """Waits a little and writes down what is done."""
    with hold_interrupts():
        done, _ = wait(state.running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
    for future in sorted(done, key=state.running.__getitem__):
        try:
            shard = future.result()
        except BrokenExecutor:
            raise ResourceError(
                "a worker process died, perhaps for want of memory; the same command goes on, "
                "with fewer --jobs if it happens again"
            ) from None
        state.record.add(shard)
        del state.running[future]
    _tell(state, workers, report)


def _tell(state: _State, workers: Workers, report: Callable[[int], None] | None) -> None:
    if report is None:
        return
    computed_here = sum(state.record.shards[number].num_encoded for number in state.record.new)
    ahead = max(workers.num_encoded - computed_here, 0)
    report(state.record.num_rows + ahead)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, os.strerror(13))
    except FileExistsError:
        raise ResourceError(f"{folder}: is a file; give the name of a folder") from None
    except OSError as error:
        raise ResourceError(f"{folder}: cannot be written: {error.strerror}") from None


def _remove_temporary(folder: Path) -> None:
    """Deletes what a killed run was writing; nobody else is at work here."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            path.unlink()
