"""Alignments as files: Hunalign ladders, TSV, TMX and JSONL out; ladders and lists of lines in.

Takes: beads and the lines of both documents, or a file. Gives: bytes, or the linked lines.
Source: Varga et al. 2005 (Hunalign), ladder; Thompson & Koehn 2019, `[0, 1]:[2]`; TMX 1.4b.
"""

import io
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from labse.alignment.align import Bead
from labse.corpus.tmx_writer import write_tmx_rows
from labse.corpus.writers import write_parquet_rows
from labse.errors import LabseError
from labse.files.text import read_lines

__all__ = [
    "BeadFormat",
    "FormattedBeads",
    "LinkedLines",
    "format_beads",
    "link_lines",
    "read_links",
]

BeadFormat: TypeAlias = Literal["ladder", "tsv", "tmx", "jsonl", "parquet"]

_SEPARATORS = str.maketrans("\t\r", "  ")
_LISTS = re.compile(r"\s*\[([\d,\s]*)\]\s*:\s*\[([\d,\s]*)\]")


@dataclass(frozen=True, slots=True)
class LinkedLines:
    """The lines, from 0, of one bead; one side may be empty."""

    source: tuple[int, ...]
    target: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FormattedBeads:
    """A file in the making.

    Attributes:
        num_left_out: beads with an empty side, which TMX cannot hold.
        num_changed: texts with a tab or a carriage return, in TSV a space, or with a character
            that XML forbids, in TMX U+FFFD.
    """

    payload: bytes
    num_left_out: int = 0
    num_changed: int = 0


def format_beads(
    beads: Sequence[Bead],
    source_lines: Sequence[str],
    target_lines: Sequence[str],
    bead_format: BeadFormat,
    *,
    ids: bool = False,
    langs: tuple[str, str] = ("", ""),
) -> FormattedBeads:
    """Returns an alignment as a file.

    ladder: the lines, from 0, at which a bead begins, and its score; the last rung is the end.
    tsv: a header, then score, source, target; with `ids` also the numbers of their lines, from 1;
    with `langs` these. parquet: the same columns. jsonl: the same with names. tmx: a unit for each
    bead with both sides. Lines of a bead are joined by a space.

    Args:
        ids: adds line numbers to TSV and Parquet.
        langs: the languages of both documents, which TMX needs; empty ones are not written.

    Raises:
        ValueError: an unknown format. UsageError: an unknown language.
    """
    if bead_format not in get_args(BeadFormat):
        raise ValueError(f"bead_format must be one of {get_args(BeadFormat)}, not {bead_format!r}")
    if bead_format == "ladder":
        return _format_ladder(beads, len(source_lines), len(target_lines))
    texts = [
        (
            _join(source_lines[bead.source_start : bead.source_stop]),
            _join(target_lines[bead.target_start : bead.target_stop]),
        )
        for bead in beads
    ]
    if bead_format in ("tsv", "parquet"):
        names = ["score", "source", "target", *(["source_lines", "target_lines"] if ids else [])]
        names += ["source_lang", "target_lang"] if all(langs) else []
        rows = [_row(bead, sides, ids, langs) for bead, sides in zip(beads, texts, strict=True)]
        return _format_tsv(names, rows) if bead_format == "tsv" else _format_parquet(names, rows)
    if bead_format == "tmx":
        return _format_tmx(beads, texts, langs)
    return _format_jsonl(beads, texts, langs)


def _join(lines: Sequence[str]) -> str:
    return " ".join(line for line in map(str.strip, lines) if line)


def _format_ladder(beads: Sequence[Bead], num_source: int, num_target: int) -> FormattedBeads:
    rungs = [f"{bead.source_start}\t{bead.target_start}\t{bead.score:.4f}\n" for bead in beads]
    return FormattedBeads("".join([*rungs, f"{num_source}\t{num_target}\t0.0000\n"]).encode())


def _row(
    bead: Bead, sides: tuple[str, str], ids: bool, langs: tuple[str, str]
) -> tuple[str | float, ...]:
    numbers: tuple[str, ...] = ()
    if ids:
        source = _name_lines(bead.source_start, bead.source_stop)
        numbers = source, _name_lines(bead.target_start, bead.target_stop)
    return (float(bead.score), *sides, *numbers, *(langs if all(langs) else ()))


def _format_tsv(names: Sequence[str], rows: Sequence[Sequence[str | float]]) -> FormattedBeads:
    lines = ["\t".join(names) + "\n"]
    for score, *cells in rows:
        lines.append("\t".join([f"{score:.4f}", *(str(c).translate(_SEPARATORS) for c in cells)]))
        lines.append("\n")
    num_changed = sum(mark in str(side) for row in rows for side in row[1:3] for mark in "\t\r")
    return FormattedBeads("".join(lines).encode(), num_changed=num_changed)


