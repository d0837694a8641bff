"""The vocabulary learner.

Takes: weighted words. Gives: the pieces, special tokens first, the same each time.
Source: tokenizers' WordPieceTrainer, which is byte-pair encoding (arXiv 1508.07909) with `##`
marks, not the likelihood criterion of WordPiece; our own learner is to take its place.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import CharDelimiterSplit
from tokenizers.trainers import WordPieceTrainer

from labse.errors import LabseError, UsageError
from labse.vocab.counts import build_normalizer, build_splitter
from labse.vocab.tokenizer import CONTINUATION, MAX_WORD_CHARS, SPECIAL_TOKENS

__all__ = ["learn_wordpiece"]

_MAX_SCALE = 10.0  # Of a small corpus, tenths of a word are told apart.
_CHUNK_CHARS = 1 << 16
_ROUNDING = 1e-9  # Smoothed weights carry rounding: 1.9999999999999998 counts as 2.


def learn_wordpiece(
    word_counts: Mapping[str, float],
    *,
    vocab_size: int,
    min_count: float = 2,
    alphabet_size: int = 10_000,
    max_occurrences: int = 20_000_000,
) -> list[str]:
    """Learns the pieces of a vocabulary.

    Gives the special tokens, the alphabet, its `##` forms and the learnt pieces, in the order of
    learning. Both forms of a character are there whatever the words showed, so a word of known
    characters is never [UNK]; characters that are words of their own (punctuation, CJK) have no
    `##` form. The list is shorter than `vocab_size` where the words give no more pieces. The same
    words give the same list, in whatever order they come.

    Args:
        word_counts: words as `count_words` splits them, and their weights. Words of over
            1,000 characters are left out, as are words with a character outside the alphabet.
        vocab_size: the most pieces, special tokens included.
        min_count: the least weight of a character or learnt piece, inclusive.
        alphabet_size: the most characters, the heaviest first.
        max_occurrences: weights are scaled down to this sum and rounded where theirs is larger: the
            trainer reads each word as often as it weighs, about a million a second.

    Raises:
        LabseError: there is no word, or no character of weight `min_count`.
        UsageError: `vocab_size` cannot hold the special tokens and the alphabet.
        ValueError: a word is none of `count_words`, as "a b" or "end.".
    """
    words = {word: word_counts[word] for word in sorted(word_counts) if len(word) <= MAX_WORD_CHARS}
    weights = _weigh_characters(words)
    inner = _check_words(words, weights)
    alphabet = _choose_alphabet(weights, min_count=min_count, alphabet_size=alphabet_size)
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
    pieces = _train(
        words,
        alphabet,
        continuations,
        vocab_size=vocab_size,
        min_count=min_count,
        max_occurrences=max_occurrences,
    )
    return [*SPECIAL_TOKENS, *alphabet, *continuations, *pieces]


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


def _choose_alphabet(
    weights: Mapping[str, float], *, min_count: float, alphabet_size: int
) -> list[str]:
    """Returns the heaviest characters, in the order of their code points."""
    least = min_count * (1 - _ROUNDING)
    characters = [character for character, weight in weights.items() if weight >= least]
    characters.sort(key=lambda character: (-weights[character], character))
    return sorted(characters[:alphabet_size])


def _train(
    words: Mapping[str, float],
    alphabet: Sequence[str],
    continuations: Sequence[str],
    *,
    vocab_size: int,
    min_count: float,
    max_occurrences: int,
) -> list[str]:
    """Returns the learnt pieces in the order of learning.

    Left alone, the trainer numbers the continuations in the order of a hash map and breaks ties by
    number, so that two runs differ. Given as special tokens they have their numbers beforehand.
    """
    scale = min(_MAX_SCALE, max_occurrences / max(sum(words.values()), 1.0))
    fixed = [*SPECIAL_TOKENS, *continuations]
    trainer = WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=max(1, math.ceil(min_count * scale * (1 - _ROUNDING))),
        special_tokens=fixed,
        initial_alphabet=list(alphabet),
        continuing_subword_prefix=CONTINUATION,
        show_progress=False,
    )
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = CharDelimiterSplit(" ")
    tokenizer.train_from_iterator(_iter_chunks(words, scale), trainer=trainer)

    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.__getitem__)[len(fixed) + len(alphabet) :]


def _iter_chunks(words: Mapping[str, float], scale: float) -> Iterator[str]:
    """Yields text in which each word stands about `scale` times its weight.

    The running total is rounded, not each weight: rare words that begin alike, neighbours in the
    sorted order, keep their joint weight.
    """
    chunk: list[str] = []
    num_chars, total, written = 0, 0.0, 0
    for word, weight in words.items():
        total += weight * scale
        repeats, written = round(total) - written, round(total)
        most = max(1, _CHUNK_CHARS // (len(word) + 1))
        while repeats > 0:
            part = min(repeats, most)
            chunk.append(f"{word} " * part)
            num_chars += part * (len(word) + 1)
            repeats -= part
            if num_chars >= _CHUNK_CHARS:
                yield "".join(chunk)
                chunk, num_chars = [], 0
    yield "".join(chunk)
