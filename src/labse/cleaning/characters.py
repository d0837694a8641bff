"""What characters texts are made of, counted for a whole block of texts at once.

Takes: texts without line feeds. Gives: for each, counts by kind (letter, digit, ...) and by script.
Source: the Unicode character database of Python's unicodedata; a script is known by the first
words of the names of its letters (`CYRILLIC SMALL LETTER A`), which a test holds against UAX 24.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import cast

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DIGIT",
    "HASH_FACTOR",
    "LETTER",
    "OTHER",
    "PUNCTUATION",
    "SPACE",
    "SYMBOL",
    "TextBlock",
    "build_block",
    "count_kinds",
    "count_script_letters",
    "kinds_of",
]

HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: Knuth, TAOCP 6.4.
# Kinds: Unicode's general categories L and M, N, Z, P, S, and C (control, private, unassigned).
LETTER, DIGIT, SPACE, PUNCTUATION, SYMBOL, OTHER = range(6)
_KINDS = {"L": LETTER, "M": LETTER, "N": DIGIT, "Z": SPACE, "P": PUNCTUATION, "S": SYMBOL}
_COMMON = 0  # Not a letter of one script: digits, punctuation, combining marks, modifiers.
_OTHER_SCRIPT = 1  # Of a script that no language of the table has.
# The first word of the names of a script's letters; those of two words share none with others.
_SCRIPTS = {
    "Arab": "ARABIC", "Armn": "ARMENIAN", "Avst": "AVESTAN", "Beng": "BENGALI",
    "Cakm": "CHAKMA", "Cans": "CANADIAN", "Cher": "CHEROKEE", "Copt": "COPTIC",
    "Cyrl": "CYRILLIC", "Deva": "DEVANAGARI", "Ethi": "ETHIOPIC", "Geor": "GEORGIAN",
    "Goth": "GOTHIC", "Grek": "GREEK", "Gujr": "GUJARATI", "Guru": "GURMUKHI",
    "Hang": "HANGUL", "Hani": "CJK", "Hebr": "HEBREW", "Hira": "HIRAGANA",
    "Kana": "KATAKANA", "Khmr": "KHMER", "Knda": "KANNADA", "Laoo": "LAO",
    "Latn": "LATIN", "Mlym": "MALAYALAM", "Mong": "MONGOLIAN", "Mymr": "MYANMAR",
    "Nkoo": "NKO", "Olck": "OL", "Orya": "ORIYA", "Sinh": "SINHALA", "Syrc": "SYRIAC",
    "Taml": "TAMIL", "Telu": "TELUGU", "Tfng": "TIFINAGH", "Thaa": "THAANA", "Thai": "THAI",
    "Tibt": "TIBETAN", "Vaii": "VAI", "Yiii": "YI", "Bopo": "BOPOMOFO",
}  # fmt: skip
_SCRIPT_IDS = {script: number for number, script in enumerate(_SCRIPTS, start=2)}
# Scripts that are written with letters of several; the tables' names for Chinese are Han.
_MEMBERS = {
    "Hans": ("Hani", "Bopo"),
    "Hant": ("Hani", "Bopo"),
    "Jpan": ("Hani", "Hira", "Kana"),
    "Kore": ("Hang", "Hani"),
}


@dataclass(frozen=True, slots=True)
class TextBlock:
    """N texts as one array of characters.

    Attributes:
        code_points: (T,) uint32, each text with a line feed after it, so that none is empty.
        starts: (N,) int64 where each begins.
        lengths: (N,) int64 characters, the line feed not counted.
    """

    code_points: NDArray[np.uint32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def sum(self, values: NDArray[np.generic], dtype: type = np.int32) -> NDArray[np.int32]:
        """Returns (N,) sums over each text of (T,) values."""
        if not len(self.starts):
            return np.zeros(0, dtype)
        return cast("NDArray[np.int32]", np.add.reduceat(values, self.starts, dtype=dtype))


def build_block(texts: Sequence[str]) -> TextBlock:
    """Joins texts; a lone surrogate is a character like others."""
    joined = "".join(chain.from_iterable((text, "\n") for text in texts))
    code_points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    starts = np.cumsum(lengths + 1) - lengths - 1
    return TextBlock(code_points, starts, lengths)


def kinds_of(block: TextBlock) -> NDArray[np.uint8]:
    """Returns (T,) the kind of each character, line feeds as OTHER."""
    return _tables().kinds[block.code_points]


def count_kinds(block: TextBlock) -> NDArray[np.int32]:
    """Returns (N, 6) characters of each kind, in the order of the constants."""
    kinds = kinds_of(block)
    counts = np.stack([block.sum(kinds == kind) for kind in range(6)], axis=1)
    counts[:, OTHER] -= 1  # The line feed.
    return counts


def count_script_letters(
    block: TextBlock, scripts: Sequence[str]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Counts letters in the script that each text should be in, and letters of any script.

    Args:
        block: N texts.
        scripts: N codes of ISO 15924; one that the table does not have, such as `Zyyy`, allows
            all letters.

    Returns:
        (N,) letters in the script and (N,) letters of some script, combining marks in neither.
    """
    found = _tables().scripts[block.code_points]
    distinct = sorted(set(scripts))
    allowed = np.stack([_allowed(script) for script in distinct] or [np.zeros(64, bool)])
    places = {script: place for place, script in enumerate(distinct)}
    rows = np.fromiter(map(places.__getitem__, scripts), np.int64, len(scripts))
    keys = np.repeat(rows * 64, block.lengths + 1)
    keys += found
    return block.sum(allowed.ravel()[keys]), block.sum(found != _COMMON)


@dataclass(frozen=True, slots=True)
class _Tables:
    """Kind and number of the script of each code point, (0x110000,) uint8."""

    kinds: NDArray[np.uint8]
    scripts: NDArray[np.uint8]


@cache
def _tables() -> _Tables:
    """Looks every code point up once: 0.3 s."""
    kinds = np.full(0x110000, OTHER, np.uint8)
    scripts = np.zeros(0x110000, np.uint8)
    words = {word: _SCRIPT_IDS[script] for script, word in _SCRIPTS.items()}
    words |= {"HALFWIDTH": 0, "FULLWIDTH": 0, "COMBINING": 0, "MODIFIER": 0, "VARIATION": 0}
    for code_point in chain(range(0x40000), range(0xE0000, 0xE0200)):  # Others have no letters.
        character = chr(code_point)
        kind = _KINDS.get(unicodedata.category(character)[0], OTHER)
        kinds[code_point] = kind
        if kind == LETTER:
            word = unicodedata.name(character, "").partition(" ")[0]
            scripts[code_point] = words.get(word, _OTHER_SCRIPT)
    scripts[0xFF21:0xFF5B] = _SCRIPT_IDS["Latn"]  # FULLWIDTH LATIN CAPITAL LETTER A
    scripts[0xFF66:0xFFA0] = _SCRIPT_IDS["Kana"]  # HALFWIDTH KATAKANA LETTER WO
    scripts[0xFFA0:0xFFDD] = _SCRIPT_IDS["Hang"]
    scripts[kinds != LETTER] = _COMMON
    return _Tables(kinds, scripts)


def _allowed(script: str) -> NDArray[np.bool_]:
    """Returns (64,) whether letters of a script of the table belong to `script`."""
    allowed = np.zeros(64, bool)
    numbers = [_SCRIPT_IDS[s] for s in _MEMBERS.get(script, (script,)) if s in _SCRIPT_IDS]
    allowed[numbers or slice(1, None)] = True
    return allowed
