"""A stream of sentences in parts, equal ones once, and batches of about as many tokens each.

Dimensions: N sentences, U distinct ones.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["UniqueTexts", "split_by_budget", "token_budget_batches"]


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
