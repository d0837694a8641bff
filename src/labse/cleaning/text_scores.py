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
    HASH_FACTOR,
    LETTER,
    PUNCTUATION,
    SPACE,
    SYMBOL,
    TextBlock,
    build_block,
    count_kinds,
    count_script_letters,
)
from labse.cleaning.langid import match_languages
from labse.cleaning.normalize import normalize_text
from labse.corpus.languages import find_language
from labse.corpus.records import UNKNOWN_LANG
from labse.files.npy import ragged_positions

__all__ = ["ScoredTexts", "repetition_shares", "score_texts"]

_BLOCK_CHARS = 1 << 17  # Scored at once: the arrays of a block stay in the cache.
# UTF-8 that was read as Latin-1 or Windows-1252, and what a failed decoding leaves.
_BROKEN = re.compile(
    "[ÂÃ][\u0080-\u00bf‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|â€[\u0080-\u00bf˜™š›œžŸ“”¦¢]|[ÐÑ][\u0080-\u00bf]|\ufffd"
)
_BROKEN_SIGNS = ("\ufffd", "Ã", "Â", "â€", "Ð", "Ñ")

# Repetition is measured in n-grams of so many characters.
_ORDER = 8
_HASH_BITS = 44
_MAX_TEXTS = 1 << (64 - _HASH_BITS)


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
        identified, matches = match_languages(clean, langs)
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


def repetition_shares(block: TextBlock) -> NDArray[np.float32]:
    """Returns (N,) the share of the 8-grams of characters that came before in the same text.

    Rae et al. 2021 (Gopher), appendix A.1.1; here of characters, so that scripts without spaces are
    measured too. 0 for texts under 9 characters. 44 bits of a hash stand for an 8-gram: in a text
    of 5,000 characters one share in a million is too high, by 1/5000.

    Raises:
        ValueError: over a million texts.
    """
    if len(block.starts) >= _MAX_TEXTS:
        raise ValueError(f"{len(block.starts)} texts; give under {_MAX_TEXTS} at once")
    num_grams = np.maximum(block.lengths - _ORDER + 1, 0)
    shares = np.zeros(len(block.starts), np.float32)
    if not num_grams.any():
        return shares

    hashes = _rolling_hashes(block.code_points)
    rows = np.repeat(np.arange(len(num_grams), dtype=np.uint64), num_grams)
    keys = hashes[ragged_positions(block.starts, num_grams)] >> np.uint64(64 - _HASH_BITS)
    keys |= rows << np.uint64(_HASH_BITS)
    keys.sort()
    repeated = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(_HASH_BITS)
    num_repeated = np.bincount(repeated.astype(np.int64), minlength=len(num_grams))
    np.divide(num_repeated, num_grams, out=shares, where=num_grams > 0, casting="unsafe")
    return shares


def _rolling_hashes(code_points: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Returns a hash of the 8 characters from each place on, by doubling: 1, 2, 4, 8."""
    hashes = (code_points.astype(np.uint64) + np.uint64(1)) * HASH_FACTOR
    width = 1
    while width < _ORDER:
        hashes = (hashes[:-width] ^ (hashes[:-width] >> np.uint64(29))) * HASH_FACTOR + hashes[
            width:
        ]
        width *= 2
    return hashes * HASH_FACTOR
