"""Vectors for the routes: tokenised in threads, embedded in shared batches.

Takes: an encoder and limits. Gives: unit rows with the number of tokens and of sentences cut.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.tokenization import TokenizedSentences
from labse.errors import UsageError
from labse.serving.answers import ApiError
from labse.serving.batching import (
    Batcher,
    BatcherClosedError,
    DeadlinePassedError,
    InputIds,
    OverloadedError,
)
from labse.serving.metrics import Metrics
from labse.serving.options import ServingOptions

__all__ = ["Embedded", "EmbeddingService", "TruncationError"]

_BATCH_TOKENS = 2048
_QUEUED_BATCHES = 16
_SMALL_CHARACTERS = 2_000
_CHUNK_SENTENCES = 1024
_MAX_JOBS = 8

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors of a request.

    Attributes:
        embeddings: (N, D) float32 unit rows.
        is_known: (N,) bool; False where a text has no piece that the model knows.
        num_tokens: that were computed, special ones included.
        num_truncated: sentences that were cut.
    """

    embeddings: NDArray[np.float32]
    is_known: NDArray[np.bool_]
    num_tokens: int
    num_truncated: int


class TruncationError(ApiError):
    """A text is longer than the model takes, and the client does not want it cut."""


class EmbeddingService:
    """An encoder for many clients at once."""

    def __init__(self, encoder: SentenceEncoder, options: ServingOptions, metrics: Metrics) -> None:
        """Starts the threads.

        Raises:
            UsageError: the encoder averages windows of long texts, which is not served.
        """
        if encoder.text.long != "truncate":
            raise UsageError("a server takes an encoder that cuts long texts (long='truncate')")
        self.encoder, self._options, self._metrics = encoder, options, metrics
        self.batch_tokens = options.batch_tokens or min(_BATCH_TOKENS, encoder.batch_tokens)
        self.batcher = Batcher(
            encoder.embed,
            encoder.embedding_size,
            batch_tokens=self.batch_tokens,
            max_queued_tokens=options.max_queued_tokens or _QUEUED_BATCHES * self.batch_tokens,
            max_wait_seconds=options.max_wait_seconds,
            on_batch=metrics.count_batch,
        )
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="labse-text")
        self._job_threads = ThreadPoolExecutor(2, thread_name_prefix="labse-job")
        self._jobs = threading.BoundedSemaphore(_MAX_JOBS)
        self._num_in_threads = 0
        special = encoder.tokenizer.encode("").ids
        self._special = special[:-1], special[-1:]

    def close(self) -> None:
        """Computes what waits and ends the threads."""
        self.batcher.close()
        self._threads.shutdown()
        self._job_threads.shutdown(cancel_futures=True)

    # ---- vectors -----------------------------------------------------------------------------

    async def embed(
        self,
        sentences: Sequence[str],
        *,
        prompt_name: str | None = None,
        may_truncate: bool = True,
        seconds: float | None = None,
        on_done: Callable[[int], None] | None = None,
    ) -> Embedded:
        """Returns the vectors of sentences.

        Args:
            sentences: N texts.
            prompt_name: of a prompt of the model.
            may_truncate: False: a text that is too long is an error.
            seconds: in which it must be done; None: `request_seconds`.
            on_done: called with the sentences done so far, in another thread.

        Raises:
            ApiError: the queue is full, the time is over, the prompt is unknown, or a text is too
                long and may not be cut.
        """
        try:
            parts = [
                await self._tokenize(sentences[start : start + _CHUNK_SENTENCES], prompt_name)
                for start in range(0, len(sentences), _CHUNK_SENTENCES)
            ]
        except ValueError as error:  # The prompt.
            raise ApiError(422, str(error)) from None
        is_long = np.concatenate([part.is_long for part in parts] or [np.zeros(0, bool)])
        if is_long.any() and not may_truncate:
            first = int(is_long.argmax())
            raise TruncationError(
                413,
                f"inputs.{first}: longer than the {self.encoder.max_seq_length} tokens that the "
                'model takes; shorten it, or send "truncate": true to have it cut',
            )
        input_ids = [ids for part in parts for ids in part.select(np.arange(len(part.is_long)))]
        embeddings = await self._submit(input_ids, on_done, seconds)
        num_tokens, num_long = sum(map(len, input_ids)), int(is_long.sum())
        self._metrics.count_sentences(len(sentences), num_tokens, num_long)
        is_unknown = np.concatenate([part.is_unknown for part in parts] or [np.zeros(0, bool)])
        return Embedded(embeddings, ~is_unknown, num_tokens, num_long)

    async def embed_ids(self, input_ids: Sequence[Sequence[int]]) -> Embedded:
        """Returns the vectors of token ids as `/tokenize` gives them.

        Raises:
            ApiError: they are not of this model's tokenizer, or too many; see also `embed`.
        """
        vocab_size = self.encoder.tokenizer.get_vocab_size()
        before, after = self._special
        for row, ids in enumerate(input_ids):
            inner = ids[len(before) : -1]
            is_ours = list(ids[: len(before)]) == before and list(ids[-1:]) == after
            if not is_ours or not all(0 <= number < vocab_size for number in inner):
                raise ApiError(
                    400,
                    f"input.{row}: these are not token ids of this model's tokenizer, which begin "
                    f"with {before[0]} and end with {after[0]}, as /tokenize gives them; send "
                    "text. LangChain sends ids of OpenAI's tokenizer unless it is told "
                    "check_embedding_ctx_length=False",
                )
            if len(ids) > self.encoder.max_seq_length:
                raise ApiError(
                    400,
                    f"input.{row}: {len(ids)} token ids, the model takes "
                    f"{self.encoder.max_seq_length}; send fewer, or the text",
                )
        arrays = [np.array(ids, np.int32) for ids in input_ids]
        embeddings = await self._submit(arrays)
        num_tokens = sum(map(len, arrays))
        self._metrics.count_sentences(len(arrays), num_tokens, 0)
        return Embedded(embeddings, np.ones(len(arrays), bool), num_tokens, 0)

    async def _tokenize(
        self, sentences: Sequence[str], prompt_name: str | None
    ) -> TokenizedSentences:
        """Tokenises here what takes no time, unless a thread may hold the tokenizer's lock."""
        num_characters = sum(map(len, sentences))
        if num_characters <= _SMALL_CHARACTERS and not self._num_in_threads:
            return self.encoder.tokenize_windows(sentences, prompt_name=prompt_name)
        return await self.in_thread(
            self.encoder.tokenize_windows, sentences, prompt_name=prompt_name
        )

    async def _submit(
        self,
        input_ids: Sequence[InputIds],
        on_done: Callable[[int], None] | None = None,
        seconds: float | None = None,
    ) -> NDArray[np.float32]:
        seconds = seconds or self._options.request_seconds
        try:
            future = self.batcher.submit(input_ids, timeout=seconds, on_done=on_done)
            return await asyncio.wrap_future(future)
        except OverloadedError as error:
            wait = {"Retry-After": str(error.retry_after)}
            raise ApiError(429, f"the server is busy: {error}", headers=wait) from None
        except DeadlinePassedError:
            raise ApiError(
                503,
                f"not done within {seconds:g} s; send less at a time, or try again",
                headers={"Retry-After": "5"},
            ) from None
        except BatcherClosedError:
            raise ApiError(503, "the server is stopping", headers={"Retry-After": "5"}) from None

    # ---- threads -----------------------------------------------------------------------------

    async def in_thread(
        self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Runs what takes milliseconds outside the event loop."""
        self._num_in_threads += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))
        finally:
            self._num_in_threads -= 1

    async def in_job(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Runs what takes seconds, such as a search, in threads of its own.

        Raises:
            ApiError: too many wait for them.
        """
        if not self._jobs.acquire(blocking=False):
            wait = {"Retry-After": "5"}
            raise ApiError(429, f"{_MAX_JOBS} jobs are running or waiting", headers=wait)

        def run() -> _T:
            return function(*args, **kwargs)

        future = self._job_threads.submit(run)
        future.add_done_callback(lambda _: self._jobs.release())
        return await asyncio.wrap_future(future)
