"""A stream of sentences to vectors: in parts, equal ones once, in batches of like length.

Takes: a tokenizer, what embeds ids, sentences. Gives: vectors part by part, in order; a part is
    tokenised while the one before is computed, or several are at work at the same time.
Dimensions: N sentences, U distinct ones, W windows of text, D embedding.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from numbers import Integral
from typing import Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from labse.encoder.pooling import average_windows, find_non_unit_row
from labse.encoder.tokenization import SentenceTokenizer, TokenizedSentences
from labse.errors import LabseError
from labse.runtime import OnProgress

__all__ = [
    "BatchLimits",
    "EncodedSentences",
    "OnBatch",
    "UniqueTexts",
    "encode_distinct",
    "encode_stream",
    "split_by_budget",
    "token_budget_batches",
]

OnBatch: TypeAlias = Callable[[int], None]
"""Called after each batch with the number of sentences in it."""

# Sentences that are sorted by length together: 50 batches or more of a transformer.
_WINDOW_SENTENCES = 16_384
_WINDOW_CHARACTERS = 1 << 23
# Of those that threads share out: half a thread's work for 10,000 sentences.
_SHARED_WINDOW_SENTENCES = 4096
_SHARED_WINDOW_CHARACTERS = 1 << 21
_NORM_TOLERANCE = 5e-4


@dataclass(frozen=True, slots=True)
class UniqueTexts:
    """N sentences, equal ones once.

    Attributes:
        texts: (U,) the distinct ones, in the order of their first appearance.
        numbers: (N,) which of them each sentence is.
    """

    texts: list[str]
    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, sentences: Iterable[str]) -> Self:
        """Numbers the sentences."""
        numbers: dict[str, int] = {}
        rows = [numbers.setdefault(text, len(numbers)) for text in sentences]
        return cls(list(numbers), np.array(rows, np.int64))

    def first_rows(self) -> NDArray[np.int64]:
        """Returns (U,) the sentence that each text is first."""
        return np.unique(self.numbers, return_index=True)[1]

    def sha256(self) -> str:
        """Returns the SHA-256 of the N sentences, each with a line feed."""
        digest = hashlib.sha256()
        for start in range(0, len(self.numbers), 1024):
            numbers = self.numbers[start : start + 1024].tolist()
            digest.update("".join(f"{self.texts[number]}\n" for number in numbers).encode())
        return digest.hexdigest()


class _Runtime(Protocol):
    @property
    def embedding_size(self) -> int: ...

    def embed(self, input_ids: list[NDArray[np.int32]], /) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What a batch holds at most; see `token_budget_batches`."""

    max_tokens: int
    max_sentences: int | None = None

    def __post_init__(self) -> None:
        """Checks what a type checker would.

        Raises:
            ValueError: a limit is no whole number of at least 1.
        """
        limits = {"batch_tokens": self.max_tokens, "batch_size": self.max_sentences}
        for name, limit in limits.items():
            is_left_out = limit is None and name == "batch_size"
            if not is_left_out and not (isinstance(limit, Integral) and limit >= 1):
                raise ValueError(f"{name} is {limit!r}; give a whole number of at least 1")


@dataclass(frozen=True, slots=True)
class EncodedSentences:
    """Vectors of N sentences that followed each other.

    Attributes:
        embeddings: (N, D) float32 unit rows.
        is_long: (N,) bool, whether the sentence was longer than the model takes.
        is_empty: (N,) bool, whether it had no token.
        is_unknown: (N,) bool, whether all its tokens were [UNK].
    """

    embeddings: NDArray[np.float32]
    is_long: NDArray[np.bool_]
    is_empty: NDArray[np.bool_]
    is_unknown: NDArray[np.bool_]


def encode_distinct(
    tokenizer: SentenceTokenizer,
    runtime: _Runtime,
    sentences: Iterable[str],
    limits: BatchLimits,
    on_progress: OnProgress,
) -> EncodedSentences:
    """Returns the vectors of all sentences in one array; equal ones are encoded once.

    Args:
        tokenizer, runtime, sentences, limits: see `encode_stream`.
        on_progress: called with the distinct sentences done and their number.

    Raises:
        LabseError: see `encode_stream`.
    """
    unique = UniqueTexts.of(sentences)
    num_texts, num_done, start = len(unique.texts), 0, 0
    embeddings = np.empty((num_texts, runtime.embedding_size), np.float32)
    is_long, is_empty, is_unknown = (np.empty(num_texts, bool) for _ in range(3))

    def count(num_sentences: int) -> None:
        nonlocal num_done
        num_done += num_sentences
        on_progress(num_done, num_texts)

    on_progress(0, num_texts)
    for part in encode_stream(tokenizer, runtime, unique.texts, limits, on_batch=count):
        rows = slice(start, start + len(part.embeddings))
        embeddings[rows], is_long[rows] = part.embeddings, part.is_long
        is_empty[rows], is_unknown[rows] = part.is_empty, part.is_unknown
        start = rows.stop

    # Back to the sentences.
    numbers = unique.numbers
    repeated = embeddings if num_texts == len(numbers) else embeddings[numbers]
    return EncodedSentences(repeated, is_long[numbers], is_empty[numbers], is_unknown[numbers])


def encode_stream(
    tokenizer: SentenceTokenizer,
    runtime: _Runtime,
    sentences: Iterable[str],
    limits: BatchLimits,
    *,
    on_batch: OnBatch | None = None,
) -> Iterator[EncodedSentences]:
    """Yields the vectors of all sentences; memory is bounded by a few windows.

    Args:
        tokenizer: gives ids.
        runtime: gives unit rows for ids. If it has `num_threads`, so many parts are at work at the
            same time.
        sentences: valid Unicode.
        limits: of a batch.
        on_batch: called after each batch, or after each part if several are at work.

    Raises:
        LabseError: the model gave NaN, infinity or zero for a sentence.
    """
    num_threads: int = getattr(runtime, "num_threads", 1)
    if num_threads > 1:
        yield from _encode_in_threads(tokenizer, runtime, sentences, limits, on_batch, num_threads)
    else:
        yield from _encode_in_turn(tokenizer, runtime, sentences, limits, on_batch)


