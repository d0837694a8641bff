"""The alphabet of a vocabulary: the characters that every word is made of.

Takes: weighted words. Gives: the heaviest characters, their `##` forms, the words they can write.
Source: BERT's vocabularies hold each character in both forms; 109 languages need about 10,000.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from labse.errors import LabseError, UsageError
from labse.vocab.counts import build_normalizer, build_splitter
from labse.vocab.tokenizer import CONTINUATION, MAX_WORD_CHARS, SPECIAL_TOKENS

__all__ = ["ALPHABET_SIZE", "ROUNDING", "Alphabet", "choose_alphabet"]

# More than the 8,105 characters of China's general standard (2013); the
# tensorflow/text learner stops at 1,000 (its `max_unique_chars`) and so loses most of Chinese.
ALPHABET_SIZE = 10_000
ROUNDING = 1e-9  # Smoothed weights carry rounding: 1.9999999999999998 counts as 2.


@dataclass(frozen=True, slots=True)
class Alphabet:
    """The pieces that are there before any is learnt.

    Attributes:
        characters: in the order of their code points.
        continuations: `##` forms of those that may stand inside a word, in the same order.
        words: the words that these characters write, sorted, with their weights.
    """

    characters: list[str]
    continuations: list[str]
    words: dict[str, float]

    @property
    def pieces(self) -> list[str]:
        """The head of the vocabulary: special tokens, characters, `##` forms."""
        return [*SPECIAL_TOKENS, *self.characters, *self.continuations]


def choose_alphabet(
    word_counts: Mapping[str, float], *, vocab_size: int, min_count: float, alphabet_size: int
) -> Alphabet:
    """Chooses the characters; words of over 1,000 characters are left out.

    Both forms of a character are there whatever the words showed, so a word of known characters is
    never [UNK]; characters that are words of their own (punctuation, CJK) have no `##` form.

    Raises:
        LabseError: there is no word, or no character of weight `min_count`.
        UsageError: `vocab_size` cannot hold the special tokens and the alphabet.
        ValueError: a word is none of `count_words`, as "a b" or "end.".
    """
    words = {word: word_counts[word] for word in sorted(word_counts) if len(word) <= MAX_WORD_CHARS}
    weights = _weigh_characters(words)
    inner = _check_words(words, weights)
    alphabet = _choose_characters(weights, min_count=min_count, alphabet_size=alphabet_size)
    if not alphabet:
        raise LabseError(
            f"no character occurs {min_count:g} times in the {len(words)} words; "
            "give more text or a lower min_count"
        )
    continuations = [CONTINUATION + character for character in alphabet if character in inner]

    least = len(SPECIAL_TOKENS) + len(alphabet) + len(continuations)
    if vocab_size < least:
        raise UsageError(
            f"vocab_size {vocab_size} cannot hold {len(SPECIAL_TOKENS)} special tokens, "
            f"{len(alphabet)} characters and {len(continuations)} {CONTINUATION} forms; "
            f"give at least {least}, or a lower alphabet_size"
        )
    known = set(alphabet)
    words = {word: weight for word, weight in words.items() if known.issuperset(word)}
    return Alphabet(alphabet, continuations, words)


def _weigh_characters(words: Mapping[str, float]) -> Counter[str]:
    weights: Counter[str] = Counter()
    for word, weight in words.items():
        for character in word:
            weights[character] += weight  # type: ignore[assignment]
    return weights


def _check_words(words: Mapping[str, float], characters: Iterable[str]) -> set[str]:
    """Returns the characters that may stand inside a word, as the splitter sees them."""
    normalizer, splitter = build_normalizer(), build_splitter()
    inner, alone = set(), set()
    for character in characters:
        probe = normalizer.normalize_str(f"a{character}a")
        pieces = [word for word, _ in splitter.pre_tokenize_str(probe)]
        if pieces == [f"a{character}a"]:
            inner.add(character)
        elif pieces == ["a", character, "a"]:
            alone.add(character)

    for word in words:
        if not word or (word not in alone and not inner.issuperset(word)):
            raise ValueError(f"{word!r} is not one word; split the text with count_words")
    return inner


def _choose_characters(
    weights: Mapping[str, float], *, min_count: float, alphabet_size: int
) -> list[str]:
    """Returns the heaviest characters, in the order of their code points."""
    least = min_count * (1 - ROUNDING)
    characters = [character for character, weight in weights.items() if weight >= least]
    characters.sort(key=lambda character: (-weights[character], character))
    return sorted(characters[:alphabet_size])
