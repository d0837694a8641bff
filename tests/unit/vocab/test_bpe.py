from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.vocab_data import outputs_of, udhr_counts

from labse.vocab.bpe import _iter_chunks, learn_bpe
from labse.vocab.tokenizer import SPECIAL_TOKENS, build_tokenizer


def test_pieces_by_hand() -> None:
    # "ab" + "##c" meet 6 times and 5: a ##b first, then ab ##c; "c" occurs inside and alone.
    counts = {"abc": 5, "ab": 1, "c": 2}
    assert learn_bpe(counts, vocab_size=100) == [
        *SPECIAL_TOKENS, "a", "b", "c", "##a", "##b", "##c", "ab", "abc",
    ]  # fmt: skip


def test_the_list_ends_at_vocab_size() -> None:
    assert learn_bpe({"abc": 5, "ab": 1, "c": 2}, vocab_size=12)[-1] == "ab"


def test_pieces_of_less_than_min_count_are_not_learnt() -> None:
    vocab = learn_bpe({"abc": 5, "ab": 1, "c": 2}, vocab_size=100, min_count=6)
    assert vocab == [*SPECIAL_TOKENS, "a", "b", "c", "##a", "##b", "##c", "ab"]


def test_a_smoothed_weight_a_rounding_error_below_min_count_counts() -> None:
    assert "ab" in learn_bpe({"ab": 2 - 1e-12}, vocab_size=100)


def test_characters_of_less_than_min_count_and_their_words_are_left_out() -> None:
    vocab = learn_bpe({"ab": 4, "aq": 1}, vocab_size=100)
    assert vocab == [*SPECIAL_TOKENS, "a", "b", "##a", "##b", "ab"]


def test_the_alphabet_holds_the_heaviest_characters_up_to_its_size() -> None:
    vocab = learn_bpe({"a": 3, "b": 9, "c": 9, "d": 2}, vocab_size=100, alphabet_size=2)
    assert vocab == [*SPECIAL_TOKENS, "b", "c", "##b", "##c"]


def test_punctuation_and_cjk_have_no_continuation_form() -> None:
    vocab = learn_bpe({"中": 5, ".": 5, "é": 5}, vocab_size=100)
    assert vocab == [*SPECIAL_TOKENS, ".", "é", "中", "##é"]


def test_weights_matter_in_proportion_only() -> None:
    counts = {word: round(weight) for word, weight in udhr_counts(1.0).items()}
    doubled = {word: 2 * weight for word, weight in counts.items()}
    assert learn_bpe(doubled, vocab_size=2500) == learn_bpe(counts, vocab_size=2500, min_count=1)


def test_large_weights_are_scaled_down_and_keep_their_ranks() -> None:
    counts = {"ab": 1e12, "cd": 0.7e12, "ef": 0.3e12}
    vocab = learn_bpe(counts, vocab_size=100, max_occurrences=1000)
    assert vocab[-3:] == ["ab", "cd", "ef"]


def test_many_words_too_rare_for_the_bound_keep_their_joint_weight() -> None:
    # Scaled to 10,000 in all, each of 1,000 words in "ab" counts 0.1, "yz" 50 and "k" the rest.
    counts = {f"ab{number:03d}": 0.1 for number in range(1000)} | {"yz": 50, "k": 9850}
    vocab = learn_bpe(counts, vocab_size=36, min_count=0, max_occurrences=10_000)
    assert len(vocab) == 36
    assert vocab[-1] in ("ab", "##b0")


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.text("abcdé中.", min_size=1, max_size=1), st.integers(2, 50), min_size=1))
def test_single_characters_are_all_kept(counts: dict[str, int]) -> None:
    assert set(counts) <= set(learn_bpe(counts, vocab_size=100))


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_words_of_known_characters_are_never_unknown(data: st.DataObject) -> None:
    words = st.text("abκλก้한", min_size=1, max_size=8)
    counts = data.draw(st.dictionaries(words, st.integers(2, 20), min_size=1))
    vocab = learn_bpe(counts, vocab_size=60)
    known = sorted(set("".join(counts)))
    text = data.draw(st.text([*known, " "]))
    assert "[UNK]" not in build_tokenizer(vocab).encode(text).tokens


def test_every_character_of_forty_languages_is_covered() -> None:
    counts = udhr_counts()
    vocab = learn_bpe(counts, vocab_size=4000, min_count=0)
    tokenizer = build_tokenizer(vocab)
    assert all("[UNK]" not in tokenizer.encode(word).tokens for word in counts)
    assert len(vocab) == len(set(vocab)) == 4000


def test_the_same_words_in_another_order_give_the_same_vocabulary() -> None:
    counts = udhr_counts()
    turned = dict(reversed(counts.items()))
    assert learn_bpe(turned, vocab_size=2500, min_count=0.5) == learn_bpe(
        counts, vocab_size=2500, min_count=0.5
    )


def test_two_processes_learn_the_same_vocabulary() -> None:
    # Words of equal weight: all is ties, which the trainer breaks by the numbers of pieces.
    program = (
        "import random; from labse.vocab.bpe import learn_bpe\n"
        "draw = random.Random(0)\n"
        "words = {''.join(draw.choices('abcdefghij', k=5)): 3 for _ in range(2000)}\n"
        "print(learn_bpe(words, vocab_size=1000))"
    )
    (output,) = outputs_of(program, 1, 2, 3)
    assert len(output) > 5000


def test_words_over_a_thousand_characters_are_left_out() -> None:
    vocab = learn_bpe({"a" * 1000: 2, "b" * 1001: 2}, vocab_size=100)
    assert "a" in vocab
    assert "b" not in vocab


@given(
    st.dictionaries(st.text("ab", min_size=1, max_size=5), st.floats(0, 1e4), min_size=1),
    st.floats(0.01, 10),
)
def test_the_trainer_reads_each_word_as_often_as_it_weighs_within_one(
    weights: dict[str, float], scale: float
) -> None:
    words = {word: weights[word] for word in sorted(weights)}
    read = Counter(" ".join(_iter_chunks(words, scale)).split())
    assert read.total() == round(sum(weight * scale for weight in words.values()))
    assert all(abs(read[word] - weight * scale) <= 1 + 1e-6 for word, weight in words.items())


def test_text_for_the_trainer_comes_in_bounded_chunks_of_whole_words() -> None:
    words = {"abc": 1e5, "b" * 1000: 1e3, "c": 1.0}
    chunks = list(_iter_chunks(words, 1.0))
    assert max(map(len, chunks)) < 150_000
    assert all(set(chunk.split()) <= set(words) for chunk in chunks)
    assert Counter("".join(chunks).split()) == Counter({"abc": 100_000, "b" * 1000: 1000, "c": 1})
