from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.vocab_data import outputs_of, read_udhr, udhr_counts

from labse.vocab.tokenizer import CONTINUATION, SPECIAL_TOKENS, build_tokenizer
from labse.vocab.wordpiece import learn_wordpiece

word_lists = st.dictionaries(
    st.text("abกé", min_size=1, max_size=8), st.integers(1, 20), min_size=1, max_size=30
)


def learn_slowly(words: dict[str, int], threshold: float, num_iterations: int) -> set[str]:
    """The guide's algorithm as it reads, word by word, for one T."""
    characters = {c for word in words for c in word}
    alphabet = characters | {CONTINUATION + c for c in characters}
    pieces: set[str] = set()
    for iteration in range(num_iterations):
        weights: Counter[str] = Counter()
        for word, weight in words.items():
            begins = range(len(word)) if not iteration else cut_slowly(word, alphabet | pieces)
            for begin in begins:
                for end in range(begin + 1, len(word) + 1):
                    weights[CONTINUATION * (begin > 0) + word[begin:end]] += weight
        pieces = set()
        for piece in sorted(weights, key=lambda p: -len(p.removeprefix(CONTINUATION))):
            if weights[piece] < threshold:
                continue
            pieces.add(piece)
            mark = CONTINUATION * piece.startswith(CONTINUATION)
            text = piece.removeprefix(CONTINUATION)
            for end in range(1, len(text)):
                weights[mark + text[:end]] -= weights[piece]
    return {piece for piece in pieces if len(piece.removeprefix(CONTINUATION)) > 1}


def cut_slowly(word: str, pieces: set[str]) -> list[int]:
    begins, begin = [], 0
    while begin < len(word):
        begins.append(begin)
        mark = CONTINUATION * (begin > 0)
        ends = range(len(word), begin, -1)
        begin = next(end for end in ends if mark + word[begin:end] in pieces)
    return begins


@settings(deadline=None, max_examples=30)
@given(word_lists, st.integers(1, 3), st.integers(1, 25))
def test_pieces_are_those_of_the_published_algorithm_word_by_word(
    words: dict[str, int], num_iterations: int, threshold: int
) -> None:
    # With room for all pieces, T stays at min_count; characters are kept whatever they weigh, so
    # each gets weight enough here from words of its own.
    words = words | {c: words.get(c, 0) + threshold for word in words for c in word}
    vocab = learn_wordpiece(
        words, vocab_size=10_000, min_count=threshold, num_iterations=num_iterations
    )
    learnt = [piece for piece in vocab if piece not in SPECIAL_TOKENS]
    found = {piece for piece in learnt if len(piece.removeprefix(CONTINUATION)) > 1}
    assert found == learn_slowly(words, threshold, num_iterations)


def test_a_prefix_is_kept_for_what_it_explains_itself() -> None:
    # "walk" weighs 10, of which walking and walked explain 7; the word itself is left with 3.
    words = {"walk": 3, "walking": 4, "walked": 3}
    vocab = learn_wordpiece(words, vocab_size=100, min_count=3, num_iterations=1)
    assert {"walk", "walking", "walked"} <= set(vocab)
    assert not {"wal", "walki"} & set(vocab)
    assert "walk" not in learn_wordpiece(words, vocab_size=100, min_count=3.5, num_iterations=1)


def test_learnt_pieces_stand_the_heaviest_first_behind_the_alphabet() -> None:
    vocab = learn_wordpiece({"ab": 3, "cd": 9}, vocab_size=100)
    assert vocab == [
        *SPECIAL_TOKENS, "a", "b", "c", "d", "##a", "##b", "##c", "##d", "cd", "ab",
    ]  # fmt: skip


@pytest.mark.parametrize("exponent", [0.3, 0.7, 1.0])
@pytest.mark.parametrize("vocab_size", [1900, 2000, 2300])
def test_the_size_is_hit_exactly_where_the_words_give_enough(
    exponent: float, vocab_size: int
) -> None:
    vocab = learn_wordpiece(udhr_counts(exponent), vocab_size=vocab_size, min_count=0.5)
    assert len(vocab) == len(set(vocab)) == vocab_size


def test_more_than_the_words_can_give_ends_below_the_size() -> None:
    vocab = learn_wordpiece({"abc": 5, "ab": 3}, vocab_size=10_000)
    assert vocab == [*SPECIAL_TOKENS, "a", "b", "c", "##a", "##b", "##c", "abc", "ab"]


def test_equal_weights_that_do_not_fit_are_filled_up_in_a_fixed_order() -> None:
    words = dict.fromkeys(("ab", "cd", "ef", "gh"), 5)
    vocab = learn_wordpiece(words, vocab_size=5 + 16 + 3)
    assert vocab[-3:] == ["ab", "cd", "ef"]


def test_every_word_of_known_characters_has_ids() -> None:
    tokenizer = build_tokenizer(learn_wordpiece(udhr_counts(), vocab_size=2000, min_count=0.1))
    for sentence in read_udhr():
        assert "[UNK]" not in tokenizer.encode(sentence.text).tokens


@pytest.mark.parametrize("num_iterations", [1, 2, 4])
def test_whole_words_are_pieces_before_rarer_substrings(num_iterations: int) -> None:
    words = {"the": 90, "then": 40, "other": 30, "q": 5}
    vocab = learn_wordpiece(words, vocab_size=30, num_iterations=num_iterations)
    assert {"the", "then", "other"} <= set(vocab)


def test_an_unspaced_phrase_longer_than_any_piece_is_learnt_from() -> None:
    vocab = learn_wordpiece({"ก" * 20 + "ข" * 600: 3, "ก": 9}, vocab_size=1000)
    assert "##" + "ข" * 50 in vocab
    assert max(len(piece.removeprefix("##")) for piece in vocab) == 50


def test_punctuation_and_cjk_have_no_continuation_form() -> None:
    assert learn_wordpiece({"中": 5, ".": 5, "é": 5}, vocab_size=100) == [
        *SPECIAL_TOKENS, ".", "é", "中", "##é",
    ]  # fmt: skip


def test_one_word_is_a_vocabulary() -> None:
    assert learn_wordpiece({"ab": 2}, vocab_size=100)[-1] == "ab"


def test_a_bound_on_the_memory_keeps_the_heaviest_words(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "labse"):
        vocab = learn_wordpiece({"abc": 5, "bca": 9, "cab": 7}, vocab_size=100, max_places=6)
    assert vocab[-2:] == ["bca", "cab"]
    assert "heaviest 2 of 3 words" in caplog.text


def test_the_same_words_give_the_same_list_in_any_order_and_process() -> None:
    program = (
        "from tests.vocab_data import udhr_counts\n"
        "from labse.vocab.wordpiece import learn_wordpiece\n"
        "counts = udhr_counts()\n"
        "counts = dict(sorted(counts.items(), key=lambda item: hash(item[0])))\n"
        "print(learn_wordpiece(counts, vocab_size=2300, min_count=0.5))\n"
    )
    (output,) = outputs_of(program, 1, 2)
    assert len(output) > 5000


def test_no_iteration_is_refused() -> None:
    with pytest.raises(ValueError, match="num_iterations is 0"):
        learn_wordpiece({"abc": 5}, vocab_size=100, num_iterations=0)


def test_what_is_not_one_word_is_refused() -> None:
    with pytest.raises(ValueError, match="not one word"):
        learn_wordpiece({"a b": 5, "a": 5}, vocab_size=100)
