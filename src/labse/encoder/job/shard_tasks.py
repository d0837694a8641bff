"""Shards as tasks, for other processes or other machines.

Takes: the parts of the text, an executor. Gives: the shards, as they are done.
Source: docs/cluster.md. A row that equals one of an earlier shard is copied, and that shard may be
at work elsewhere, or be lost. No task waits for another: it leaves what it has computed, and runs
once more when the rows that it copies are there.
"""

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from labse.cluster.local import LocalExecutor
from labse.cluster.tasks import Executor, Task
from labse.encoder.job.shard import EncodedTexts, Shard, Storage, shard_path
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.source import describe_loading, load_described
from labse.encoder.streaming import UniqueTexts
from labse.errors import LabseError
from labse.files.atomic import make_folder, write_atomic
from labse.files.stage import Result
from labse.files.system import count_cpus, find_seen
from labse.runtime import OnProgress

__all__ = ["encode_shard_step", "run_shard_tasks"]

_TELL_SECONDS = 0.5
_SEE_SECONDS = 60.0  # In which a file of another node is seen; NFS keeps a listing for 3 to 60.


def run_shard_tasks(
    shards: Iterable[tuple[int, UniqueTexts, NDArray[np.int64]]],
    folder: Path,
    work: Path,
    *,
    encoder: SentenceEncoder,
    storage: Storage,
    workers: int | Executor,
    gpus_per_task: float = 0.0,
    on_progress: OnProgress,
) -> Generator[Shard, None, None]:
    """Yields shards as they are done.

    Args:
        shards: number, sentences and places of each, in order; see `encode_shard`. Those of the
            places that are none of these are there.
        folder: receives the shards.
        work: a folder for what is in between.
        encoder: is loaded anew by each process.
        storage: see `encode_shard`.
        workers: processes; or an executor.
        gpus_per_task: GPUs, or the share of one, that an executor gives a task.
        on_progress: called with the sentences that were computed so far.

    Raises:
        TypeError: the encoder was not loaded from a folder.
        InterruptedRunError, Exception: see `Executor`.
    """
    shutil.rmtree(work, ignore_errors=True)  # What a killed call left is of an input not compared.
    make_folder(work)
    arguments = {"storage": storage, "model": describe_loading(encoder)}
    places = {"folder": str(folder), "work": str(work)}
    waiting: dict[int, tuple[Task, set[int]]] = {}
    begun: set[int] = set()

    def make_tasks() -> Iterator[Task]:
        for number, unique, copied in shards:
            yield from ready_tasks()
            begun.add(number)
            shard_path(folder, number).unlink(missing_ok=True)  # A killed call did not mark it.
            _write_texts(_texts_path(work, number), unique, copied)
            task = Task(f"shard/{number:06}", encode_shard_step, {"number": number, **arguments})
            num_cpus = encoder.threads or 1
            yield replace(task, places=places, num_cpus=num_cpus, num_gpus=gpus_per_task)

    def ready_tasks() -> Iterator[Task]:
        for number in [n for n, (_, missing) in waiting.items() if not missing & begun]:
            task, _ = waiting.pop(number)
            yield replace(task, arguments={**task.arguments, "is_computed": True})

    if isinstance(workers, int):
        _share_cpus(workers)
        workers = LocalExecutor(workers)
    with _tell_meanwhile(work, on_progress):
        tasks = make_tasks()
        while True:
            for task, result in workers.run(tasks):
                number = cast("int", task.arguments["number"])
                begun.discard(number)
                if missing := cast("list[int]", result["missing"]):
                    waiting[number] = task, {*missing}
                    continue
                _texts_path(work, number).unlink(missing_ok=True)
                yield Shard(**cast("dict[str, object]", result["shard"]))  # type: ignore[arg-type]
            if not waiting:
                break
            tasks = ready_tasks()
    shutil.rmtree(work, ignore_errors=True)


