"""XLIFF 1.2 and 2.0 in: the units of a translation and their segments.

Takes: a `.xlf` or `.xliff` file, also `.bz2`, `.gz` and `.zst`.
Gives: a row for each segment, in the order of the file and in constant memory.
Source: https://docs.oasis-open.org/xliff/v1.2/os/xliff-core.html and
    https://docs.oasis-open.org/xliff/xliff-core/v2.0/xliff-core-v2.0.html.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labse.corpus.inline_codes import SegmentText
from labse.corpus.xml_stream import iter_xml
from labse.errors import LabseError

__all__ = ["Unit", "read_xliff"]

# Suggestions and history, whose sources and targets are not the unit's.
_ASIDE = frozenset({"alt-trans", "matches", "notes", "note", "glossary", "changeTrack", "bin-unit"})
_UNITS = frozenset({"trans-unit", "segment", "ignorable"})


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of 1.2 or a segment of 2.0; the target is empty where there is none.

    Attributes:
        source: one line of text.
        target: one line of text.
        source_lang: as the file writes it, empty if it does not.
        target_lang: likewise.
    """

    source: str
    target: str
    source_lang: str
    target_lang: str


def read_xliff(path: str | Path) -> Iterator[Unit]:
    """Yields the units; codes of markup are left out as `inline_codes` says.

    Raises:
        LabseError: not well-formed XML, not XLIFF, or it declares an entity; with the line.
    """
    units = _Units()
    yield from iter_xml(path, units)
    if units.root != "xliff":
        raise LabseError(f"{path}: not XLIFF: its outermost element is {units.root!r}, not 'xliff'")


class _Units:
    """Gathers units while the parser goes over their elements."""

    def __init__(self) -> None:
        self.finished: list[Unit] = []
        self.root: str | None = None
        self._langs = ["", ""]
        self._sides: dict[str, str] | None = None  # Of the unit that is open.
        self._aside = 0  # Open elements that are not the unit's own text.
        self._side = ""
        self._segment: SegmentText | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        self.root = self.root or name
        if self._segment:
            self._segment.start(name, attributes)
        elif name in _ASIDE:
            self._aside += 1
        elif self._aside:
            return
        elif name == "xliff":
            self._langs = [attributes.get("srcLang", ""), attributes.get("trgLang", "")]
        elif name == "file":  # 1.2 names the languages here, 2.0 above.
            keys = ("source-language", "target-language")
            self._langs = [
                attributes.get(key, lang) for key, lang in zip(keys, self._langs, strict=True)
            ]
        elif name in _UNITS:
            self._sides = {}
        elif name in ("source", "target") and self._sides is not None:
            self._side, self._segment = name, SegmentText()

    def end(self, name: str) -> None:
        name = name.rpartition(":")[2]
        if self._segment and name == self._side:
            assert self._sides is not None
            self._sides[name] = self._segment.join()
            self._segment = None
        elif self._segment:
            self._segment.end(name)
        elif name in _ASIDE:
            self._aside -= 1
        elif name in _UNITS and self._sides is not None and not self._aside:
            source = self._sides.get("source", "")
            if name != "ignorable" or source:  # Mostly the white space between two segments.
                self.finished.append(Unit(source, self._sides.get("target", ""), *self._langs))
            self._sides = None

    def text(self, text: str) -> None:
        if self._segment:
            self._segment.text(text)

    def num_held(self) -> int:
        return self._segment.num_held() if self._segment else 0
