"""The vectors of a test set, each distinct sentence encoded once.

Takes: an encoder and lists of sentences, which may share many. Gives: the vectors of any list.
Source: LASER's Tatoeba sets: 177,754 sentences, 158,078 of them distinct.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from labse.encoder.protocol import Encoder, encode_sentences
from labse.errors import LabseError, ResourceError

__all__ = ["EmbeddedSentences", "embed_distinct"]

_FIRST_SENTENCES = 1024  # Tell the width; vectors of 1,024 dimensions take 4 MiB.


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedSentences:
    """Vectors by sentence; equal sentences have one vector. An encoder of what it holds.

    Attributes:
        rows: row number of each distinct sentence.
        embeddings: (N, D) float32, in memory or in a temporary file that is memory-mapped.
        memory_bytes: bytes of vectors that `select` may hold; more of them go into such a file.
        max_seq_length: that of the encoder, None if it has none.
    """

    rows: Mapping[str, int]
    embeddings: NDArray[np.float32]
    memory_bytes: int | None
    max_seq_length: int | None

    def select(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Returns (N, D) float32, one row a sentence; not to be changed.

        Raises:
            KeyError: a sentence that was not embedded.
        """
        index = np.fromiter(map(self.rows.__getitem__, sentences), np.int64, len(sentences))
        if len(index) and (np.diff(index) == 1).all():
            return self.embeddings[index[0] : index[-1] + 1]
        row_bytes = max(1, self.embeddings.itemsize * self.embeddings.shape[1])
        limit = len(index) if self.memory_bytes is None else self.memory_bytes // row_bytes
        if len(index) <= limit:
            return self.embeddings[index]
        starts = range(0, len(index), max(1, limit))
        return _spill(self.embeddings[index[start : start + starts.step]] for start in starts)

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        """Returns the same as `select`."""
        return self.select(sentences)


def embed_distinct(
    encoder: Encoder, lists: Iterable[Sequence[str]], *, memory_bytes: int | None = None
) -> EmbeddedSentences:
    """Encodes the distinct sentences of all lists, in the order in which they come.

    Args:
        encoder: what is called, once with all or as often as memory asks for.
        memory_bytes: bytes of vectors held at a time; the others lie in a temporary file. None
            holds all in memory.

    Raises:
        ValueError: `memory_bytes` below 1.
        LabseError: the encoder returned what is not one finite vector a sentence, or vectors of
            another width than before.
        ResourceError: the temporary file cannot be written.
    """
    if memory_bytes is not None and memory_bytes < 1:
        raise ValueError(f"memory_bytes must be at least 1, not {memory_bytes}")
    rows: dict[str, int] = {}
    for sentences in lists:
        for sentence in sentences:
            rows.setdefault(sentence, len(rows))
    if memory_bytes is None or len(rows) <= _FIRST_SENTENCES:
        embeddings = encode_sentences(encoder, list(rows))
    else:
        embeddings = _spill(_encode_parts(encoder, list(rows), memory_bytes))
    max_seq_length = getattr(encoder, "max_seq_length", None)
    return EmbeddedSentences(rows, embeddings, memory_bytes, max_seq_length)


def _encode_parts(
    encoder: Encoder, sentences: Sequence[str], memory_bytes: int
) -> Iterator[NDArray[np.float32]]:
    first = encode_sentences(encoder, sentences[:_FIRST_SENTENCES])
    width = first.shape[1]
    yield first
    # Half of the memory: an encoder may hold what it returns twice, sorted by length and not.
    size = max(1, memory_bytes // (2 * first.itemsize * max(1, width)))
    for start in range(len(first), len(sentences), size):
        embeddings = encode_sentences(encoder, sentences[start : start + size])
        if embeddings.shape[1] != width:
            raise LabseError(
                f"the encoder returned {width} dimensions first and {embeddings.shape[1]} later"
            )
        yield embeddings


def _spill(parts: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Returns the rows of all parts, memory-mapped; the file goes with the array."""
    num_rows = width = 0
    with tempfile.TemporaryFile(prefix="labse-vectors-") as stream:
        for part in parts:
            _write(stream, part)
            num_rows, width = num_rows + len(part), part.shape[1]
        return np.memmap(stream, np.float32, mode="r", shape=(num_rows, width))


def _write(stream: IO[bytes], part: NDArray[np.float32]) -> None:
    try:
        stream.write(np.ascontiguousarray(part).data)
        stream.flush()
    except OSError as error:
        raise ResourceError(
            f"{tempfile.gettempdir()}: vectors cannot be written: {error.strerror}; "
            "allow more memory, or name another folder in TMPDIR"
        ) from None
