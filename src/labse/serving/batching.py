"""Requests of many clients to batches of the model; nothing in here knows of the web.

Takes: token ids of requests, from any thread. Gives: a future of unit rows for each request.
Source: text-embeddings-inference (core/src/queue.rs): a queue that is emptied whenever the model is
free, a budget in tokens, requests whose client has gone are dropped. Added here: turns between
requests, and equal texts once.
Dimensions: N sentences of a request, D embedding.
"""

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError

__all__ = ["Batcher", "BatcherClosedError", "DeadlinePassedError", "InputIds", "OverloadedError"]

InputIds: TypeAlias = NDArray[np.int32]
Embed: TypeAlias = Callable[[Sequence[InputIds]], NDArray[np.float32]]
OnBatch: TypeAlias = Callable[[int, int, float], None]
"""Called after each batch with its sentences, its tokens and the seconds that it took."""

_PIECES_OF_BATCH = 4  # A large request gets a quarter of a batch in each of its turns.
_FIRST_RATE = 10_000.0  # Tokens a second, until the first batch was measured.
_OLD_SHARE = 0.8  # Of the measured speed that the next measurement leaves.


class OverloadedError(Exception):
    """Too much is waiting; `retry_after` is in how many seconds it is done."""

    def __init__(self, retry_after: int) -> None:
        """Keeps the seconds."""
        super().__init__(f"the queue is full; try again in {retry_after} s")
        self.retry_after = retry_after


class DeadlinePassedError(Exception):
    """The request waited until its time was over, and was not computed to its end."""


class BatcherClosedError(Exception):
    """No request is taken any more."""


@dataclass(slots=True, eq=False)
class _Request:
    """A request of N sentences, of which the first `num_taken` of `order` are in batches."""

    input_ids: Sequence[InputIds]
    order: NDArray[np.int64]  # (N,) rows, the longest first: a piece holds rows of like length.
    ends: NDArray[np.int64]  # (N + 1,) tokens up to each place of `order`.
    charge: int  # Tokens that it counts for in the queue.
    arrival: float
    deadline: float
    embeddings: NDArray[np.float32]
    on_done: Callable[[int], None] | None
    future: Future[NDArray[np.float32]] = field(default_factory=Future)
    num_taken: int = 0
    num_done: int = 0

    @property
    def num_left(self) -> int:
        return len(self.order) - self.num_taken

    def take(self, max_tokens: int, *, at_least: int) -> NDArray[np.int64]:
        """Returns the next rows that fit, but not fewer than `at_least` of what is left."""
        bound = int(self.ends[self.num_taken]) + max_tokens
        stop = int(np.searchsorted(self.ends, bound, side="right")) - 1
        stop = min(max(stop, self.num_taken + at_least), len(self.order))
        rows = self.order[self.num_taken : stop]
        self.num_taken = stop
        return rows


