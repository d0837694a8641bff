import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from labse.encoder.protocol import Encoder
from labse.errors import LabseError
from labse.evaluation.embedded import embed_distinct


class NumberEncoder:
    """The sentence `7` is seven in every one of `width` columns, plus one."""

    def __init__(self, width: int = 4, late_width: int | None = None) -> None:
        self.width = width
        self.late_width = late_width or width
        self.sizes: list[int] = []

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        width = self.late_width if self.sizes else self.width
        self.sizes.append(len(sentences))
        numbers = np.array([int(text) + 1 for text in sentences], dtype=np.float32)
        return np.repeat(numbers[:, None], width, axis=1)


def numbers(*parts: range) -> list[str]:
    return [str(n) for part in parts for n in part]


def test_each_distinct_sentence_is_encoded_once(encoder: Encoder) -> None:
    embedded = embed_distinct(encoder, [["en:1", "en:2"], ["de:1", "en:1"]])
    assert encoder.calls == [["en:1", "en:2", "de:1"]]  # type: ignore[attr-defined]
    selected = embedded.select(["de:1", "en:2", "de:1"])
    assert selected.argmax(axis=1).tolist() == [1, 2, 1]
    assert np.array_equal(embedded.encode(["en:2"]), selected[1:2])
    with pytest.raises(KeyError):
        embedded.select(["en:3"])


@pytest.mark.parametrize("memory_bytes", [1, 4000, 100_000, 10_000_000])
def test_vectors_are_the_same_whatever_the_memory(memory_bytes: int) -> None:
    lists = [numbers(range(3000)), numbers(range(2000, 4000))]
    bounded = embed_distinct(NumberEncoder(), lists, memory_bytes=memory_bytes)
    free = embed_distinct(NumberEncoder(), lists)
    asked = numbers(range(3999, 1000, -3), range(50, 900))
    for sentences in (asked, lists[0], lists[1], asked[:1], []):
        assert np.array_equal(bounded.select(sentences), free.select(sentences))
        assert bounded.select(sentences).dtype == np.float32


def test_memory_bounds_what_is_encoded_and_held_at_a_time() -> None:
    width, bound = 256, 2_000_000
    lists = [numbers(range(20_000))]  # 20 MB of vectors.
    backwards = lists[0][::-1]
    encoder = NumberEncoder(width)
    tracemalloc.start()
    try:
        embedded = embed_distinct(encoder, lists, memory_bytes=bound)
        embedded.select(backwards)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert max(encoder.sizes) * width * 4 <= bound
    assert peak < 2 * bound + 4_000_000  # The texts and their numbers beside the vectors.


def test_an_encoder_that_changes_its_width_is_told() -> None:
    lists = [numbers(range(3000))]
    with pytest.raises(LabseError, match="4 dimensions first and 5 later"):
        embed_distinct(NumberEncoder(4, late_width=5), lists, memory_bytes=4000)


def test_no_memory_is_a_wrong_call() -> None:
    with pytest.raises(ValueError, match="memory_bytes must be at least 1"):
        embed_distinct(NumberEncoder(), [["1"]], memory_bytes=0)
