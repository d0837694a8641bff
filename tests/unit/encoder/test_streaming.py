import threading
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from labse.encoder import streaming
from labse.encoder.streaming import BatchLimits, encode_stream
from labse.encoder.tokenization import SentenceTokenizer, TextOptions
from labse.errors import LabseError
from labse.vocab.tokenizer import SPECIAL_TOKENS, build_tokenizer

LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
VOCAB = [*SPECIAL_TOKENS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]


class SumRuntime:
    """The direction of a vector is the sum of the ids; keeps the sizes of its batches."""

    embedding_size = 2

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.threads: set[str] = set()

    def embed(self, input_ids: list[NDArray[np.int32]], /) -> NDArray[np.float32]:
        self.sizes.append(len(input_ids))
        angles = np.array([ids.sum() / 1000 for ids in input_ids])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def tokenizer(**options: object) -> SentenceTokenizer:
    return SentenceTokenizer(
        build_tokenizer(VOCAB), max_seq_length=6, options=TextOptions(**options)
    )


def test_windows_of_any_size_give_the_same_vectors_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = [LETTERS[n % 26] * (n % 7) for n in range(50)]
    (whole,) = encode_stream(tokenizer(), SumRuntime(), texts, BatchLimits(100))
    monkeypatch.setattr(streaming, "_WINDOW_SENTENCES", 7)
    parts = list(encode_stream(tokenizer(), SumRuntime(), iter(texts), BatchLimits(10)))
    assert [len(part.embeddings) for part in parts] == [7] * 7 + [1]
    np.testing.assert_array_equal(np.concatenate([p.embeddings for p in parts]), whole.embeddings)
    np.testing.assert_array_equal(np.concatenate([p.is_long for p in parts]), whole.is_long)
    np.testing.assert_array_equal(np.concatenate([p.is_empty for p in parts]), whole.is_empty)
    assert whole.is_long.sum() == sum(len(text) > 4 for text in texts)
    assert whole.is_empty.sum() == texts.count("")


def test_a_window_is_tokenised_while_the_one_before_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streaming, "_WINDOW_SENTENCES", 1)
    tokenised = threading.Semaphore(0)

    class WaitingRuntime(SumRuntime):
        def embed(self, input_ids: list[NDArray[np.int32]], /) -> NDArray[np.float32]:
            if len(self.sizes) < 2:
                assert tokenised.acquire(timeout=20)  # The following window, by another thread.
            return super().embed(input_ids)

    class TellingTokenizer:
        def __init__(self) -> None:
            self.inner = tokenizer()

        def tokenize(self, sentences: list[str]) -> object:
            result = self.inner.tokenize(sentences)
            if sentences != ["a"]:
                tokenised.release()
            return result

    parts = encode_stream(
        TellingTokenizer(),
        WaitingRuntime(),
        ["a", "b", "c"],
        BatchLimits(10),  # type: ignore[arg-type]
    )
    assert len(list(parts)) == 3


def test_the_input_is_read_no_farther_than_a_window_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_WINDOW_SENTENCES", 2)
    read: list[int] = []

    def texts() -> Iterator[str]:
        for n in range(100):
            read.append(n)
            yield "a"

    stream = encode_stream(tokenizer(), SumRuntime(), texts(), BatchLimits(10))
    next(stream)
    assert len(read) <= 4
    stream.close()


class SharedRuntime(SumRuntime):
    num_threads = 2


def test_threads_give_the_same_vectors_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [LETTERS[n % 26] * (n % 7) for n in range(50)]
    (whole,) = encode_stream(tokenizer(), SumRuntime(), texts, BatchLimits(100))
    monkeypatch.setattr(streaming, "_SHARED_WINDOW_SENTENCES", 3)
    counts: list[int] = []
    parts = list(
        encode_stream(
            tokenizer(), SharedRuntime(), iter(texts), BatchLimits(10), on_batch=counts.append
        )
    )
    assert counts == [len(part.embeddings) for part in parts] == [3] * 16 + [2]
    np.testing.assert_array_equal(np.concatenate([p.embeddings for p in parts]), whole.embeddings)
    np.testing.assert_array_equal(np.concatenate([p.is_long for p in parts]), whole.is_long)


def test_a_stream_of_threads_may_be_left_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_SHARED_WINDOW_SENTENCES", 2)
    texts = iter(LETTERS * 4)
    stream = encode_stream(tokenizer(), SharedRuntime(), texts, BatchLimits(10))
    next(stream)
    stream.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("labse-encode")]
    assert len(list(texts)) >= 4 * 26 - 8  # Two windows at work, one that waits, one that is read.


def test_long_texts_are_cut_or_averaged_over_windows() -> None:
    text = "abcdefgh"  # Eight tokens in two windows of four.
    cut = next(encode_stream(tokenizer(), SumRuntime(), [text], BatchLimits(100)))
    mean = next(encode_stream(tokenizer(long="mean"), SumRuntime(), [text], BatchLimits(100)))
    halves = [
        next(encode_stream(tokenizer(), SumRuntime(), [half], BatchLimits(100))).embeddings[0]
        for half in ("abcd",)
    ]
    np.testing.assert_array_equal(cut.embeddings[0], halves[0])
    assert abs(float(mean.embeddings[0] @ cut.embeddings[0])) < 1 - 1e-6
    np.testing.assert_allclose(np.linalg.norm(mean.embeddings, axis=1), 1, atol=1e-6)
    assert mean.is_long.tolist() == cut.is_long.tolist() == [True]


def test_progress_counts_sentences_and_not_windows() -> None:
    counts: list[int] = []
    texts = ["abcdefgh" * 3, "a", ""]
    limits = BatchLimits(100, max_sentences=1)
    list(encode_stream(tokenizer(long="mean"), SumRuntime(), texts, limits, on_batch=counts.append))
    assert sum(counts) == 3


def test_no_sentences_give_nothing() -> None:
    assert list(encode_stream(tokenizer(), SumRuntime(), [], BatchLimits(10))) == []


@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_vector_that_is_not_finite_is_an_error_that_names_the_sentence(
    monkeypatch: pytest.MonkeyPatch, num_threads: int
) -> None:
    monkeypatch.setattr(streaming, "_SHARED_WINDOW_SENTENCES", 1)

    class NanRuntime(SumRuntime):
        def __init__(self) -> None:
            super().__init__()
            self.num_threads = num_threads

        def embed(self, input_ids: list[NDArray[np.int32]], /) -> NDArray[np.float32]:
            embeddings = super().embed(input_ids)
            embeddings[[len(ids) == 4 for ids in input_ids]] = np.nan
            return embeddings

    with pytest.raises(LabseError, match="no finite unit vector for 'ab'"):
        list(encode_stream(tokenizer(), NanRuntime(), ["a", "ab"], BatchLimits(100)))
