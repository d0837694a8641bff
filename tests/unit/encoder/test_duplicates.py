import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labse.corpus.equal_texts import hash_texts
from labse.encoder.job.duplicates import SeenSentences


@given(st.lists(st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=6), max_size=8))
def test_every_place_that_is_found_holds_the_sentence(shards: list[list[str]]) -> None:
    seen = SeenSentences(num_slots=8)  # Fewer than there are sentences: some are forgotten.
    for number, texts in enumerate(shards):
        for text, (shard, row) in zip(texts, seen.find(hash_texts(texts)), strict=True):
            assert shard < number
            assert shard < 0 or shards[shard][row] == text
        seen.add(hash_texts(texts), number, np.arange(len(texts)))


def test_the_newest_place_of_each_sentence_is_found_while_there_is_room() -> None:
    seen = SeenSentences(num_slots=1 << 16)
    texts = [f"sentence {n}" for n in range(100)]
    keys = hash_texts(texts)
    assert (seen.find(keys) == -1).all()
    seen.add(keys, 0, np.arange(100) * 2)
    seen.add(keys[:10], 3, np.arange(10))
    found = seen.find(keys)
    assert found[:10].tolist() == [[3, row] for row in range(10)]
    assert found[10:].tolist() == [[0, row * 2] for row in range(10, 100)]
