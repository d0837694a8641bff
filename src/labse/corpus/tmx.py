"""TMX 1.4b in: the pairs of a translation memory.

Takes: a `.tmx` file, also `.bz2`, `.gz` and `.zst`. Gives: a stream of pairs in constant memory.
Source: https://www.gala-global.org/tmx-14b; codes of markup are left out as `inline_codes` says,
    highlighted text (`hi`) stays.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from labse.corpus.inline_codes import OBJECT_BYTES, SegmentText
from labse.corpus.languages import canonical_tag, name_unknown
from labse.corpus.records import SentencePair
from labse.corpus.xml_stream import iter_xml
from labse.errors import LabseError, UsageError

__all__ = ["read_tmx"]

_LOGGER = logging.getLogger(__name__)
_ANY_LANG = "*all*"


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
        drops: counts by reason the variants that are not taken, though the language was not asked
            away, and the units without a source or a target.

    Raises:
        LabseError: not well-formed XML, not TMX, or it declares an entity; with the line.
        UsageError: unknown language.
    """
    units = _Units()
    source_tag = source_lang and canonical_tag(source_lang)
    target_tag = target_lang and canonical_tag(target_lang)
    num_units = num_pairs = 0
    for unit in iter_xml(path, units):
        num_units += 1
        for pair in _iter_pairs(unit, source_tag, target_tag, drops):
            yield pair
            num_pairs += 1
    if num_units and not num_pairs:
        reasons = ", ".join(reason for reason, _ in drops.most_common(3))
        is_other = source_lang is None and "srclang" in reasons
        hint = "; --source-lang says which language to take" if is_other else ""
        unit_count = f"{num_units:,} unit{'' if num_units == 1 else 's'}"
        _LOGGER.warning(f"{path}: no pair in {unit_count} ({reasons}){hint}")
    if not units.is_tmx:
        raise LabseError(f"{path}: not TMX: its outermost element is {units.root!r}, not 'tmx'")


@dataclass(slots=True)
class _Unit:
    srclang: str
    is_own_srclang: bool  # The unit names it, not the header.
    variants: list[tuple[str, str]] = field(default_factory=list)  # Code of the language, text.
    num_without_seg: int = 0


class _Units:
    """Gathers translation units while the parser goes over their elements."""

    def __init__(self) -> None:
        self.finished: list[_Unit] = []
        self.root: str | None = None
        self._header_srclang = _ANY_LANG
        self._unit: _Unit | None = None
        self._lang = ""
        self._has_seg = False
        self._segment: SegmentText | None = None

    @property
    def is_tmx(self) -> bool:
        return self.root == "tmx"

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.root = self.root or name
        if self._segment:
            self._segment.start(name, attributes)
        elif name == "header":
            self._header_srclang = attributes.get("srclang", _ANY_LANG)
        elif name == "tu":
            own = attributes.get("srclang")
            self._unit = _Unit(own or self._header_srclang, own is not None)
        elif name == "tuv":  # TMX 1.1 and many tools write `lang`.
            self._lang = attributes.get("xml:lang", attributes.get("lang", ""))
            self._has_seg = False
        elif name == "seg" and self._unit:
            self._segment, self._has_seg = SegmentText(), True

    def end(self, name: str) -> None:
        if name == "seg" and self._unit and self._segment:
            self._unit.variants.append((self._lang, self._segment.join()))
            self._segment = None
        elif self._segment:
            self._segment.end(name)
        elif name == "tuv" and self._unit:
            self._unit.num_without_seg += not self._has_seg
        elif name == "tu" and self._unit:
            self.finished.append(self._unit)
            self._unit = None

    def text(self, text: str) -> None:
        if self._segment:
            self._segment.text(text)

    def num_held(self) -> int:
        variants = self._unit.variants if self._unit else []
        num_open = self._segment.num_held() if self._segment else 0
        return num_open + sum(len(text) + OBJECT_BYTES for _, text in variants)


def _iter_pairs(
    unit: _Unit, source_tag: str | None, target_tag: str | None, drops: Counter[str]
) -> Iterator[SentencePair]:
    # Leave out the variants that cannot be read.
    variants: list[tuple[str, str]] = []
    for code, text in unit.variants:
        if tag := _find_tag(code):
            variants.append((tag, text))
        else:
            drops[name_unknown(code)] += 1
    if unit.num_without_seg:
        drops["no seg in the variant"] += unit.num_without_seg

    # Find the source.
    is_any = unit.srclang.casefold() == _ANY_LANG
    wanted = source_tag or (None if is_any else _find_tag(unit.srclang))
    place = 0
    if wanted:
        place = next((n for n, (tag, _) in enumerate(variants) if tag == wanted), -1)
    if place < 0 and variants:
        whose = "the unit" if unit.is_own_srclang else "the header"
        drops[
            f"no variant in {source_tag}"
            if source_tag
            else f"no variant in {unit.srclang[:40]}, the srclang of {whose}"
        ] += 1
        return
    if not variants:
        if not (unit.variants or unit.num_without_seg):
            drops["no variant in the unit"] += 1
        return

    # Pair it with the others.
    lang, source = variants.pop(place)
    num_pairs = 0
    for tag, text in variants:
        if tag == lang:
            drops["another variant in the source's language"] += 1
        elif target_tag in (None, tag):
            num_pairs += 1
            yield SentencePair(source, text, lang, tag)
        else:
            drops[f"another target than {target_tag}"] += 1
    if not num_pairs:
        drops["no target"] += 1


def _find_tag(code: str) -> str | None:
    try:
        return canonical_tag(code)
    except UsageError:
        return None
