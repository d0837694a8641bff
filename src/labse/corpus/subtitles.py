"""Subtitles in: the text of the cues of SubRip (.srt) and WebVTT (.vtt).

Takes: a file, also `.bz2`, `.gz` and `.zst`. Gives: the text of each cue on one line, in order.
Source: https://www.w3.org/TR/webvtt1/ (section 6); SubRip's format has no standard: blocks of a
    number, a line with `-->` and lines of text, parted by blank lines.
"""

import html
import re
from collections.abc import Iterator
from pathlib import Path

from labse.errors import LabseError
from labse.files.text import format_suffix, max_line_bytes, read_lines

__all__ = ["read_cues"]

_CLOCK = r"(?:\d+:)?\d{1,2}:\d{2}[.,:]\d{1,3}"
_TIMES = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?")
# Tags of both formats, among them `<v Speaker>`, `<c.loud>`, `<00:01.000>`, and codes of SSA.
_TAGS = re.compile(r"</?[A-Za-z][^<>]*>|<\d[\d:.]*>|\{\\[^{}]*\}|\{[YyCcFfSsPp]:[^{}]*\}")
_RUBY = re.compile(
    r"<rt\b[^<>]*>.*?(?:</rt>|(?=</ruby>))", re.DOTALL
)  # How to read what stands before.
_BREAKS = re.compile(r"<br\s*/?>|\\[Nnh]", re.IGNORECASE)
_MARKS = re.compile(
    "[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)  # Of direction, put in by editors.
_SPACE = re.compile(r"[ \t\u00a0]+")


def read_cues(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yields the text of each cue with its number, from 1; its lines are joined with a space.

    A cue without text has an empty one.

    Raises:
        LabseError: not such a file, or as `read_lines`.
    """
    is_vtt = format_suffix(path) == ".vtt"
    number = 0
    lines: list[str] | None = None  # Of the cue that is open.
    num_held, most = 0, max_line_bytes()
    has_text = False
    for line in read_lines(path):
        has_text = has_text or (bool(line.strip()) and not line.startswith("WEBVTT"))
        if _TIMES.fullmatch(line):
            if lines is not None:
                number += 1
                yield number, _to_text(_without_number(lines))
            lines, num_held = [], 0
        elif is_vtt and lines is not None and not line.strip():  # Notes and identifiers follow.
            number += 1
            yield number, _to_text(lines)
            lines = None
        elif lines is not None:
            lines.append(line)
            num_held += len(line) + 1
            if num_held > most:
                raise LabseError(
                    f"{path}, cue {number + 1}: more than {most >> 20} Mi characters; mend the "
                    "file, or raise the bound with labse --max-line"
                )
    if lines is not None:
        number += 1
        yield number, _to_text(lines)
    if has_text and not number:
        raise LabseError(f"{path}: no cue in it: no line such as 00:00:01,000 --> 00:00:02,500")


def _without_number(lines: list[str]) -> list[str]:
    """Drops the number of the next cue, which stands at the end."""
    return lines[:-1] if lines and lines[-1].strip().isdecimal() else lines


def _to_text(lines: list[str]) -> str:
    text = _BREAKS.sub("\n", "\n".join(lines))
    text = _TAGS.sub("", _RUBY.sub("", text))
    text = _MARKS.sub("", html.unescape(text)).replace("\r", " ").replace("\n", " ")
    return _SPACE.sub(" ", text).strip()
