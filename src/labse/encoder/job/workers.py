"""Who computes shards: a thread of this process, or processes with an encoder each.

Takes: an encoder, or what is needed to load one. Gives: futures of shards.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from labse.encoder.job.shard import Shard, encode_shard
from labse.encoder.job.vector_files import Storage
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import InterruptedRunError
from labse.runtime import hold_interrupts, start_worker

__all__ = ["LoadEncoder", "Workers"]

_POLL_SECONDS = 0.05

LoadEncoder = Callable[[], SentenceEncoder]


class Workers:
    """Computes shards, `jobs` at a time."""

    def __init__(self, encoder: SentenceEncoder, *, jobs: int, load: LoadEncoder) -> None:
        """Starts them.

        Args:
            encoder: computes if there is one job, then in a thread.
            jobs: shards at a time; more than one: that many processes.
            load: loads the same encoder in a process; picklable.
        """
        # A thread's counters need no process that looks after them, as those of "spawn" do.
        context = multiprocessing.get_context("fork" if jobs == 1 else "spawn")
        self.jobs = jobs
        self.embedding_size = encoder.embedding_size
        self._shared = _Shared(context.Value("q", 0), context.Event())
        self._encode: Callable[..., Shard]
        self._pool: ThreadPoolExecutor | ProcessPoolExecutor
        if jobs == 1:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="labse-shard")
            self._encode = partial(_encode, encoder, self._shared)
        else:
            arguments = (load, self._shared)
            _share_cpus(jobs)
            self._pool = ProcessPoolExecutor(jobs, context, _start_process, arguments)
            self._encode = _encode_in_process

    @property
    def num_encoded(self) -> int:
        """Sentences computed so far by all of them."""
        return int(self._shared.num_encoded.value)

    def submit(
        self,
        sentences: Sequence[str],
        folder: Path,
        number: int,
        storage: Storage,
        places: NDArray[np.int64],
    ) -> Future[Shard]:
        """Gives them a shard; see `encode_shard`."""
        with hold_interrupts():
            return self._pool.submit(self._encode, sentences, folder, number, storage, places)

    def stop(self) -> None:
        """Makes them give up what they are at, and waits until they have: a batch each."""
        with hold_interrupts():
            self._shared.is_stopped.set()
            self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Shared:
    num_encoded: "Synchronized[int]"
    is_stopped: Event

    def report(self, num_sentences: int) -> None:
        if self.is_stopped.is_set():
            raise InterruptedRunError("stopped")
        with self.num_encoded.get_lock():
            self.num_encoded.value += num_sentences

    def await_file(self, path: Path) -> None:
        # Shards are begun in order, so that the first of those at work waits for none.
        while not path.exists():
            self.report(0)
            time.sleep(_POLL_SECONDS)


def _encode(
    encoder: SentenceEncoder,
    shared: _Shared,
    sentences: Sequence[str],
    folder: Path,
    number: int,
    storage: Storage,
    places: NDArray[np.int64],
) -> Shard:
    return encode_shard(
        encoder,
        sentences,
        folder,
        number,
        storage=storage,
        places=places,
        on_batch=shared.report,
        await_file=shared.await_file,
    )


def _share_cpus(jobs: int) -> None:
    """Gives the processes to come their part of the threads, unless the user has chosen.

    Libraries read these variables when a process starts; this one has read them.
    """
    num_threads = max(len(os.sched_getaffinity(0)) // jobs, 1)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ.setdefault(name, str(num_threads))


# What a worker process has for itself: set once by its initializer.
_own: list[Callable[..., Shard]] = []


def _start_process(load: LoadEncoder, shared: _Shared) -> None:
    start_worker()
    _own.append(partial(_encode, load(), shared))


def _encode_in_process(
    sentences: Sequence[str],
    folder: Path,
    number: int,
    storage: Storage,
    places: NDArray[np.int64],
) -> Shard:
    return _own[0](sentences, folder, number, storage, places)
