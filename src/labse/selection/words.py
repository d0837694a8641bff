"""Words of both sides as numbers, and where the words of pairs meet.

Takes: pairs. Gives: ids, ragged, and all meetings of a word with one of the other side.
Source: Brown et al. 1993, section 4.2: each word may also come from the empty word NULL.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.files.npy import ragged_positions

__all__ = [
    "NULL",
    "UNKNOWN",
    "Meetings",
    "Vocabulary",
    "WordRows",
    "meet",
    "split_words",
    "with_null",
]

UNKNOWN, NULL = 0, 1
"""The ids of a word that the vocabulary does not have, and of the empty word."""

_MAX_WORDS = (1 << 16) - 2
_MAX_LENGTH = 60  # Words of a side that are looked at.
# A run of letters and digits, any other sign, or one character of a script without spaces.
_WORD = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff]"
    "|[^\\W_\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff]+|[^\\w\\s]"
)


def split_words(text: str) -> list[str]:
    """Returns the words of a text in small letters, punctuation marks too; at most 60."""
    return _WORD.findall(text.lower())[:_MAX_LENGTH]


@dataclass(frozen=True, slots=True)
class WordRows:
    """N texts as word ids: all ids, one text after the other, and (N,) the words of each."""

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def rows(self) -> NDArray[np.int64]:
        """The number of the text that each id is of."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)


class Vocabulary:
    """The words of one side; all others are one unknown word."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._ids = {word: number for number, word in enumerate(words, start=2)}

    def __len__(self) -> int:
        return len(self.words) + 2

    @classmethod
    def learn(cls, texts: Iterable[str]) -> "Vocabulary":
        """Returns the words that stand twice or more, 65,534 at most, most frequent first."""
        counts = Counter(word for text in texts for word in split_words(text))
        kept = [(-count, word) for word, count in counts.items() if count > 1]
        return cls([word for _, word in sorted(kept)[:_MAX_WORDS]])

    def number(self, texts: Iterable[str]) -> WordRows:
        """Returns the ids of the words of texts."""
        ids: list[int] = []
        lengths: list[int] = []
        known = self._ids
        for text in texts:
            words = split_words(text)
            lengths.append(len(words))
            ids.extend([known.get(word, UNKNOWN) for word in words])
        return WordRows(np.array(ids, np.int64), np.array(lengths, np.int64))


@dataclass(frozen=True, slots=True)
class Meetings:
    """Each word of a source, and NULL, beside each of the target, and NULL.

    Attributes:
        keys: (C,) source id * 2^16 + target id.
        source_places: (C,) number of the source word among all words and NULLs of the sources.
        target_places: (C,) the same of the target.
    """

    keys: NDArray[np.uint32]
    source_places: NDArray[np.int64]
    target_places: NDArray[np.int64]


def meet(source: WordRows, target: WordRows) -> Meetings:
    """Returns all meetings inside each pair; rows must have NULL first, see `with_null`."""
    sizes = source.lengths * target.lengths
    within = ragged_positions(0, sizes)
    widths = np.repeat(target.lengths, sizes)
    source_starts = np.cumsum(source.lengths) - source.lengths
    target_starts = np.cumsum(target.lengths) - target.lengths
    source_places = np.repeat(source_starts, sizes) + within // widths
    target_places = np.repeat(target_starts, sizes) + within % widths
    keys = (source.ids[source_places] << 16) + target.ids[target_places]
    return Meetings(keys.astype(np.uint32), source_places, target_places)


def with_null(side: WordRows) -> WordRows:
    """Returns the rows with NULL before each."""
    starts = np.cumsum(side.lengths) - side.lengths
    return WordRows(np.insert(side.ids, starts, NULL), side.lengths + 1)
