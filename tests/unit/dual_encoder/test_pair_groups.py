import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.dual_encoder.config import DataConfig
from labse.dual_encoder.data import groups as pair_groups
from labse.dual_encoder.data.groups import group_pairs
from labse.dual_encoder.data.pairs import TokenizedPairs


def labelled(langs: list[int], corpora: list[int]) -> TokenizedPairs:
    return TokenizedPairs(
        input_ids=np.zeros(0, np.int32),
        offsets=np.zeros(1, np.int64),
        pairs=np.arange(2 * len(langs), dtype=np.int32).reshape(-1, 2),
        pair_langs=np.array(langs, dtype=np.int16),
        lang_pairs=("eng-deu", "eng-fra", "eng-rus"),
        pair_corpora=np.array(corpora, dtype=np.int16),
        corpora=("news", "web"),
        num_truncated=0,
    )


labels = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=40)


@settings(deadline=None)
@given(rows=labels, chunk=st.integers(1, 9))
def test_the_order_is_that_of_a_stable_sort_whatever_the_chunk(
    rows: list[tuple[int, int]], chunk: int
) -> None:
    pairs = labelled([row[0] for row in rows], [row[1] for row in rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_groups, "_CHUNK", chunk)
        groups = group_pairs(pairs, DataConfig(pairs=("x",)), seed=0)
    labels = np.array([2 * lang + corpus for lang, corpus in rows])
    assert groups.order.tolist() == np.argsort(labels, kind="stable").tolist()
    assert groups.probs.sum() == pytest.approx(1)
    assert ((groups.probs > 0).ravel() == (np.bincount(labels, minlength=6) > 0)).all()


@settings(deadline=None)
@given(rows=labels, per_corpus=st.integers(1, 12), per_lang=st.integers(1, 12))
def test_caps_leave_at_most_so_many_and_no_fewer_than_they_must(
    rows: list[tuple[int, int]], per_corpus: int, per_lang: int
) -> None:
    langs, corpora = np.array(rows).T
    pairs = labelled(langs.tolist(), corpora.tolist())

    def kept(**caps: int) -> np.ndarray:
        return group_pairs(pairs, DataConfig(pairs=("x",), **caps), seed=3).order

    for labels, caps in ((corpora, {"max_pairs_per_corpus": per_corpus}),
                         (langs, {"max_pairs_per_lang_pair": per_lang})):  # fmt: skip
        cap = next(iter(caps.values()))
        expected = np.minimum(np.bincount(labels, minlength=3), cap)
        assert np.bincount(labels[kept(**caps)], minlength=3).tolist() == expected.tolist()
    both = kept(max_pairs_per_corpus=per_corpus, max_pairs_per_lang_pair=per_lang)
    assert np.bincount(corpora[both]).max() <= per_corpus
    assert np.bincount(langs[both]).max() <= per_lang
    assert len(np.unique(both)) == len(both)


def test_what_a_cap_leaves_is_a_random_part_that_depends_on_the_seed() -> None:
    pairs = labelled([0] * 1000, [0] * 1000)
    config = DataConfig(pairs=("x",), max_pairs_per_lang_pair=500)
    first, same, other = (group_pairs(pairs, config, seed=seed).order for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    # The mean of 500 of 0 to 999 drawn without replacement: deviation 9.1.
    assert first.mean() == pytest.approx(499.5, abs=40)


def test_a_cap_lowers_the_share_of_a_language() -> None:
    pairs = labelled([0] * 900 + [1] * 100, [0] * 1000)
    config = DataConfig(pairs=("x",), smoothing_exponent=1.0, max_pairs_per_lang_pair=300)
    assert group_pairs(pairs, config, seed=0).probs[:, 0].tolist() == [0.75, 0.25, 0.0]
