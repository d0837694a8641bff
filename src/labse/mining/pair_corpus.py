"""Pairs that are aligned already, as `score` and `filter` read them.

Takes: two files of lines, or a table of pairs, or a folder of shards; or a block of their rows.
Gives: both sides to embed, and each pair with what else is known of it.
"""

import itertools
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labse.corpus.file_formats import is_pairs
from labse.corpus.languages import canonical_tag
from labse.corpus.shards import expand_folders, has_shards
from labse.corpus.tables import ColumnNames, explain_quotes, open_table, quote_names
from labse.encoder.job.inputs import LineBlock
from labse.errors import LabseError, UsageError
from labse.mining.sides import Side, check_equal_sizes, open_sides

__all__ = ["MINED_SCORE", "PairCorpus", "open_pair_corpus"]

MINED_SCORE = "margin_score"
"""The column in which `labse mine` and `labse score` write the score of a pair."""

_LOGGER = logging.getLogger(__name__)
_SCORES = (MINED_SCORE, "score", "cosine", "quality")
_LANGS = ("source_lang", "target_lang")


@dataclass(frozen=True, slots=True)
class PairCorpus:
    """The pairs, and what else is known of each.

    Attributes:
        sides: their texts, and vectors where they are given.
        columns: `source`, `target`, then what goes on from a table.
        langs: of all pairs, where they are given; they are columns too.
        names: where a table of others has its columns.
        rows: the first that is read and the one after the last, from 0; None: all.
    """

    sides: tuple[Side, Side]
    columns: tuple[str, ...]
    langs: tuple[str, ...] = ()
    names: ColumnNames | None = None
    rows: tuple[int, int] | None = None

    @property
    def has_langs(self) -> bool:
        """Tells whether each pair has its languages."""
        return {*_LANGS} <= {*self.columns}

    @property
    def has_text(self) -> bool:
        """False where both sides are vectors alone."""
        return all(side.has_text for side in self.sides)

    def read(self) -> Iterator[tuple[str, ...]]:
        """Yields the values of each pair in the order of `columns`.

        Raises:
            LabseError: unequal numbers of lines, or a score that is not a finite number.
        """
        carried = self.columns[2 : len(self.columns) - len(self.langs)]
        extra: Iterator[tuple[str, ...]] = itertools.repeat(())
        if carried:
            extra = self._read_columns(carried)
        texts = itertools.zip_longest(self.sides[0].texts, self.sides[1].texts)
        for number, ((source, target), values) in enumerate(zip(texts, extra, strict=False)):
            if source is None or target is None:  # The error counts the rest first.
                longer = number + 1 + sum(1 for _ in texts)
                check_equal_sizes(*((longer, number) if target is None else (number, longer)))
            for name, value in zip(carried, values, strict=False):
                if name in _SCORES and not _is_number(value):
                    raise LabseError(
                        f"{self.sides[0].path}, pair {number + 1}: {name} is {value[:40]!r}; "
                        "expected a finite number"
                    )
            yield (source, target, *values, *self.langs)

    def typed(self, row: Sequence[str]) -> list[str | float]:
        """Returns the row with its scores as numbers."""
        pairs = zip(self.columns, row, strict=True)
        return [float(value) if name in _SCORES else value for name, value in pairs]

    def _read_columns(self, columns: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        rows = (
            values
            for file in expand_folders([self.sides[0].path])
            for _, values in open_table(file, self.names).read_rows(
                columns, numbers=[name for name in columns if name in _SCORES]
            )
        )
        return itertools.islice(rows, *(self.rows or (0, None)))


def open_pair_corpus(
    source: str | Path,
    target: str | Path | None,
    *,
    vectors: tuple[str | Path | None, str | Path | None] = (None, None),
    column: str | None = None,
    langs: tuple[str | None, str | None] = (None, None),
    columns: ColumnNames | None = None,
    shard: LineBlock | None = None,
) -> PairCorpus:
    """Opens two aligned files, or a table of pairs, without reading their rows.

    Args:
        source: lines of text, a table, or vectors; without `target` a table of pairs.
        target: the translations, line by line.
        vectors: of the lines of each side, where they are there already.
        column: of two tables, the column of texts.
        langs: of all pairs, where no column tells.
        columns: where a table of others has source, target, their languages and margin_score.
        shard: the block of rows to read; None: all.

    Raises:
        LabseError, UsageError: it cannot be read, or options that do not go together.
    """
    if len({lang is None for lang in langs}) > 1:
        raise UsageError("give both --source-lang and --target-lang, or neither")
    tags = tuple(canonical_tag(lang) for lang in langs if lang is not None)
    if "-" in (str(source), str(target)):
        raise UsageError("the text is read twice, so it cannot be standard input (-)")
    if target is None and Path(source).is_dir():
        expand_folders([source])  # Says which files of a folder are read.
    if target is None and not (is_pairs(source) or has_shards(source)):
        raise UsageError(f"{source}: give TARGET too, or a table with columns source and target")
    if target is None and column is not None:
        raise UsageError(f"--column {column}: is for two tables; of one table take --columns")
    if target is not None and columns:
        raise UsageError("--columns is for one table of pairs; of two tables take --column")
    names = (column, column) if target is not None else ("source", "target")
    paths = source, source if target is None else target
    options: dict[str, Any] = {"vectors": vectors, "columns": names, "names": columns}
    sides, rows = open_sides(*paths, **options), None
    if shard is not None:
        rows = _find_block(sides, shard)
        sides = open_sides(*paths, **options, rows=rows)
    known = ["source", "target"]
    if target is None:
        found = open_table(expand_folders([source])[0], columns).names
        if found and not columns and not {"source", "target"} & set(found):
            raise LabseError(
                f"{source}: no columns source and target; its columns are {quote_names(found)}"
                f"{explain_quotes(found)}; --columns source=NAME,target=NAME says which they are"
            )
        known += [name for name in (*_SCORES, *_LANGS) if name in found]
        if tags and len(known) > 2 and known[-1].endswith("_lang"):
            raise UsageError(f"{source} has a column {known[-1]}; leave out the option")
        if left_out := [name for name in found if name not in known]:
            _LOGGER.info(f"{source}: columns left out: {quote_names(left_out)}")
    known += _LANGS if tags else ()
    return PairCorpus(sides, tuple(known), tags, columns, rows)


def _find_block(sides: tuple[Side, Side], shard: LineBlock) -> tuple[int, int]:
    """Returns the first row of a block and the one after its last, of two sides of one length."""
    if any(side.vectors is not None for side in sides):
        raise UsageError(f"--shard {shard}: is for text without vectors; leave the vectors out")
    sizes = [sum(1 for _ in side.texts) for side in sides]
    check_equal_sizes(*sizes)
    return shard.bounds(sizes[0])


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False
