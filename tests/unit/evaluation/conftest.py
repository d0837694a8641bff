"""An encoder whose answers can be computed by hand."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray


class MeaningEncoder:
    """`xx:3` means 3: every language says the same, and different meanings are orthogonal.

    `xx:3+5*0.1` leans towards 5 by a tenth.
    """

    max_seq_length = 16

    def __init__(self, size: int = 64) -> None:
        self.size = size
        self.calls: list[list[str]] = []

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        self.calls.append(list(sentences))
        rows = np.zeros((len(sentences), self.size), dtype=np.float32)
        for row, sentence in enumerate(sentences):
            for part in sentence.rpartition(":")[2].split("+"):
                meaning, _, weight = part.partition("*")
                rows[row, int(meaning)] += float(weight or 1)
        return 3 * rows


@pytest.fixture
def encoder() -> MeaningEncoder:
    return MeaningEncoder()
