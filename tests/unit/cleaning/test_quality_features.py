from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from labse.cleaning.quality_features import BUCKET_BITS, Buckets, iter_buckets

TEXTS = st.lists(st.text("ab 1é", max_size=12), min_size=1, max_size=4)


def cut(order: Buckets) -> list[Counter[int]]:
    """Returns the buckets of each text."""
    values = iter(order.buckets.tolist())
    return [Counter(next(values) for _ in range(count)) for count in order.counts.tolist()]


def grams(text: str, order: int) -> list[str]:
    bounded = text if order == 1 else f"\n{text}\n"
    return [bounded[i : i + order] for i in range(len(bounded) - order + 1)]


@settings(deadline=None)
@given(TEXTS)
def test_equal_grams_share_a_bucket_and_others_hardly_ever(texts: list[str]) -> None:
    digits = [text.replace("1", "0") for text in texts]
    orders = list(iter_buckets(texts))
    named = [[grams(text, order) for text in digits] for order in (1, 2, 3, 4, 5)]
    named += [[text.split(" ") for text in digits]]
    for order, names in zip(orders, named, strict=False):
        names = [[name for name in row if name] for row in names]
        found = cut(order)
        assert [c.total() for c in found] == [len(row) for row in names]
        assert all(len(c) <= len(set(row)) for c, row in zip(found, names, strict=True))
        num_grams = len({name for row in names for name in row})
        # Two of a few grams in one bucket are chance, three are a fault.
        assert num_grams - 1 <= len(set().union(*found)) <= num_grams


@settings(deadline=None)
@given(TEXTS)
def test_the_features_of_a_text_do_not_depend_on_its_neighbours(texts: list[str]) -> None:
    together = [cut(order) for order in iter_buckets(texts)]
    for row, text in enumerate(texts):
        assert [order[row] for order in together] == [cut(o)[0] for o in iter_buckets([text])]


def test_pairs_of_words_keep_their_order() -> None:
    first, second = (list(iter_buckets([text]))[-1] for text in ("red dog", "dog red"))
    assert first.counts.tolist() == second.counts.tolist() == [1]
    assert first.buckets.tolist() != second.buckets.tolist()
    assert 0 <= first.buckets[0] < 1 << BUCKET_BITS
