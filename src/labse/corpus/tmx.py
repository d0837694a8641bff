"""TMX 1.4b in: the pairs of a translation memory.

Takes: a `.tmx` file, also `.bz2`, `.gz` and `.zst`. Gives: a stream of pairs in constant memory.
Source: https://www.gala-global.org/tmx-14b; codes of markup (`bpt`, `ept`, `it`, `ph`, `ut`) are
    left out, highlighted text (`hi`) stays.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from labse.corpus.languages import canonical_tag
from labse.corpus.records import SentencePair
from labse.corpus.xml_stream import iter_xml
from labse.errors import LabseError, UsageError

__all__ = ["read_tmx"]

_CODES = frozenset({"bpt", "ept", "it", "ph", "ut", "sub"})
_ANY_LANG = "*all*"
_XML_SPACE = re.compile(r"[ \t\r\n]+")  # XML 1.0, production 3; a no-break space is text.


def read_tmx(
    path: str | Path,
    *,
    source_lang: str | None = None,
    target_lang: str | None = None,
    drops: Counter[str],
) -> Iterator[SentencePair]:
    """Yields the source of each unit with each of its other variants, in the order of the file.

    A run of spaces, tabs and line ends inside a segment becomes one space.

    Args:
        path: the file.
        source_lang: the language of the source; None: the unit's `srclang`, else that of the
            header, else its first variant.
        target_lang: the only target to take; None: all.
        drops: counts units that give no pair, by reason.

    Raises:
        LabseError: not well-formed XML, not TMX, or it declares an entity; with the line.
        UsageError: unknown language.
    """
    units = _Units()
    source_tag = source_lang and canonical_tag(source_lang)
    target_tag = target_lang and canonical_tag(target_lang)
    for unit in iter_xml(path, units.finished, start=units.start, end=units.end, text=units.text):
        yield from _iter_pairs(unit, source_tag, target_tag, drops)
    if not units.is_tmx:
        raise LabseError(f"{path}: not TMX: its outermost element is {units.root!r}, not 'tmx'")


@dataclass(slots=True)
class _Unit:
    srclang: str
    variants: list[tuple[str, str]] = field(default_factory=list)  # Code of the language, text.


class _Units:
    """Gathers translation units while the parser goes over their elements."""

    def __init__(self) -> None:
        self.finished: list[_Unit] = []
        self.root: str | None = None
        self._header_srclang = _ANY_LANG
        self._unit: _Unit | None = None
        self._lang = ""
        self._pieces: list[str] | None = None  # Of the segment that is open.
        self._num_codes = 0  # Open elements whose content is markup.

    @property
    def is_tmx(self) -> bool:
        return self.root == "tmx"

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.root = self.root or name
        if name == "header":
            self._header_srclang = attributes.get("srclang", _ANY_LANG)
        elif name == "tu":
            self._unit = _Unit(attributes.get("srclang", self._header_srclang))
        elif name == "tuv":  # TMX 1.1 and many tools write `lang`.
            self._lang = attributes.get("xml:lang", attributes.get("lang", ""))
        elif name == "seg" and self._unit:
            self._pieces = []
        elif name in _CODES:
            self._num_codes += 1

    def end(self, name: str) -> None:
        if name == "tu" and self._unit:
            self.finished.append(self._unit)
            self._unit = None
        elif name == "seg" and self._unit and self._pieces is not None:
            self._unit.variants.append((self._lang, _one_line("".join(self._pieces))))
            self._pieces = None
        elif name in _CODES:
            self._num_codes -= 1

    def text(self, text: str) -> None:
        if self._pieces is not None and not self._num_codes:
            self._pieces.append(text)


def _iter_pairs(
    unit: _Unit, source_tag: str | None, target_tag: str | None, drops: Counter[str]
) -> Iterator[SentencePair]:
    tagged = [(_find_tag(code), text) for code, text in unit.variants]
    variants = [(tag, text) for tag, text in tagged if tag]
    wanted = source_tag or (_find_tag(unit.srclang) if unit.srclang != _ANY_LANG else None)
    place = 0
    if wanted:
        place = next((n for n, (tag, _) in enumerate(variants) if tag == wanted), -1)
    if place < 0 or not variants:
        drops["no source"] += 1
        return
    lang, source = variants.pop(place)
    targets = [(tag, text) for tag, text in variants if tag != lang and target_tag in (None, tag)]
    if not targets:
        drops["language not known" if len(variants) + 1 < len(tagged) else "no target"] += 1
    for tag, text in targets:
        yield SentencePair(source, text, lang, tag)


def _one_line(text: str) -> str:
    return _XML_SPACE.sub(" ", text).strip(" ")


def _find_tag(code: str) -> str | None:
    try:
        return canonical_tag(code)
    except UsageError:
        return None
