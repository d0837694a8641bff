import pytest

from labse.errors import LabseError, UsageError
from labse.vocab.alphabet import Alphabet, choose_alphabet
from labse.vocab.tokenizer import SPECIAL_TOKENS


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


def test_no_character_and_no_room_are_errors() -> None:
    with pytest.raises(LabseError, match="no character occurs 2 times"):
        choose({"a": 1})
    with pytest.raises(UsageError, match="give at least 7"):
        choose({"a": 2}, vocab_size=6)
