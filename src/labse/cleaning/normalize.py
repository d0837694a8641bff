"""Unicode normalisation: one spelling for one text.

Takes: any text. Gives: NFC without control characters, white space as single spaces.
Source: Unicode UAX 15 (NFC), general categories of UAX 44.
"""

import re
import unicodedata
from typing import NamedTuple

__all__ = ["NormalizedText", "normalize_text"]

# C0, DEL and C1 that are no white space, lone surrogates, noncharacters, interlinear marks: no
# text has them; old encodings and broken programs leave them.
_CONTROLS = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufff9-\ufffb\ufffe\uffff"
    + "".join(chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(1, 17))
    + "]"
)
# Soft hyphen, byte order mark, direction marks, word joiner: marks that text may have, and that
# make equal sentences differ. Joiners (U+200C, U+200D) spell words and stay.
_MARKS = re.compile("[\u00ad\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]")
# A zero-width space parts words in Thai, Lao, Burmese and Khmer; elsewhere it is noise.
_ZERO_WIDTH = re.compile(
    "(?<![\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])\u200b"
    "|\u200b(?![\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])"
)


class NormalizedText(NamedTuple):
    """A text and how many control characters it lost."""

    text: str
    num_controls: int


def normalize_text(text: str) -> NormalizedText:
    """Normalises one text; normalising the result again changes nothing.

    White space of any kind, line separators and no-break spaces included, becomes one space, and
    none at the ends.
    """
    num_controls = 0
    is_printable = text.isprintable()
    if not is_printable:  # Spaces but U+0020, formats and controls are not printable.
        text, num_controls = _CONTROLS.subn("", text)
        text = _ZERO_WIDTH.sub("", _MARKS.sub("", text))
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if not is_printable or "  " in text or text[:1] == " " or text[-1:] == " ":
        text = " ".join(text.split())
    return NormalizedText(text, num_controls)
