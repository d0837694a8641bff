from collections.abc import Callable

import pytest

from labse.errors import LabseError, UsageError
from labse.vocab.alphabet import Alphabet, choose_alphabet
from labse.vocab.bpe import learn_bpe
from labse.vocab.tokenizer import SPECIAL_TOKENS
from labse.vocab.wordpiece import learn_wordpiece


def choose(words: dict[str, float], *, vocab_size: int = 100, alphabet_size: int = 9) -> Alphabet:
    return choose_alphabet(words, vocab_size=vocab_size, min_count=2, alphabet_size=alphabet_size)


def test_the_heaviest_characters_stand_in_the_order_of_their_code_points() -> None:
    alphabet = choose({"b": 9, "a": 3, "c": 9, "d": 2}, alphabet_size=2)
    assert alphabet.characters == ["b", "c"]
    assert alphabet.pieces == [*SPECIAL_TOKENS, "b", "c", "##b", "##c"]


def test_words_that_the_alphabet_cannot_write_are_left_out() -> None:
    alphabet = choose({"ab": 4, "aq": 1, "a" * 1001: 8})
    assert alphabet.words == {"ab": 4}


def test_characters_that_are_words_have_no_continuation() -> None:
    assert choose({"中": 5, ".": 5, "é": 5}).continuations == ["##é"]


# ---- What both learners refuse ----

Learn = Callable[..., list[str]]
both_learners = pytest.mark.parametrize("learn", [learn_bpe, learn_wordpiece])


@both_learners
def test_too_small_a_vocab_size_names_the_least(learn: Learn) -> None:
    with pytest.raises(UsageError, match="at least 11, or a lower alphabet_size"):
        learn({"abc": 5}, vocab_size=10)
    assert len(learn({"abc": 5}, vocab_size=11)) == 11


@both_learners
@pytest.mark.parametrize("counts", [{}, {"a": 1}])
def test_an_empty_corpus_is_refused(learn: Learn, counts: dict[str, float]) -> None:
    with pytest.raises(LabseError, match="no character occurs 2 times"):
        learn(counts, vocab_size=100)


@both_learners
@pytest.mark.parametrize("word", ["a b", "end.", "中文", "", "a\x00", "\u200d"])
def test_what_is_not_one_word_is_refused(learn: Learn, word: str) -> None:
    with pytest.raises(ValueError, match="not one word"):
        learn({word: 5, "a": 5}, vocab_size=100)


@both_learners
def test_the_argument_is_left_as_it_was(learn: Learn) -> None:
    counts = {"b": 3.0, "a": 3.0}
    learn(counts, vocab_size=100)
    assert list(counts.items()) == [("b", 3.0), ("a", 3.0)]
