"""Pairs that were mined, and what people said of them.

Takes: what `labse mine`, `labse rate` or others wrote. Gives: rows; ratings with their weights.
Source: what several say of one pair is a share; Horvitz and Thompson 1952, weights of a sample
that is not even.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.corpus.tables import ColumnNames, open_table
from labse.errors import LabseError
from labse.files.text import format_suffix, read_lines
from labse.rating.agreement import krippendorff_alpha
from labse.rating.labels import SCHEMES, SKIP, choose_good

__all__ = [
    "MinedRow",
    "Ratings",
    "read_gold_pairs",
    "read_mined",
    "read_rated_rows",
    "read_ratings",
]


@dataclass(frozen=True, slots=True)
class MinedRow:
    """A pair and its score.

    Attributes:
        line: its number in the file, from 1.
        score: by which a bound is sought.
        lang_pair: such as `de-en`; empty where the file does not tell.
        stratum: of scores that it was drawn from, where strata are drawn at several rates.
        stratum_pairs: pairs of this stratum in the file; 0 where all pairs have the same chance.
    """

    line: int
    score: float
    source: str
    target: str
    lang_pair: str = ""
    stratum: int = 0
    stratum_pairs: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """Rated pairs.

    Attributes:
        scores: (N,).
        is_good: (N,) whether a person called each GOOD; of several, the share that did.
        num_skipped: pairs that were shown and not judged.
        weights: (N,) how many pairs of the file each stands for; None: as many as any other.
        lang_pairs: N of them; empty where none is told.
        num_raters: files of ratings.
        alpha: Krippendorff's alpha of the labels; None of one rater.
        alpha_good: the same of good or not.
    """

    scores: NDArray[np.float64]
    is_good: NDArray[np.bool_] | NDArray[np.float64]
    num_skipped: int = 0
    weights: NDArray[np.float64] | None = None
    lang_pairs: tuple[str, ...] = ()
    num_raters: int = 1
    alpha: float | None = None
    alpha_good: float | None = None

    def describe_raters(self) -> dict[str, object]:
        """Returns a JSON object of the raters and how far they agree."""
        return {
            "num_raters": self.num_raters,
            "alpha": self.alpha,
            "alpha_good": self.alpha_good,
        }

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Ratings":
        """Returns some of the rows."""
        kept = np.arange(len(self.scores))[rows]
        return replace(
            self,
            scores=self.scores[kept],
            is_good=self.is_good[kept],
            weights=None if self.weights is None else self.weights[kept],
            lang_pairs=tuple(self.lang_pairs[row] for row in kept) if self.lang_pairs else (),
        )


# ---- tables, whose header may be missing -----------------------------------------------------


def read_mined(
    path: str | Path, score: str = "score", *, columns: ColumnNames | None = None
) -> Iterator[MinedRow]:
    """Yields the rows of a table with the columns margin_score (or score), source and target.

    A TSV without these names in its first line has the three in this order, as labse wrote it until
    0.1. Of further columns source_lang and target_lang are read where they are named.

    Args:
        path: of the table.
        score: another column by which a bound is sought, such as `quality`.
        columns: where a table of others has them.

    Raises:
        LabseError: a column is missing, or a score is not a finite number; with file and line.
    """
    expected = "score, source and target with tabs between, as labse mine prints them"
    names, langs = (score, "source", "target"), ("source_lang", "target_lang")
    needs_header = score != "score"
    rows = _read_columns(path, names, expected, langs, needs_header=needs_header, theirs=columns)
    for number, cells in rows:
        row = MinedRow(number, _parse_score(cells[0], path, number), cells[1], cells[2])
        yield replace(row, lang_pair="-".join(cells[3:])) if all(cells[3:]) else row


def read_gold_pairs(path: str | Path) -> set[tuple[str, str]]:
    """Returns the distinct pairs of a table of source and target; further columns are ignored.

    A TSV may have a header; without it these are its first columns.

    Raises:
        LabseError: a column is missing, with file and line, or there is no row.
    """
    rows = _read_columns(path, ("source", "target"), "source and target with a tab between")
    pairs = {(source, target) for _, (source, target) in rows}
    if not pairs:
        raise LabseError(f"{path}: empty; give the pairs that are translations")
    return pairs


def read_ratings(
    paths: str | Path | Sequence[str | Path], good: Collection[str] | None = None
) -> Ratings:
    """Reads tables of score and label, one a rater; pairs that several rated are one row.

    A TSV may have a header; without it these are its first columns, and behind them stand, where
    they are there, source, target, line, lang_pair, stratum and stratum_pairs, as `labse rate`
    writes them.

    Args:
        paths: a file, or those of several raters.
        good: the labels that count as GOOD; None is GOOD itself.

    Raises:
        LabseError: there is no row, a column is missing, an unknown label, a score that is not a
            finite number, or files of several raters without what tells which pair is which.
        UsageError: the labels are finer than GOOD and BAD, and `good` does not choose.
    """
    files = [paths] if isinstance(paths, str | Path) else [*paths]
    rows = [[*read_rated_rows(path)] for path in files]
    for path, file in zip(files, rows, strict=True):
        if not file:
            raise LabseError(f"{path}: empty; labse rate makes ratings")
    chosen = choose_good((label for file in rows for _, label in file), good)

    # Bring the labels of a pair together; of one file each row is a pair.
    labels: defaultdict[object, list[str]] = defaultdict(list)
    pairs: dict[object, MinedRow] = {}
    num_skipped = 0
    for path, file in zip(files, rows, strict=True):
        for number, (row, label) in enumerate(file):
            key: object = number if len(files) == 1 else (row.line, row.source, row.target)
            if len(files) > 1 and not row.source:
                raise LabseError(
                    f"{path}: no columns source, target and line, by which the pairs of several "
                    "raters are matched; labse rate writes them"
                )
            if label == SKIP:
                num_skipped += 1
                continue
            pairs.setdefault(key, row)
            labels[key].append(label)

    kept = [*pairs.values()]
    is_good = np.array(
        [sum(label in chosen for label in labels[key]) / len(labels[key]) for key in pairs]
    )
    lang_pairs = tuple(row.lang_pair for row in kept)
    return Ratings(
        scores=np.array([row.score for row in kept], np.float64),
        is_good=is_good if len(files) > 1 else is_good.astype(np.bool_),
        num_skipped=num_skipped,
        weights=_weights(kept),
        lang_pairs=lang_pairs if any(lang_pairs) else (),
        num_raters=len(files),
        alpha=krippendorff_alpha(labels.values()),
        alpha_good=krippendorff_alpha(
            [label in chosen for label in found] for found in labels.values()
        ),
    )


def read_rated_rows(path: str | Path) -> Iterator[tuple[MinedRow, str]]:
    """Yields rated pairs and their labels, SKIP included; see `read_ratings`.

    Raises:
        LabseError: a column is missing, an unknown label or a score that is no finite number.
    """
    known = {label for scheme in SCHEMES.values() for label in scheme.labels}
    more = ("source", "target", "line", "lang_pair", "stratum", "stratum_pairs")
    expected = "score, a tab, and GOOD or BAD"
    rows = _read_columns(path, ("score", "label"), expected, more, by_position=True)
    for number, cells in rows:
        score, label = _parse_score(cells[0], path, number), cells[1].strip().upper()
        if label not in known:
            raise LabseError(
                f"{path}, line {number}: the label is {cells[1][:40]!r}; expected GOOD, BAD or "
                "SKIP, or one of labse rate --labels"
            )
        line, stratum, stratum_pairs = (
            int(cell) if cell.isdecimal() else 0 for cell in (cells[4], cells[6], cells[7])
        )
        yield MinedRow(line, score, cells[2], cells[3], cells[5], stratum, stratum_pairs), label


def _weights(rows: Sequence[MinedRow]) -> NDArray[np.float64] | None:
    """Returns (N,) the pairs of a stratum over its rated ones; None if strata are not told."""
    if not all(row.stratum_pairs for row in rows):
        return None
    num_rated = Counter(row.stratum for row in rows)
    return np.array([row.stratum_pairs / num_rated[row.stratum] for row in rows])


def _read_columns(
    path: str | Path,
    names: tuple[str, ...],
    expected: str,
    more: tuple[str, ...] = (),
    *,
    by_position: bool = False,
    needs_header: bool = False,
    theirs: ColumnNames | None = None,
) -> Iterator[tuple[int, Sequence[str]]]:
    """Yields number and values of each row; a TSV without header has the columns in this order.

    Args:
        path: of the table.
        names: columns that must be there.
        expected: what they are, for people.
        more: columns whose values follow, empty where they are missing.
        by_position: whether they stand behind the others in a TSV without header.
        needs_header: whether a TSV without header is refused.
        theirs: where a table of others has the columns.
    """
    if theirs or format_suffix(path) in (".jsonl", ".parquet", ".tmx"):
        table = open_table(path, theirs)
        columns = tuple(_full_name(table.names, name) or name for name in names)
        found = tuple(name for name in more if name in table.names)
        for number, values in table.read_rows((*columns, *found), numbers=columns[:1]):
            rest = dict(zip(found, values[len(names) :], strict=True))
            yield number, [*values[: len(names)], *(rest.get(name, "") for name in more)]
        return
    places: list[int | None] = [*range(len(names) + len(more))]
    if not by_position:
        places[len(names) :] = [None] * len(more)
    for number, line in enumerate(read_lines(path), start=1):
        cells = line.split("\t")
        if number == 1:
            header = [_full_name(cells, name) for name in names]
            if None not in header:
                places = [cells.index(name) for name in header if name is not None]
                places += [cells.index(name) if name in cells else None for name in more]
                continue
            if "score" in names and any(name is not None for name in header):
                missing = names[header.index(None)]
                hint = {"label": "; labse rate makes it", "score": "; labse score makes it"}
                raise LabseError(
                    f"{path}: no column {missing}; expected {expected}{hint.get(missing, '')}"
                )
            if needs_header:
                raise LabseError(f"{path}: no column {names[0]}; its first line is {line[:60]!r}")
        if len(cells) <= max(place for place in places[: len(names)] if place is not None):
            columns_found = "1 column" if len(cells) == 1 else f"{len(cells)} columns"
            raise LabseError(f"{path}, line {number}: {columns_found}; expected {expected}")
        yield (
            number,
            [cells[place] if place is not None and place < len(cells) else "" for place in places],
        )


def _full_name(columns: Sequence[str], name: str) -> str | None:
    """Returns the column of this name; a score may be a `margin_score`."""
    return next((column for column in (f"margin_{name}", name) if column in columns), None)


def _parse_score(cell: str, path: str | Path, line: int) -> float:
    try:
        score = float(cell)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise LabseError(
            f"{path}, line {line}: the score is {cell[:40]!r}; expected a finite number"
        )
    return score