def _format_parquet(names: Sequence[str], rows: Sequence[Sequence[str | float]]) -> FormattedBeads:
    stream = io.BytesIO()
    write_parquet_rows(stream, names, iter(rows))
    return FormattedBeads(stream.getvalue())


def _name_lines(start: int, stop: int) -> str:
    return ",".join(str(line + 1) for line in range(start, stop))


def _format_jsonl(
    beads: Sequence[Bead], texts: Sequence[tuple[str, str]], langs: tuple[str, str]
) -> FormattedBeads:
    tags = dict(zip(("source_lang", "target_lang"), langs, strict=True)) if all(langs) else {}
    rows = [
        {
            "score": bead.score,
            "source": source,
            "target": target,
            "source_lines": list(range(bead.source_start + 1, bead.source_stop + 1)),
            "target_lines": list(range(bead.target_start + 1, bead.target_stop + 1)),
            **tags,
        }
        for bead, (source, target) in zip(beads, texts, strict=True)
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return FormattedBeads(lines.encode())


def _format_tmx(
    beads: Sequence[Bead], texts: Sequence[tuple[str, str]], langs: tuple[str, str]
) -> FormattedBeads:
    rows = [
        (f"{bead.score:.4f}", source, target, *langs)
        for bead, (source, target) in zip(beads, texts, strict=True)
        if source and target
    ]
    stream = io.BytesIO()
    columns = ("score", "source", "target", "source_lang", "target_lang")
    _, num_changed = write_tmx_rows(stream, columns, rows)
    return FormattedBeads(stream.getvalue(), len(beads) - len(rows), num_changed)


# ---- in --------------------------------------------------------------------------------------


def link_lines(bead: Bead) -> LinkedLines:
    """Returns the lines of a bead."""
    return LinkedLines(
        tuple(range(bead.source_start, bead.source_stop)),
        tuple(range(bead.target_start, bead.target_stop)),
    )


def read_links(
    path: str | Path, *, num_source: int | None = None, num_target: int | None = None
) -> list[LinkedLines]:
    """Reads an alignment: a ladder, or lines of lists such as `[0, 1]:[2]` (vecalign).

    Args:
        path: the file; its first line tells which of both it is.
        num_source: lines of the source document; None does not check them.
        num_target: lines of the target document.

    Raises:
        LabseError: a line that is neither, a ladder that goes back, or a line that the documents
            do not have; with file and line.
    """
    lines = [(n, line) for n, line in enumerate(read_lines(path), start=1) if line.strip()]
    if not lines:
        raise LabseError(f"{path}: empty; a gold alignment has at least one bead")
    read = _read_lists if lines[0][1].lstrip().startswith("[") else _read_ladder
    links = read(path, lines)
    for side, limit in (("source", num_source), ("target", num_target)):
        numbers = [number for link in links for number in getattr(link, side)]
        if limit is not None and numbers and max(numbers) >= limit:
            raise LabseError(
                f"{path}: names {side} line {max(numbers)} (from 0), but the {side} has "
                f"{limit} lines; is it the alignment of other files?"
            )
    return links


def _read_ladder(path: str | Path, lines: Sequence[tuple[int, str]]) -> list[LinkedLines]:
    rungs: list[tuple[int, int]] = []
    for number, line in lines:
        cells = line.split()
        if len(cells) < 2 or not (cells[0].isdecimal() and cells[1].isdecimal()):
            raise LabseError(
                f"{path}, line {number}: expected a rung (source line, target line, score) or "
                f"lists such as [0, 1]:[2], found {line[:40]!r}"
            )
        rung = int(cells[0]), int(cells[1])
        if rungs and (rung[0] < rungs[-1][0] or rung[1] < rungs[-1][1]):
            raise LabseError(f"{path}, line {number}: the ladder goes back, from {rungs[-1]}")
        rungs.append(rung)
    return [
        LinkedLines(tuple(range(start[0], stop[0])), tuple(range(start[1], stop[1])))
        for start, stop in itertools.pairwise(rungs)
        if start != stop
    ]


def _read_lists(path: str | Path, lines: Sequence[tuple[int, str]]) -> list[LinkedLines]:
    links = []
    for number, line in lines:
        if not (found := _LISTS.match(line)):
            raise LabseError(f"{path}, line {number}: expected [0, 1]:[2], found {line[:40]!r}")
        links.append(LinkedLines(_parse_list(found[1]), _parse_list(found[2])))
    return [link for link in links if link.source or link.target]


def _parse_list(cell: str) -> tuple[int, ...]:
    return tuple(int(number) for number in cell.replace(",", " ").split())