class Batcher:
    """Embeds the requests of all threads in shared batches.

    Requests take turns: a large one gets a quarter of a batch each time, so that a small one never
    waits for all of it. A batch starts as soon as the model is free. Only if fewer requests wait
    than the last batch held, so that more are to be expected, it waits for up to `wait_seconds`.
    A future that is cancelled, since its client has gone, frees its place at once.
    """

    def __init__(
        self,
        embed: Embed,
        embedding_size: int,
        *,
        batch_tokens: int,
        max_queued_tokens: int,
        max_wait_seconds: float = math.inf,
        wait_seconds: float = 0.005,
        num_workers: int = 1,
        on_batch: OnBatch | None = None,
    ) -> None:
        """Starts the threads that compute.

        Args:
            embed: unit rows of token ids; thread-safe.
            embedding_size: D.
            batch_tokens: tokens of a batch; a longer sentence is a batch of its own.
            max_queued_tokens: tokens that wait or are computed, of each request those of its next
                turn: so none is too large for ever, and their sum tells how long a new one waits.
            max_wait_seconds: a request that would wait for longer is refused.
            wait_seconds: see above.
            num_workers: batches computed at the same time.
            on_batch: told of each batch, in the thread that computed it.
        """
        self._embed, self._size, self._on_batch = embed, embedding_size, on_batch
        self._batch_tokens, self._max_queued = batch_tokens, max_queued_tokens
        self._piece_tokens = max(batch_tokens // _PIECES_OF_BATCH, 1)
        self._max_wait, self._wait_seconds = max_wait_seconds, wait_seconds
        # A future may be cancelled by a thread that holds the lock: its callback takes it again.
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[_Request] = deque()
        self._num_tokens = 0
        self._last_requests = 1
        self._rate = _FIRST_RATE
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"labse-batch-{number}", daemon=True)
            for number in range(num_workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def num_tokens(self) -> int:
        """Tokens that wait or are being computed, as the queue counts them."""
        return self._num_tokens

    @property
    def num_waiting(self) -> int:
        """Requests of which a part is not in a batch yet."""
        return len(self._waiting)

    def submit(
        self,
        input_ids: Sequence[InputIds],
        *,
        timeout: float,
        on_done: Callable[[int], None] | None = None,
    ) -> Future[NDArray[np.float32]]:
        """Queues a request and returns the future of its (N, D) rows; `cancel()` withdraws it.

        The future ends in `DeadlinePassedError` if the request is not done in time.

        Args:
            input_ids: of N sentences, at least one token each.
            timeout: seconds.
            on_done: called with the rows done so far, in another thread.

        Raises:
            OverloadedError: too much is waiting.
            BatcherClosedError: `close` was called.
        """
        lengths = np.fromiter(map(len, input_ids), np.int64, len(input_ids))
        order = np.argsort(-lengths, kind="stable")
        ends = np.concatenate([[0], np.cumsum(lengths[order])])
        now = time.monotonic()
        request = _Request(
            input_ids,
            order,
            ends,
            charge=min(int(ends[-1]), self._piece_tokens, self._max_queued),
            arrival=now,
            deadline=now + timeout,
            embeddings=np.empty((len(input_ids), self._size), np.float32),
            on_done=on_done,
        )
        if not len(order):
            request.future.set_result(request.embeddings)
            return request.future
        with self._changed:
            if self._is_closed:
                raise BatcherClosedError("the server is stopping")
            wait = self._num_tokens / self._rate
            is_full = self._num_tokens + request.charge > self._max_queued
            if is_full or wait > self._max_wait:
                raise OverloadedError(max(math.ceil(wait), 1))
            self._num_tokens += request.charge
            self._waiting.append(request)
            self._changed.notify()
        request.future.add_done_callback(lambda _: self._release(request))
        return request.future

    def close(self) -> None:
        """Takes no more, computes what waits, and ends the threads."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _release(self, request: _Request) -> None:
        """Frees the place of a request that is done, failed or withdrawn."""
        with self._changed:
            self._num_tokens -= request.charge
            if request.num_left:
                with contextlib.suppress(ValueError):  # In a batch that is being made.
                    self._waiting.remove(request)

    # ---- in the threads that compute ---------------------------------------------------------

    def _work(self) -> None:
        while (batch := self._next_batch()) is not None:
            self._compute(batch)
            del batch  # Else its ids and rows stay until the next one.

    def _next_batch(self) -> list[tuple[_Request, NDArray[np.int64]]] | None:
        """Waits for a batch: requests, and the rows of each; None when all is done and closed."""
        with self._changed:
            while True:
                now = time.monotonic()
                for request in [one for one in self._waiting if one.deadline <= now]:
                    _fail(request, DeadlinePassedError("the request waited too long"))
                if not self._waiting:
                    if self._is_closed:
                        return None
                    self._changed.wait()
                elif (seconds := self._wait_for_more(now)) > 0:
                    self._changed.wait(seconds)
                else:
                    return self._gather()

    def _wait_for_more(self, now: float) -> float:
        """Returns the seconds for which a batch that is not full may still wait."""
        num_left = sum(int(one.ends[-1] - one.ends[one.num_taken]) for one in self._waiting)
        is_enough = num_left >= self._batch_tokens or len(self._waiting) >= self._last_requests
        if is_enough or self._is_closed:
            return 0.0
        return min(one.arrival for one in self._waiting) + self._wait_seconds - now

    def _gather(self) -> list[tuple[_Request, NDArray[np.int64]]]:
        """Takes a piece of each request in turn until the batch is full."""
        room = self._batch_tokens
        batch: list[tuple[_Request, NDArray[np.int64]]] = []
        while self._waiting and room > 0:
            request = self._waiting.popleft()
            start = request.num_taken
            rows = request.take(min(self._piece_tokens, room), at_least=0 if batch else 1)
            if not len(rows) and room < self._piece_tokens:  # It is the first of the next batch.
                self._waiting.appendleft(request)
                break
            if not len(rows):  # One sentence is longer than a piece.
                rows = request.take(0, at_least=1)
            room -= int(request.ends[request.num_taken] - request.ends[start])
            batch.append((request, rows))
            if request.num_left:
                self._waiting.append(request)
        self._last_requests = len({id(request) for request, _ in batch})
        if self._waiting:
            self._changed.notify()  # Another thread may be free.
        return batch

    def _compute(self, batch: list[tuple[_Request, NDArray[np.int64]]]) -> None:
        # Equal sentences are embedded once.
        numbers: dict[bytes, int] = {}
        distinct: list[InputIds] = []
        places = []
        for request, rows in batch:
            for row in rows.tolist():
                ids = request.input_ids[row]
                number = numbers.setdefault(ids.tobytes(), len(numbers))
                if number == len(distinct):
                    distinct.append(ids)
                places.append(number)

        # Embed them, and learn how fast that is.
        start = time.monotonic()
        try:
            embeddings = self._embed(distinct)[np.array(places, np.int64)]
        except Exception as error:
            for request, _ in batch:
                _fail(request, error)
            return
        seconds = max(time.monotonic() - start, 1e-6)
        num_tokens = sum(map(len, distinct))
        self._rate = _OLD_SHARE * self._rate + (1 - _OLD_SHARE) * num_tokens / seconds
        if self._on_batch is not None:
            self._on_batch(len(places), num_tokens, seconds)

        # Give each request its rows.
        cuts = np.cumsum([0, *(len(rows) for _, rows in batch)]).tolist()
        for (request, rows), (first, stop) in zip(batch, pairwise(cuts), strict=True):
            self._deliver(request, rows, embeddings[first:stop])

    def _deliver(
        self, request: _Request, rows: NDArray[np.int64], embeddings: NDArray[np.float32]
    ) -> None:
        if not np.isfinite(embeddings).all():
            _fail(request, LabseError("the model gave NaN or infinity for a sentence"))
            return
        with self._changed:  # Two threads may have pieces of one request.
            request.embeddings[rows] = embeddings
            request.num_done += len(rows)
            is_done = request.num_done == len(request.order)
        if request.on_done is not None:
            request.on_done(request.num_done)
        if is_done:
            with contextlib.suppress(InvalidStateError):  # Withdrawn in the meantime.
                request.future.set_result(request.embeddings)


def _fail(request: _Request, error: Exception) -> None:
    with contextlib.suppress(InvalidStateError):  # It has failed, or was withdrawn, already.
        request.future.set_exception(error)
