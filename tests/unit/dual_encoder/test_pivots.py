import numpy as np

from labse.dual_encoder.data.pairs import TokenizedPairs
from labse.dual_encoder.data.pivots import PivotIndex

# Sentences: 0 and 1 English, 2 German, 3 Traditional Chinese, 4 a name in German and French alike.
ROWS = [
    (0, 2, "eng-deu"),
    (3, 0, "zho-Hant-eng"),  # English is the target here.
    (1, 4, "eng-deu"),
    (1, 4, "eng-fra"),
    (2, 3, "deu-zho-Hant"),  # No side is English.
]


def build_index() -> PivotIndex:
    names = tuple(dict.fromkeys(name for _, _, name in ROWS))
    pairs = TokenizedPairs(
        input_ids=np.zeros(0, np.int32),
        offsets=np.zeros(1, np.int64),
        pairs=np.array([row[:2] for row in ROWS], dtype=np.int32),
        pair_langs=np.array([names.index(row[2]) for row in ROWS], dtype=np.int16),
        lang_pairs=names,
        pair_corpora=np.zeros(len(ROWS), dtype=np.int16),
        corpora=("x",),
        num_truncated=0,
    )
    return PivotIndex(pairs, np.arange(len(ROWS), dtype=np.uint32), pivot_lang="eng")


def test_a_partner_shares_the_pivot_on_whatever_side_and_has_another_language_and_text() -> None:
    index = build_index()
    indices = np.arange(len(ROWS))
    found = np.stack([index.find_partners(indices, np.random.default_rng(s)) for s in range(20)])
    # One of two is the pair itself, so eight tries fail with probability 1/256.
    assert set(found[:, 0].tolist()) <= {1, -1}
    assert (found[:, 0] == 1).mean() > 0.8
    assert set(found[:, 1].tolist()) <= {0, -1}
    assert (found[:, 2:] == -1).all()


def test_a_pivoted_pair_has_the_sides_that_are_not_the_pivot() -> None:
    index = build_index()
    assert index.other_sides(np.array([0, 1]), np.array([1, 0])).tolist() == [[1, 2], [2, 1]]
    assert index.pivot_sentences(np.array([0, 1, 3])).tolist() == [0, 0, 1]
