"""Pairs of translations sorted by language pair, on disk, in their order within each.

Takes: pairs of any languages, as a stream. Gives: two text files a language pair.
Source: docs/design.md, promises. Memory is a buffer a language pair.
"""

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from labse.corpus.records import SentencePair
from labse.files.atomic import read_json, write_json
from labse.files.text import read_lines

__all__ = ["SpooledPairs", "spool_pairs"]

_BUFFERED_CHARS = 1 << 20
_SUMMARY = "spool.json"


@dataclass(frozen=True, slots=True)
class SpooledPairs:
    """The pairs of one language pair.

    Attributes:
        folder: holds `source.txt` and `target.txt`, line i of one the translation of line i of the
            other.
        source_lang: canonical tag.
        target_lang: canonical tag.
        num_pairs: lines of each.
    """

    folder: Path
    source_lang: str
    target_lang: str
    num_pairs: int

    def lines(self, side: str) -> Iterator[str]:
        """Reads one side, `source` or `target`."""
        return read_lines(self.folder / f"{side}.txt")


def spool_pairs(pairs: Iterable[SentencePair], folder: Path) -> list[SpooledPairs]:
    """Sorts pairs into `folder` by language pair, first seen first; done once, it is not repeated.

    Raises:
        OSError: they cannot be written.
    """
    if not (folder / _SUMMARY).is_file():
        _write(pairs, folder)
    groups = read_json(folder / _SUMMARY)["groups"]
    assert isinstance(groups, list)
    return [
        SpooledPairs(folder / f"{number:05d}", source_lang, target_lang, num_pairs)
        for number, (source_lang, target_lang, num_pairs) in enumerate(groups)
    ]


def _write(pairs: Iterable[SentencePair], folder: Path) -> None:
    groups: dict[tuple[str, str], _Group] = {}
    for pair in pairs:
        langs = (pair.source_lang, pair.target_lang)
        if langs not in groups:
            groups[langs] = _Group(folder / f"{len(groups):05d}")
        groups[langs].add(pair)
    for group in groups.values():
        group.flush()
    rows = [[*langs, group.num_pairs] for langs, group in groups.items()]
    write_json(folder / _SUMMARY, {"groups": rows})


class _Group:
    """Appends to the two files of a language pair, a buffer at a time: no file stays open."""

    def __init__(self, folder: Path) -> None:
        self.num_pairs = 0
        self._folder = folder
        self._lines: tuple[list[str], list[str]] = ([], [])
        self._num_chars = 0
        folder.mkdir(parents=True, exist_ok=True)
        for side in ("source", "target"):  # In place of what a killed call left.
            (folder / f"{side}.txt").write_bytes(codecs.BOM_UTF8)

    def add(self, pair: SentencePair) -> None:
        for lines, text in zip(self._lines, (pair.source, pair.target), strict=True):
            lines.append(text + "\n")
            self._num_chars += len(text)
        self.num_pairs += 1
        if self._num_chars > _BUFFERED_CHARS:
            self.flush()

    def flush(self) -> None:
        for side, lines in zip(("source", "target"), self._lines, strict=True):
            with (self._folder / f"{side}.txt").open("ab") as stream:
                stream.write("".join(lines).encode())
            lines.clear()
        self._num_chars = 0
