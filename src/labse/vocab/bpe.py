"""The second learner: byte-pair encoding with the marks of WordPiece.

Takes: weighted words. Gives: the pieces, special tokens first, the same each time.
Source: tokenizers' WordPieceTrainer, which is byte-pair encoding (arXiv 1508.07909) with `##`
marks, not the likelihood criterion of WordPiece: it merges the most frequent pair, bottom up.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import CharDelimiterSplit
from tokenizers.trainers import WordPieceTrainer

from labse.vocab.alphabet import ALPHABET_SIZE, ROUNDING, choose_alphabet
from labse.vocab.tokenizer import CONTINUATION, SPECIAL_TOKENS

__all__ = ["learn_bpe"]

_MAX_SCALE = 10.0  # Of a small corpus, tenths of a word are told apart.
_CHUNK_CHARS = 1 << 16


def learn_bpe(
    word_counts: Mapping[str, float],
    *,
    vocab_size: int,
    min_count: float = 2,
    alphabet_size: int = ALPHABET_SIZE,
    max_occurrences: int = 20_000_000,
) -> list[str]:
    """Learns the pieces of a vocabulary from the most frequent pair up.

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
    alphabet = choose_alphabet(
        word_counts, vocab_size=vocab_size, min_count=min_count, alphabet_size=alphabet_size
    )
    pieces = _train(
        alphabet.words,
        alphabet.characters,
        alphabet.continuations,
        vocab_size=vocab_size,
        min_count=min_count,
        max_occurrences=max_occurrences,
    )
    return [*alphabet.pieces, *pieces]


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
        min_frequency=max(1, math.ceil(min_count * scale * (1 - ROUNDING))),
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
