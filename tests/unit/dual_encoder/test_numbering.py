import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labse.dual_encoder.data.numbering import KeyIndex, pair_keys, sentence_keys, stored_keys

SENTENCES = st.lists(st.lists(st.integers(0, 500_000), min_size=1, max_size=9), max_size=12)


def flat(sentences: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    ids = np.array([piece for sentence in sentences for piece in sentence], np.int32)
    return ids, np.array([len(sentence) for sentence in sentences], np.int64)


@given(SENTENCES)
def test_keys_are_equal_exactly_where_the_pieces_are(sentences: list[list[int]]) -> None:
    keys = sentence_keys(*flat(sentences)).tolist()
    assert len(keys) == len(sentences)
    for first, own in zip(sentences, keys, strict=True):
        for second, other in zip(sentences, keys, strict=True):
            assert (first == second) == (own == other)


@given(SENTENCES)
def test_the_key_of_a_sentence_does_not_depend_on_those_beside_it(
    sentences: list[list[int]],
) -> None:
    together = sentence_keys(*flat(sentences))
    alone = [sentence_keys(*flat([sentence]))[0] for sentence in sentences]
    assert together.tolist() == alone


def test_padding_order_and_length_count() -> None:
    sentences = [[5], [5, 0], [0, 5], [5, 5], [5, 6], [6, 5]]
    assert len(set(sentence_keys(*flat(sentences)).tolist())) == 6


def test_a_key_is_the_sum_of_weighted_pieces() -> None:
    weights = np.random.default_rng(20071852).integers(1 << 63, size=3, dtype=np.uint64).tolist()
    products = [(i + 1) * (2 * w + 1) for i, w in zip([2, 7, 3], weights, strict=True)]
    assert sentence_keys(*flat([[2, 7, 3]])).tolist() == [sum(products) % 2**64]


def test_stored_sentences_have_the_keys_of_gathered_ones() -> None:
    generator = np.random.default_rng(0)
    sentences = [generator.integers(5, 99, length).tolist() for length in (3, 1, 7, 2, 2)]
    ids, lengths = flat(sentences)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    keys = stored_keys(ids, offsets, chunk_sentences=2)
    assert keys.tolist() == sentence_keys(ids, lengths).tolist()


def test_a_pair_turned_round_has_another_key() -> None:
    keys = np.array([7, 9], np.uint64)
    assert pair_keys(keys[:1], keys[1:]) != pair_keys(keys[1:], keys[:1])


def test_an_index_finds_the_first_place_or_none() -> None:
    index = KeyIndex.of(np.array([9, 4, 9, 7], np.uint64))
    assert index.find(np.array([9, 7, 5, 99, 0, 4], np.uint64)).tolist() == [0, 3, -1, -1, -1, 1]
    empty = KeyIndex.of(np.zeros(0, np.uint64))
    assert empty.find(np.array([1], np.uint64)).tolist() == [-1]