def encode_shard_step(
    folder: str,
    work: str,
    *,
    number: int,
    storage: Storage,
    model: Mapping[str, object],
    is_computed: bool = False,
) -> Result:
    """Writes a shard whose texts lie in `work`; or the part of it that can be computed.

    Args:
        folder: receives the shard.
        work: has the texts, and receives the part.
        number: of the shard.
        storage: see `encode_shard`.
        model: what `describe_loading` told.
        is_computed: whether an earlier call has left its part.

    Returns:
        As `shard` what the manifest says of it; or as `missing` the shards that have rows of it and
        are not there.
    """
    unique, places = _read_texts(_texts_path(Path(work), number))
    if is_computed:
        texts = EncodedTexts.load(Path(work), number, unique, places, storage)
    else:
        # With more threads OpenBLAS sums a product in another order, and the bytes of a shard must
        # not depend on how many processes share the processors.
        count = _Counter(Path(work) / f"texts-{number:06}.count")
        with ThreadpoolController().select(internal_api="openblas").limit(limits=1):
            encoder = _load(json.dumps(model))
            texts = EncodedTexts.compute(encoder, unique, places, storage, count)

    # The others may be whole, or have left a part too: what is copied is in it.
    found = {
        other: _find_shard(other, folder, work, is_computed) for other in texts.copied_shards()
    }
    if missing := [other for other, place in found.items() if place is None]:
        if is_computed:
            raise LabseError(f"{shard_path(Path(folder), missing[0])}: not seen on this machine")
        texts.write(Path(work), number)
        return {"missing": missing}
    for other, place in found.items():
        assert place is not None
        texts.copy_rows(place, other)
    return {"missing": [], "shard": asdict(texts.write(Path(folder), number))}


def _find_shard(number: int, folder: str, work: str, is_there: bool) -> Path | None:
    """Returns the folder with the shard, or with its part; waits for it if it must be there."""
    paths = [shard_path(Path(place), number) for place in (folder, work)]
    found = find_seen(paths, time.monotonic() + (_SEE_SECONDS if is_there else 0))
    return found and found.parent


@lru_cache(maxsize=1)
def _load(model: str) -> SentenceEncoder:
    """Loads an encoder once a process; its description is JSON."""
    return load_described(json.loads(model))


def _share_cpus(workers: int) -> None:
    """Gives the processes to come their part of the threads, unless the user has chosen.

    Libraries read these variables when a process starts; this one has read them.
    """
    num_threads = max(count_cpus() // workers, 1)
    for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ.setdefault(name, str(num_threads))


# ---- texts and counts, in files --------------------------------------------------------------


def _texts_path(work: Path, number: int) -> Path:
    return work / f"texts-{number:06}.npz"


def _write_texts(path: Path, unique: UniqueTexts, places: NDArray[np.int64]) -> None:
    contents = [text.encode() for text in unique.texts]
    with write_atomic(path) as stream:
        np.savez(
            stream,
            content=np.frombuffer(b"".join(contents), np.uint8),
            lengths=np.array([len(content) for content in contents], np.int64),
            numbers=unique.numbers,
            places=places,
        )


def _read_texts(path: Path) -> tuple[UniqueTexts, NDArray[np.int64]]:
    if not path.is_file():
        raise LabseError(f"{path}: not seen on this machine; all must share the folder")
    with np.load(path, allow_pickle=False) as arrays:
        content, lengths = arrays["content"].tobytes(), arrays["lengths"]
        ends = np.cumsum(lengths).tolist()
        starts = [0, *ends[:-1]]
        texts = [content[start:end].decode() for start, end in zip(starts, ends, strict=False)]
        return UniqueTexts(texts, arrays["numbers"]), arrays["places"]


class _Counter:
    """Counts sentences as the size of a file, which any machine can look at."""

    def __init__(self, path: Path) -> None:
        self._path, self._num_done = path, 0
        path.write_bytes(b"")

    def __call__(self, num_sentences: int) -> None:
        self._num_done += num_sentences
        os.truncate(self._path, self._num_done)


@contextlib.contextmanager
def _tell_meanwhile(work: Path, on_progress: OnProgress) -> Iterator[None]:
    """Tells, now and then, how many sentences the tasks have computed."""
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(_TELL_SECONDS):
            with contextlib.suppress(OSError):
                sizes = [path.stat().st_size for path in work.glob("*.count")]
                on_progress(sum(sizes), None)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
