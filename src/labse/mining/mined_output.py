"""How mined pairs are written: rows for people, tables for programs, TMX and Moses for tools.

Takes: row numbers and scores of pairs, and the sides they are of. Gives: a file or a stream.
Source: docs/mining.md; TMX 1.4b; Moses pairs are two files, line by line.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np

from labse.cleaning.pair_scores import FLAGS, flag_pair
from labse.corpus.file_formats import choose_layout
from labse.corpus.languages import canonical_tag
from labse.corpus.records import SentencePair
from labse.corpus.writers import check_outputs, open_output, write_moses, write_rows
from labse.errors import UsageError
from labse.files.atomic import check_writable
from labse.mining.bitext import MinedIndices
from labse.mining.pair_scores import pair_cosines
from labse.mining.quality import measure_quality, nearby_cosines
from labse.mining.sides import EmbeddedSides

__all__ = ["MinedOutput", "MinedTexts", "OutputFormat", "read_mined", "write_mined"]

OutputFormat = Literal["tsv", "jsonl", "parquet", "tmx", "moses"]
_CHUNK_ROWS = 4096
Row = tuple[str | int | float, ...]

# What would end a cell or a row of a table that has no quoting, or a line of text.
_SEPARATORS = str.maketrans("\t\r\n", "   ")
_LINE_ENDS = str.maketrans("\r\n", "  ")


@dataclass(frozen=True, slots=True)
class MinedOutput:
    """Where mined pairs go, and what stands in a row.

    Attributes:
        path: a file, or `-`, standard output; of moses what stands before `.LANG`.
        format: None takes that of the suffix, else tsv.
        langs: of source and target, written as columns; tmx and moses need them.
        with_ids: adds the line numbers, from 1, of both sides.
        with_flags: adds what is odd about a pair.
        with_quality: adds the quality score, see docs/quality.md.
        drop: leaves out pairs with one of these flags.

    Raises:
        UsageError: a suffix that names no format; a format that cannot go to standard output, or
            hold what is asked for, or that needs languages; an unknown flag.
    """

    path: str | Path = "-"
    format: OutputFormat | None = None
    langs: tuple[str | None, str | None] = (None, None)
    with_ids: bool = False
    with_flags: bool = False
    drop: frozenset[str] = frozenset()
    with_quality: bool = False

    def __post_init__(self) -> None:
        """Checks what can be told before the work."""
        if unknown := sorted(self.drop.difference(FLAGS)):
            raise UsageError(f"--drop {unknown[0]}: the flags are {', '.join(FLAGS)}")
        layout = self.layout
        if layout == "moses" and str(self.path) == "-":
            raise UsageError("--format moses needs --out FILE")
        if layout in ("tmx", "moses") and None in self.langs:
            raise UsageError(f"--format {layout} needs --source-lang and --target-lang")
        if len({lang is None for lang in self.langs}) > 1:
            raise UsageError("give both --source-lang and --target-lang, or neither")
        source, target = self.tags
        if layout == "moses" and (self.with_ids or self.with_flags or self.with_quality):
            raise UsageError(
                "--format moses holds the two texts only; leave out --ids, --flags and --quality"
            )
        if layout == "moses" and source == target:
            raise UsageError(
                "--format moses: both languages would go to one file; name two languages"
            )

    @property
    def layout(self) -> OutputFormat:
        """The format: by option, then suffix, then tsv."""
        if self.format == "moses":
            return "moses"
        return cast("OutputFormat", choose_layout(self.path, "found", self.format))

    @property
    def tags(self) -> tuple[str, str]:
        """Canonical tags of both languages; `und` where none is given."""
        source, target = (canonical_tag(lang) if lang else "und" for lang in self.langs)
        return source, target

    @property
    def files(self) -> list[str]:
        """What is written; empty for standard output."""
        if self.layout == "moses":
            return [f"{self.path}.{lang}" for lang in self.langs]
        return [] if str(self.path) == "-" else [str(self.path)]

    def check_writable(self, inputs: Iterable[str | Path]) -> None:
        """Tells before the work that its result could not be written.

        Args:
            inputs: files that the result may not replace.

        Raises:
            ResourceError, UsageError: see `check_outputs`.
        """
        if self.layout == "moses":
            for file in self.files:
                check_writable(file, inputs=inputs)
        else:
            check_outputs(self.path, inputs=inputs, kind="found", layout=self.layout)


@dataclass(frozen=True, slots=True)
class MinedTexts:
    """A mined pair; of vectors without text, what stands for a text is the number of its row.

    Attributes:
        source_line, target_line: from 1.
        rerank_score: from 0 to 1; None where nothing was reranked.
    """

    margin_score: float
    source: str
    target: str
    source_line: int
    target_line: int
    rerank_score: float | None = None


def read_mined(mined: MinedIndices, sides: EmbeddedSides, pairs: list[MinedTexts]) -> Counter[str]:
    """Adds the mined pairs to a list and counts them, and each flag."""
    counts: Counter[str] = Counter()
    rows = _iter_rows(mined, sides, MinedOutput(with_ids=True), counts)
    for score, source, target, source_line, target_line, *reranked in rows:
        lines = int(source_line), int(target_line)
        scores = (float(value) for value in reranked)
        pairs.append(MinedTexts(float(score), str(source), str(target), *lines, *scores))
    return counts


def write_mined(mined: MinedIndices, sides: EmbeddedSides, output: MinedOutput) -> Counter[str]:
    """Writes pairs as a stream and counts those written, dropped, altered, and each flag."""
    counts: Counter[str] = Counter()
    rows = _iter_rows(mined, sides, output, counts)
    if output.layout == "moses":
        source_file, target_file = output.files
        texts = ((str(text).translate(_LINE_ENDS) for text in row[1:3]) for row in rows)
        pairs = (SentencePair(source, target, *output.tags) for source, target in texts)
        write_moses(source_file, target_file, pairs)
        return counts

    columns = ["margin_score", "source", "target"]
    columns += ["source_line", "target_line"] if output.with_ids else []
    columns += ["flags"] if output.with_flags else []
    columns += ["quality"] if output.with_quality else []
    columns += [] if mined.rerank_scores is None else ["rerank_score"]
    langs = () if None in output.langs else output.tags
    columns += ["source_lang", "target_lang"] if langs else []
    rows_with_langs: Iterator[Row] = ((*row, *langs) for row in rows)
    if output.layout == "tsv":
        _write_plain(columns, rows_with_langs, output, counts)
        return counts
    written = write_rows(output.path, columns, rows_with_langs, layout=output.layout)
    counts["altered"] = written.num_altered
    return counts


def _iter_rows(
    mined: MinedIndices, sides: EmbeddedSides, output: MinedOutput, counts: Counter[str]
) -> Iterator[Row]:
    source, target = sides.source.lines, sides.target.lines
    source_lines = source.first_lines[mined.source] + 1
    target_lines = target.first_lines[mined.target] + 1
    texts = zip(source.read(mined.source.tolist()), target.read(mined.target.tolist()), strict=True)
    qualities = _iter_qualities(mined, sides) if output.with_quality else itertools.repeat(0.0)
    for number, ((source_text, target_text), quality) in enumerate(
        zip(texts, qualities, strict=output.with_quality)
    ):
        flags = flag_pair(source_text, target_text)
        counts.update(flags)
        if output.drop.intersection(flags):
            counts["dropped"] += 1
            continue
        counts["written"] += 1
        row: Row = (float(mined.scores[number]), source_text, target_text)
        if output.with_ids:
            row += (int(source_lines[number]), int(target_lines[number]))
        if output.with_flags:
            row += (",".join(flags),)
        if output.with_quality:
            row += (round(quality, 4),)
        if mined.rerank_scores is not None:
            row += (round(float(mined.rerank_scores[number]), 4),)
        yield row


def _iter_qualities(mined: MinedIndices, sides: EmbeddedSides) -> Iterator[float]:
    source, target = sides.source, sides.target
    for start in range(0, len(mined.scores), _CHUNK_ROWS):
        chunk = mined.take(np.arange(start, min(start + _CHUNK_ROWS, len(mined.scores))))
        cosines = pair_cosines(source.vectors, target.vectors, chunk.source, chunk.target)
        nearby = nearby_cosines((source.vectors, target.vectors), (chunk.source, chunk.target))
        texts = [
            [*side.lines.read(rows.tolist())]
            for side, rows in ((source, chunk.source), (target, chunk.target))
        ]
        yield from measure_quality(cosines, nearby, texts[0], texts[1]).tolist()


def _write_plain(
    columns: list[str], rows: Iterator[Row], output: MinedOutput, counts: Counter[str]
) -> None:
    """Writes a header and rows, the score with four decimals: for `cut`, `sort`, `head`."""
    with open_output(output.path) as stream:
        stream.write("\t".join(columns).encode() + b"\n")
        for score, *rest in rows:
            cells = [str(cell) for cell in rest]
            clean = [cell.translate(_SEPARATORS) for cell in cells]
            counts["altered"] += clean != cells
            stream.write("\t".join((f"{score:.4f}", *clean)).encode() + b"\n")
