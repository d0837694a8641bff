"""Codes inside a segment of TMX or XLIFF: which part two words, and which stand inside one.

Takes: the elements and the text of a segment, in order. Gives: its text on one line.
Source: TMX 1.4b, "Content markup"; XLIFF 1.2, section 2.4; XLIFF 2.0, section 4.2.3.

A code opens or closes markup (`bpt`), which may stand inside a word, or stands for something itself
(`ph`): a line break, an image, a variable. The latter parts the words on its two sides, unless what
it holds is markup that stands inside words too.
"""

import re
import unicodedata

__all__ = ["CODES", "OBJECT_BYTES", "SegmentText"]

OBJECT_BYTES = 64
"""What a short text takes, at a guess: the shortest pieces must not be the cheapest."""

# Their content is markup of the original, not text.
CODES = frozenset({"bpt", "ept", "it", "ph", "ut", "sub", "x", "bx", "ex", "sc", "ec", "cp"})
_STANDALONE = frozenset({"ph", "x", "ut"})
# Elements of others in a segment, as of HTML, that end a line or a cell.
_BREAKS = frozenset({"br", "p", "div", "li", "tr", "td", "th", "hr", "tab", "lb", "n"})
# What a code says of itself: an attribute, or markup of HTML, RTF and printf inside.
_SAYS_BREAK = re.compile(
    r"</?(?:br|p|div|li|ul|ol|tr|td|th|hr|h\d|w:br|w:tab|w:cr|text:tab|text:line-break|tab)\b"
    r"|\\(?:n|r|t|line|par|tab|cell|row)\b|[\n\t]"
    r"|\b(?:lb|x-lb|x-br|br|tab|pb|line ?break|newline)\b"
    r"|&lt;br|&#(?:10|13|9|xa|xd);|[\u21b5\u2028\u2029]",
    re.IGNORECASE,
)
_SAYS_INSIDE = re.compile(
    r"</?(?:a|abbr|b|big|bdi|bdo|code|del|em|font|i|ins|kbd|mark|q|s|small|span|strike|strong|sub|sup"
    r"|tt|u|var|wbr|w:softhyphen|cf|csf|field|charstyle)\b"
    r"|\\(?:b|i|ul|ulnone|cf|f|fs|super|nosupersub|plain|-)\d*\b|&shy;|&#(?:173|xad);|[\u00ad\u200b]"
    r"|\b(?:bold|italic|italics|underlined|ulined|struct|font|fmt|b|i|u|shy)\b",
    re.IGNORECASE,
)
_XML_SPACE = re.compile(r"[ \t\r\n]+")  # XML 1.0, production 3; a no-break space is text.
_BREAK, _UNKNOWN = "\0", "\1"  # Marks in place of codes; no XML holds these characters.
_NO_SPACES = re.compile(
    "[\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]"
)  # Thai to Tibetan, Kana, Han.


class SegmentText:
    """Gathers the text of a segment while a parser goes over it."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._code: list[str] | None = None  # What the outermost open code says of itself.
        self._code_name = ""
        self._depth = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Takes the start of an element inside the segment."""
        if name in CODES:
            self._depth += 1
            if self._depth == 1:
                self._code, self._code_name = list(attributes.values()), name
                if name == "cp":  # XLIFF 2.0: a character that XML cannot hold.
                    self._code = []
        elif name in _BREAKS and not self._depth:
            self._pieces.append(_BREAK)

    def end(self, name: str) -> None:
        """Takes the end of an element inside the segment."""
        if name in CODES:
            self._depth -= 1
            if not self._depth and self._code is not None:
                self._pieces.append(_stand_in(self._code_name, " ".join(self._code)))
                self._code = None
        elif name in _BREAKS and not self._depth:
            self._pieces.append(_BREAK)

    def text(self, text: str) -> None:
        """Takes text between tags."""
        if not self._depth:
            self._pieces.append(text)
        elif self._code is not None:
            self._code.append(text)

    def num_held(self) -> int:
        """Returns about how many bytes are gathered, the characters of which are most."""
        pieces = (self._pieces, self._code or ())
        return sum(len(piece) + OBJECT_BYTES for part in pieces for piece in part)

    def join(self) -> str:
        """Returns the text: a run of white space is one space, and what parts words becomes one."""
        joined, *rest = re.split("([\0\1])", "".join(self._pieces))
        for mark, piece in zip(rest[::2], rest[1::2], strict=True):
            joined += (" " if _are_parted(joined, mark, piece) else "") + piece
        return _XML_SPACE.sub(" ", joined).strip(" ")


def _stand_in(name: str, said: str) -> str:
    """Returns the mark of a break where a code parts words."""
    if _SAYS_BREAK.search(said):
        return _BREAK
    return _UNKNOWN if name in _STANDALONE and not _SAYS_INSIDE.search(said) else ""


def _are_parted(before: str, mark: str, after: str) -> bool:
    """Tells whether a space is to stand for a code: not before a comma, nor behind a bracket.

    Nor for an unknown one between letters of a script that has no spaces.
    """
    if not before or not after:
        return False
    if mark == _UNKNOWN and _NO_SPACES.match(before[-1]) and _NO_SPACES.match(after[0]):
        return False
    left, right = unicodedata.category(before[-1]), unicodedata.category(after[0])
    return left not in ("Ps", "Pi", "Zs", "Cc") and (right[0] in "LNS" or right in ("Ps", "Pi"))
