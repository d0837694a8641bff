import numpy as np
import pytest

from labse.selection.word_model import learn_word_model, log_probs
from labse.selection.words import NULL, Vocabulary, WordRows, split_words

PAIRS = [("das haus", "the house"), ("das buch", "the book"), ("ein buch", "a book")]


def ids_of(pairs: list[tuple[str, str]]) -> tuple[WordRows, WordRows, Vocabulary, Vocabulary]:
    sides = [[pair[side] for pair in pairs] for side in (0, 1)]
    words = [Vocabulary(sorted({word for text in side for word in text.split()})) for side in sides]
    return words[0].number(sides[0]), words[1].number(sides[1]), words[0], words[1]


def em_by_hand(pairs: list[tuple[str, str]], num_rounds: int) -> dict[tuple[str, str], float]:
    """Model 1 as in Brown et al. 1993, in loops: t(target word | source word), NULL included."""
    cut = [(["NULL", *source.split()], target.split()) for source, target in pairs]
    probs = {(f, e): 1.0 for source, target in cut for e in source for f in target}
    for _ in range(num_rounds):
        counts = dict.fromkeys(probs, 0.0)
        for source, target in cut:
            for f in target:
                total = sum(probs[f, e] for e in source)
                for e in source:
                    counts[f, e] += probs[f, e] / total
        totals: dict[str, float] = {}
        for (_, e), count in counts.items():
            totals[e] = totals.get(e, 0.0) + count
        probs = {(f, e): count / totals[e] for (f, e), count in counts.items()}
    return probs


@pytest.mark.parametrize("num_rounds", [1, 2, 7])
def test_model_1_is_that_of_loops_both_ways(num_rounds: int) -> None:
    source, target, german, english = ids_of(PAIRS)
    model = learn_word_model(
        source, target, (len(german), len(english)), num_rounds=num_rounds, least_prob=0
    )
    entries = {int(key): place for place, key in enumerate(model.keys)}
    for probs, pairs in (
        (model.forward, PAIRS),
        (model.backward, [(target_text, text) for text, target_text in PAIRS]),
    ):
        is_forward = probs is model.forward
        makers, made = (german, english) if is_forward else (english, german)
        for (f, e), expected in em_by_hand(pairs, num_rounds).items():
            maker = NULL if e == "NULL" else makers.words.index(e) + 2
            word = made.words.index(f) + 2
            key = (maker << 16) + word if is_forward else (word << 16) + maker
            assert probs[entries[key]] == pytest.approx(expected, abs=1e-6)


def test_one_round_by_hand() -> None:
    # "house" stands once, beside NULL, das, haus: a third each. das meets the, house, the, book:
    # thirds, so t(house | das) = 1/3 over 4/3.
    source, target, german, english = ids_of(PAIRS)
    sizes = len(german), len(english)
    model = learn_word_model(source, target, sizes, num_rounds=1, least_prob=0)
    das, house = german.words.index("das") + 2, english.words.index("house") + 2
    place = np.searchsorted(model.keys, (das << 16) + house)
    assert model.forward[place] == pytest.approx(0.25)


def test_translations_are_more_probable_than_others_and_shards_do_not_matter() -> None:
    source, target, german, english = ids_of(PAIRS)
    model = learn_word_model(source, target, (len(german), len(english)), num_rounds=9)
    texts = ["das haus", "das haus", ""]
    (found,) = log_probs(
        [model], german.number(texts), english.number(["the house", "a book", "the"])
    )
    forward, backward = found.forward, found.backward
    assert forward[0] > forward[1]
    assert backward[0] > backward[1]
    assert backward[2] == 0
    many = [
        ids.number([text] * 4500) for ids, text in ((german, "das haus"), (english, "the house"))
    ]
    np.testing.assert_allclose(log_probs([model], *many)[0].forward, forward[0])


def test_words_of_scripts_without_spaces_are_characters() -> None:
    assert split_words("Das Haus, 3.5!") == ["das", "haus", ",", "3", ".", "5", "!"]
    assert split_words("我住在北京 ok") == ["我", "住", "在", "北", "京", "ok"]
