"""Who computes shards: a thread of this process, or processes with an encoder each.

Takes: an encoder. Gives: futures of shards.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from labse.encoder.job.shard import Shard, Storage, encode_shard
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.streaming import UniqueTexts
from labse.errors import InterruptedRunError
from labse.files.system import count_cpus
from labse.runtime import hold_interrupts, start_worker

__all__ = ["Workers"]

_POLL_SECONDS = 0.05


class Workers:
    """Computes shards, `jobs` at a time."""

    def __init__(self, encoder: SentenceEncoder, *, jobs: int) -> None:
        """Starts them.

        Args:
            encoder: computes in a thread if there is one job; else each process loads it anew.
            jobs: shards at a time; more than one: that many processes.

        Raises:
            TypeError: there are several jobs, and the encoder was not loaded from a folder.
        """
        # A thread's counters need no process that looks after them, as those of "spawn" do.
        has_fork = "fork" in multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("fork" if jobs == 1 and has_fork else "spawn")
        self.jobs = jobs
        self._shared = _Shared(context.Value("q", 0), context.Event())
        self._encode: Callable[..., Shard]
        self._pool: ThreadPoolExecutor | ProcessPoolExecutor
        if jobs == 1:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="labse-shard")
            self._encode = partial(_encode, encoder, self._shared)
        else:
            load, arguments = encoder.__reduce__()
            _share_cpus(jobs)
            initial = (load, arguments, self._shared)
            self._pool = ProcessPoolExecutor(jobs, context, _start_process, initial)
            self._encode = _encode_in_process

    @property
    def num_encoded(self) -> int:
        """Sentences computed so far by all of them."""
        return int(self._shared.num_encoded.value)

    def submit(
        self,
        unique: UniqueTexts,
        folder: Path,
        number: int,
        storage: Storage,
        places: NDArray[np.int64],
    ) -> Future[Shard]:
        """Gives them a shard; see `encode_shard`."""
        with hold_interrupts():
            return self._pool.submit(self._encode, unique, folder, number, storage, places)

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

    def count(self, num_sentences: int) -> None:
        if self.is_stopped.is_set():
            raise InterruptedRunError("stopped")
        with self.num_encoded.get_lock():
            self.num_encoded.value += num_sentences

    def await_file(self, path: Path) -> None:
        # Shards are begun in order, so that the first of those at work waits for none.
        while not path.exists():
            self.count(0)
            time.sleep(_POLL_SECONDS)


def _encode(
    encoder: SentenceEncoder,
    shared: _Shared,
    unique: UniqueTexts,
    folder: Path,
    number: int,
    storage: Storage,
    places: NDArray[np.int64],
) -> Shard:
    # With more threads OpenBLAS sums a product in another order, and the bytes of a shard must not
    # depend on how many processes share the processors.
    with ThreadpoolController().select(internal_api="openblas").limit(limits=1):
        return encode_shard(
            encoder,
            unique,
            folder,
            number,
            storage=storage,
            places=places,
            on_batch=shared.count,
            await_file=shared.await_file,
        )


def _share_cpus(jobs: int) -> None:
    """Gives the processes to come their part of the threads, unless the user has chosen.

    Libraries read these variables when a process starts; this one has read them.
    """
    num_threads = max(count_cpus() // jobs, 1)
    for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ.setdefault(name, str(num_threads))


# What a worker process has for itself: set once by its initializer.
_own: list[Callable[..., Shard]] = []


def _start_process(
    load: Callable[..., SentenceEncoder], arguments: tuple[object, ...], shared: _Shared
) -> None:
    start_worker()
    _own.append(partial(_encode, load(*arguments), shared))


def _encode_in_process(
    unique: UniqueTexts,
    folder: Path,
    number: int,
    storage: Storage,
    places: NDArray[np.int64],
) -> Shard:
    return _own[0](unique, folder, number, storage, places)
