from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.vocab.substrings import build_tree, place_words
from labse.vocab.tokenizer import CONTINUATION, SPECIAL_TOKENS, build_tokenizer
from labse.vocab.wordpiece import _cut_words

word_lists = st.dictionaries(
    st.text("abกé", min_size=1, max_size=8), st.integers(1, 20), min_size=1, max_size=30
)


@settings(deadline=None)
@given(word_lists, st.integers(1, 15))
def test_the_tree_holds_exactly_the_heavy_substrings(words: dict[str, int], least: int) -> None:
    names = sorted(words)
    places = place_words(names, np.array([words[name] for name in names], float))
    tree = build_tree(places, min_weight=least, max_length=5)
    everything = [np.ones(len(level.parents), np.bool_) for level in tree.levels]
    found = {
        piece: weight
        for pieces, weights in zip(tree.texts(everything), tree.weigh(places.weights), strict=True)
        for piece, weight in zip(pieces, weights.tolist(), strict=True)
    }
    expected: Counter[str] = Counter()
    for word, weight in words.items():
        for begin in range(len(word)):
            for end in range(begin + 1, min(len(word), begin + 5) + 1):
                expected[CONTINUATION * (begin > 0) + word[begin:end]] += weight
    assert found == {
        piece: weight
        for piece, weight in expected.items()
        if weight >= least or len(piece.removeprefix(CONTINUATION)) == 1
    }


@given(word_lists, st.sets(st.text("abก", min_size=2, max_size=3)))
def test_words_are_cut_as_the_tokenizer_cuts_them(words: dict[str, int], pieces: set[str]) -> None:
    names = sorted(words)
    places = place_words(names, np.ones(len(names)))
    tree = build_tree(places, min_weight=1, max_length=8)
    everything = [np.ones(len(level.parents), np.bool_) for level in tree.levels]
    kept = [
        np.array([len(piece) == 1 or piece in pieces for piece in texts], np.bool_)
        for texts in tree.texts(everything)
    ]
    begins = _cut_words(places, tree.longest(kept, len(places.characters)))
    found = [np.flatnonzero(begins[start:][: len(name)]).tolist() for start, name in zip(
        places.word_starts, names, strict=True
    )]  # fmt: skip

    characters = sorted({c for name in names for c in name})
    vocab = [*SPECIAL_TOKENS, *characters, *(CONTINUATION + c for c in characters)]
    tokenizer = build_tokenizer([*vocab, *sorted(pieces)])
    expected = []
    for name in names:
        lengths = [len(t.removeprefix("##")) for t in tokenizer.encode(name).tokens[1:-1]]
        expected.append([sum(lengths[:number]) for number in range(len(lengths))])
    assert found == expected