def _encode_in_turn(
    tokenizer: SentenceTokenizer,
    runtime: _Runtime,
    sentences: Iterable[str],
    limits: BatchLimits,
    on_batch: OnBatch | None,
) -> Iterator[EncodedSentences]:
    """Computes one part after the other, for a runtime that uses all processors by itself."""
    windows = split_by_budget(sentences, _WINDOW_SENTENCES, _WINDOW_CHARACTERS)
    window = next(windows, None)
    if window is None:
        return
    tokenized = tokenizer.tokenize(window)
    following = next(windows, None)
    if following is None:  # A thread costs more than a few sentences.
        yield _embed(window, tokenized, runtime, limits, on_batch)
        return

    with ThreadPoolExecutor(1, thread_name_prefix="labse-tokenize") as pool:
        while True:
            ahead: Future[TokenizedSentences] | None = None
            if following is not None:
                ahead = pool.submit(tokenizer.tokenize, following)
            yield _embed(window, tokenized, runtime, limits, on_batch)
            if ahead is None or following is None:
                return
            window, tokenized, following = following, ahead.result(), next(windows, None)


def _encode_in_threads(
    tokenizer: SentenceTokenizer,
    runtime: _Runtime,
    sentences: Iterable[str],
    limits: BatchLimits,
    on_batch: OnBatch | None,
    num_threads: int,
) -> Iterator[EncodedSentences]:
    """Computes several parts at the same time, for a runtime that computes in its caller's thread.

    What holds Python's lock, about a quarter of the time, is what more threads do not shorten.
    """

    def encode(window: list[str]) -> EncodedSentences:
        return _embed(window, tokenizer.tokenize(window), runtime, limits, None)

    windows = split_by_budget(sentences, _SHARED_WINDOW_SENTENCES, _SHARED_WINDOW_CHARACTERS)
    first, second = next(windows, None), next(windows, None)
    if first is None:
        return
    if second is None:
        yield _embed(first, tokenizer.tokenize(first), runtime, limits, on_batch)
        return

    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="labse-encode")
    try:
        at_work = deque(pool.submit(encode, window) for window in (first, second))
        while at_work:
            # One more than there are threads, so that none waits for the caller.
            while len(at_work) <= num_threads and (window := next(windows, None)) is not None:
                at_work.append(pool.submit(encode, window))
            part = at_work.popleft().result()
            if on_batch:
                on_batch(len(part.embeddings))
            yield part
    finally:
        pool.shutdown(cancel_futures=True)


def _embed(
    sentences: list[str],
    tokenized: TokenizedSentences,
    runtime: _Runtime,
    limits: BatchLimits,
    on_batch: OnBatch | None,
) -> EncodedSentences:
    lengths = tokenized.lengths
    is_first = np.zeros(len(lengths), bool)
    is_first[tokenized.first_windows[:-1]] = True
    embeddings = np.empty((len(lengths), runtime.embedding_size), np.float32)
    for batch in token_budget_batches(lengths, limits.max_tokens, limits.max_sentences):
        embeddings[batch] = runtime.embed(tokenized.select(batch))
        if on_batch:
            on_batch(int(is_first[batch].sum()))

    if len(lengths) > len(sentences):
        embeddings = average_windows(embeddings, lengths, tokenized.first_windows)
    if (row := find_non_unit_row(embeddings, _NORM_TOLERANCE)) is not None:
        raise LabseError(
            f"the model gave no finite unit vector for {sentences[row][:60]!r}; its weights are "
            "damaged"
        )
    return EncodedSentences(embeddings, tokenized.is_long, tokenized.is_empty, tokenized.is_unknown)


def split_by_budget(
    sentences: Iterable[str], max_sentences: int, max_characters: int
) -> Iterator[list[str]]:
    """Cuts a stream into lists; one ends once it has so many sentences or characters."""
    part: list[str] = []
    num_characters = 0
    for sentence in sentences:
        part.append(sentence)
        num_characters += len(sentence)
        if len(part) >= max_sentences or num_characters >= max_characters:
            yield part
            part, num_characters = [], 0
    if part:
        yield part


def token_budget_batches(
    lengths: Sequence[int] | NDArray[np.integer], max_tokens: int, max_sentences: int | None = None
) -> list[NDArray[np.int64]]:
    """Groups sentences of like length, the longest first.

    A batch padded to its longest sentence holds at most `max_tokens` tokens; a sentence longer
    than that makes a batch of its own. The longest come first, so memory peaks at the start.

    Args:
        lengths: (N,) tokens of each sentence.
        max_tokens: the budget of a batch, padding included.
        max_sentences: of a batch; None: the tokens alone decide.

    Returns:
        Batches of indices into `lengths`; together each index exactly once.

    Raises:
        ValueError: `max_tokens` or `max_sentences` is not positive.
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens is {max_tokens}; it must be at least 1")
    if max_sentences is not None and max_sentences < 1:
        raise ValueError(f"max_sentences is {max_sentences}; it must be at least 1")
    lengths = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")  # Stable: the same batches on every machine.

    batches = []
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        size = max(max_tokens // longest, 1)
        size = size if max_sentences is None else min(size, max_sentences)
        batches.append(order[start : start + size])
        start += size
    return batches
