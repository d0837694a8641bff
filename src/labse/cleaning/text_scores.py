"""Scores of single texts, a column a scorer.

Takes: texts and the language each is said to be in. Gives: (N,) columns of numbers.
Source: docs/cleaning.md has the meaning of each and what its bound drops.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.boilerplate import boilerplate_shares, markup_shares
from labse.cleaning.characters import (
    DIGIT,
    LETTER,
    PUNCTUATION,
    SPACE,
    SYMBOL,
    TextBlock,
    build_block,
    count_kinds,
    count_script_letters,
)
from labse.cleaning.langid import identify_languages, is_known_language, is_same
from labse.cleaning.normalize import normalize_text
from labse.cleaning.repetition import repetition_shares
from labse.corpus.languages import find_language
from labse.corpus.records import UNKNOWN_LANG

__all__ = ["ScoredTexts", "score_texts"]

_BLOCK_CHARS = 1 << 17  # Scored at once: the arrays of a block stay in the cache.
# For the identifiers to be believed against the tag: lists of names mislead them.
_MIN_LETTERS = 25
_MIN_PROB = 0.8
# UTF-8 that was read as Latin-1 or Windows-1252, and what a failed decoding leaves.
_BROKEN = re.compile(
    "[ÂÃ][\u0080-\u00bf‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|â€[\u0080-\u00bf˜™š›œžŸ“”¦¢]|[ÐÑ][\u0080-\u00bf]|\ufffd"
)
_BROKEN_SIGNS = ("\ufffd", "Ã", "Â", "â€", "Ð", "Ñ")


@dataclass(frozen=True, slots=True)
class ScoredTexts:
    """N texts and their scores.

    Attributes:
        texts: normalised.
        identified_langs: what the text is written in, `und` where that is not sure; all `und` if
            it was not asked.
        scores: (N,) float32 by name; NaN where a score is not known.
    """

    texts: list[str]
    identified_langs: list[str]
    scores: dict[str, NDArray[np.float32]]


def score_texts(
    texts: Sequence[str], langs: Sequence[str], *, identify: bool = True
) -> ScoredTexts:
    """Normalises texts and scores them.

    Args:
        texts: N texts, any.
        langs: N canonical tags that they are said to be in; `und` matches every script and
            language.
        identify: whether to identify languages, which takes four fifths of the time.

    Raises:
        ResourceError: an identifier is not installed.
    """
    normalized = [normalize_text(text) for text in texts]
    clean = [one.text for one in normalized]
    num_controls = np.fromiter((one.num_controls for one in normalized), np.float32, len(clean))
    blocks = [
        _score_block(clean[start:stop], langs[start:stop]) for start, stop in _cut(clean)
    ] or [_score_block([], [])]
    scores = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    lengths = np.fromiter(map(len, texts), np.float32, len(texts))
    scores["control_share"] = num_controls / np.maximum(lengths, 1)
    identified = [UNKNOWN_LANG] * len(clean)
    matches = np.full(len(clean), np.nan, np.float32)
    if identify:
        identified, matches = _match_languages(clean, langs, scores["letters"])
    scores["language_match"] = matches
    return ScoredTexts(clean, identified, scores)


def _cut(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    start = num_chars = 0
    for stop, text in enumerate(texts, start=1):
        num_chars += len(text) + 1
        if num_chars >= _BLOCK_CHARS or stop == len(texts):
            yield start, stop
            start, num_chars = stop, 0


def _score_block(texts: Sequence[str], langs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    block = build_block(texts)
    kinds = count_kinds(block).astype(np.float32)
    visible = np.maximum(block.lengths - kinds[:, SPACE], 1).astype(np.float32)
    scripts = [find_language(lang).script for lang in langs]
    in_script, in_any = count_script_letters(block, scripts)
    with np.errstate(invalid="ignore"):
        script_shares = (in_script / in_any).astype(np.float32)  # NaN without a letter.
    return {
        "characters": block.lengths.astype(np.float32),
        "letters": kinds[:, LETTER],
        "letter_share": kinds[:, LETTER] / visible,
        "digit_share": kinds[:, DIGIT] / visible,
        "symbol_share": (kinds[:, SYMBOL] + kinds[:, PUNCTUATION]) / visible,
        "script_share": script_shares,
        "broken_share": _broken_shares(texts, block),
        "markup_share": markup_shares(texts, block),
        "repetition_share": repetition_shares(block),
        "boilerplate_share": boilerplate_shares(texts),
    }


def _broken_shares(texts: Sequence[str], block: TextBlock) -> NDArray[np.float32]:
    shares = np.zeros(len(texts), np.float32)
    joined = "\n".join(texts)
    if not any(sign in joined for sign in _BROKEN_SIGNS):
        return shares
    for match in _BROKEN.finditer(joined):
        row = np.searchsorted(block.starts, match.start(), side="right") - 1
        shares[row] += (match.end() - match.start()) / block.lengths[row]
    return shares


def _match_languages(
    texts: Sequence[str], langs: Sequence[str], num_letters: NDArray[np.float32]
) -> tuple[list[str], NDArray[np.float32]]:
    """Returns the languages identified, and whether they are those of the tags.

    1: one identifier at least says the tag's language; 0: both have it and agree on another; 0.5:
    it cannot be told.
    """
    matches = np.full(len(texts), 0.5, np.float32)
    guesses = identify_languages(texts)
    for row, (guess, lang) in enumerate(zip(guesses, langs, strict=True)):
        if is_same(guess.cld2_lang, lang) or is_same(guess.langid_lang, lang):
            matches[row] = 1
        elif (
            num_letters[row] >= _MIN_LETTERS
            and guess.langid_prob >= _MIN_PROB
            and is_same(guess.cld2_lang, guess.langid_lang)
            and is_known_language(lang)
        ):
            matches[row] = 0
    return [guess.lang for guess in guesses], matches
