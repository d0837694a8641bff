"""Sentences to token ids in one flat array, cut to the model's length, and what was cut counted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

__all__ = ["TokenizedSentences", "tokenize_sentences"]

_CHUNK_SENTENCES = 8192  # An encoding of the library takes kilobytes; hold no more than these.


@dataclass(frozen=True, slots=True)
class TokenizedSentences:
    """N sentences, T tokens in all.

    Attributes:
        input_ids: (T,) int32, one sentence after the other, [CLS] and [SEP] included.
        offsets: (N + 1,) int64; sentence n is input_ids[offsets[n]:offsets[n + 1]].
        is_truncated: (N,) bool, whether the sentence was longer than the model takes.
    """

    input_ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    is_truncated: NDArray[np.bool_]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) tokens of each sentence."""
        return np.diff(self.offsets)

    def select(self, rows: NDArray[np.int64]) -> list[NDArray[np.int32]]:
        """Returns the token ids of some sentences."""
        return [self.input_ids[self.offsets[row] : self.offsets[row + 1]] for row in rows]


def tokenize_sentences(
    tokenizer: Tokenizer, sentences: Sequence[str], *, max_seq_length: int
) -> TokenizedSentences:
    """Tokenises; a sentence that is too long keeps its first tokens and its last, [SEP].

    Args:
        tokenizer: one that neither truncates nor pads, and puts [CLS] and [SEP] around.
        sentences: N sentences.
        max_seq_length: tokens of a sentence at most, [CLS] and [SEP] included.
    """
    chunks: list[NDArray[np.int32]] = []
    lengths = np.zeros(len(sentences), np.int64)
    for start in range(0, len(sentences), _CHUNK_SENTENCES):
        encodings = tokenizer.encode_batch_fast(list(sentences[start : start + _CHUNK_SENTENCES]))
        flat: list[int] = []
        for row, encoding in enumerate(encodings, start=start):
            ids = encoding.ids
            lengths[row] = len(ids)
            flat += ids if len(ids) <= max_seq_length else [*ids[: max_seq_length - 1], ids[-1]]
        chunks.append(np.array(flat, dtype=np.int32))

    offsets = np.zeros(len(sentences) + 1, np.int64)
    np.cumsum(np.minimum(lengths, max_seq_length), out=offsets[1:])
    return TokenizedSentences(
        input_ids=np.concatenate(chunks) if chunks else np.empty(0, np.int32),
        offsets=offsets,
        is_truncated=lengths > max_seq_length,
    )
