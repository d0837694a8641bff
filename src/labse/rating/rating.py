"""Rating mined pairs by hand: a sample over all scores, and a file that survives a kill.

Takes: what `labse mine` wrote, a seed. Gives: pairs in the order to rate; ratings, row by row.
Source: Feng et al., arXiv 2007.01852, section 3.1: people rate samples. What several say of one
pair is a share; Horvitz and Thompson 1952, weights of a sample that is not even.
"""

import math
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from labse.corpus.tables import ColumnNames, open_table
from labse.errors import LabseError, ResourceError, UsageError
from labse.files.system import try_lock
from labse.files.text import format_suffix, read_lines
from labse.rating.agreement import krippendorff_alpha
from labse.rating.labels import SCHEMES, SKIP, Scheme, choose_good

__all__ = [
    "MinedRow",
    "RatingFile",
    "Ratings",
    "Stratify",
    "draw_sample",
    "read_gold_pairs",
    "read_mined",
    "read_rated_rows",
    "read_ratings",
    "sample_order",
]

Stratify: TypeAlias = Literal["even", "score"]

_NUM_STRATA = 10
_OUTLIERS = 1.0  # Percent at each end of the scores that make no stratum of their own.


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


# ---- the sample ------------------------------------------------------------------------------


def draw_sample(
    path: str | Path,
    count: int,
    *,
    seed: int,
    stratify: Stratify = "even",
    score: str = "score",
    columns: ColumnNames | None = None,
) -> list[MinedRow]:
    """Returns up to `count` pairs in the order to rate; a larger count only adds pairs at the end.

    Args:
        path: of a table, see `read_mined`.
        count: pairs.
        seed: of the sample and its order.
        stratify: "even": all pairs have the same chance. "score": each tenth of the range of scores
            is rated as often, so that the few pairs between the many bad and the many good ones,
            where a bound lies, are rated most; the ratings are weighted back.
        score: the column of scores.

    Raises:
        LabseError: the file is empty or a row of it is broken.
        ValueError: another way to stratify.
    """
    if stratify not in get_args(Stratify):
        raise ValueError(f"stratify must be one of {get_args(Stratify)}, not {stratify!r}")
    scores = np.array([row.score for row in read_mined(path, score, columns=columns)])
    if not len(scores):
        raise LabseError(f"{path}: empty; there is nothing to rate")
    strata = None if stratify == "even" else _strata_of_range(scores)
    order = sample_order(scores, seed=seed, strata=strata)[:count].tolist()
    wanted = set(order)
    mined = enumerate(read_mined(path, score, columns=columns))
    rows = {number: row for number, row in mined if number in wanted}
    if strata is None:
        return [rows[number] for number in order]
    sizes = np.bincount(strata)
    return [
        replace(
            rows[number],
            stratum=int(strata[number]) + 1,
            stratum_pairs=int(sizes[strata[number]]),
        )
        for number in order
    ]


def _strata_of_range(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns (N,) which tenth of the range each score is in; outliers are in the outer ones."""
    low, high = np.percentile(scores, [_OUTLIERS, 100 - _OUTLIERS])
    bounds = np.linspace(low, high, _NUM_STRATA + 1)[1:-1]
    places: NDArray[np.int64] = np.searchsorted(bounds, scores, side="right")
    return places


def sample_order(
    scores: NDArray[np.float64], *, seed: int, strata: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Returns the numbers of all rows in an order whose every beginning is spread over the scores.

    The rows are cut by score into ten strata of equal size; each round takes one row of each, in a
    new order. So every pair has the same chance to be rated, and the precision of the ratings
    estimates that of the file. With `strata`, (N,) the number of each row's, these are taken
    instead.
    """
    generator = np.random.default_rng(seed)
    if strata is None:
        num_strata = max(min(_NUM_STRATA, len(scores)), 1)
        parts = np.array_split(np.argsort(scores, kind="stable"), num_strata)
    else:
        parts = [np.flatnonzero(strata == number) for number in np.unique(strata)]
    parts = [generator.permutation(part) for part in parts]
    rounds = []
    for number in range(max(map(len, parts))):
        row = [int(part[number]) for part in parts if number < len(part)]
        rounds.extend(generator.permutation(np.array(row, np.int64)).tolist())
    return np.array(rounds, np.int64)


# ---- the file of ratings ---------------------------------------------------------------------


class RatingFile:
    """A TSV of score, label, source, target and line that grows by one rating at a time.

    Each rating is on the disk before the next is asked for. A row that a kill cut short is removed
    when the file is opened again. Only one process may hold it.
    """

    def __init__(
        self, path: str | Path, sample: list[MinedRow], scheme: Scheme = SCHEMES["good-bad"]
    ) -> None:
        """Opens or makes the file, for labels of one scheme.

        Raises:
            LabseError: it holds something other than ratings.
            UsageError: it holds ratings of other pairs, or another process rates there.
            ResourceError: it cannot be written.
        """
        self._path = path
        self._rows = {row.line: row for row in sample}
        self._allowed = scheme.labels
        self._labels: dict[int, str] = {}
        self._stream = self._open()
        try:
            self._ends = self._read()
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the file."""
        self._stream.close()

    @property
    def labels(self) -> dict[int, str]:
        """The label of each line rated so far, in the order of rating."""
        return dict(self._labels)

    def rate(self, row: MinedRow, label: str) -> None:
        """Appends a rating and waits until it is on the disk."""
        self._stream.seek(0, os.SEEK_END)
        self._stream.write(_format(row, label))
        self._sync()
        self._labels[row.line] = label
        self._ends.append(self._stream.tell())

    def undo(self) -> MinedRow | None:
        """Removes the last rating and returns its pair; None if there is none."""
        if not self._labels:
            return None
        line, _ = self._labels.popitem()
        self._ends.pop()
        self._stream.truncate(self._ends[-1] if self._ends else 0)
        self._sync()
        return self._rows[line]

    def _sync(self) -> None:
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise ResourceError(f"{self._path}: cannot be written: {error.strerror}") from None

    def _open(self) -> BinaryIO:
        try:
            stream = Path(self._path).open("a+b")  # noqa: SIM115
        except OSError as error:
            raise ResourceError(f"{self._path}: cannot be written: {error.strerror}") from None
        if try_lock(stream.fileno()) is False:
            stream.close()
            raise UsageError(f"{self._path}: another labse rate is writing it") from None
        return stream

    def _read(self) -> list[int]:
        """Fills `_labels` and returns where each row ends."""
        self._stream.seek(0)
        ends: list[int] = []
        for number, raw in enumerate(self._stream.readlines(), start=1):
            row, label = self._parse(raw, number)
            if row is None or label is None:  # Cut short by a kill.
                self._stream.truncate(ends[-1] if ends else 0)
                break
            self._labels[row.line] = label
            ends.append((ends[-1] if ends else 0) + len(raw))
        return ends

    def _parse(self, raw: bytes, number: int) -> tuple[MinedRow | None, str | None]:
        where = f"{self._path}, line {number}"
        if not raw.endswith(b"\n"):
            texts = (_format(row, label) for row in self._rows.values() for label in self._allowed)
            if any(text.startswith(raw) for text in texts):
                return None, None
            raise LabseError(f"{where}: not a row of labse rate; give another --out")
        cells = raw[:-1].decode(errors="replace").split("\t")
        label = cells[1] if len(cells) in (5, 6, 8) and cells[1] in self._allowed else None
        if label is None or not cells[4].isdecimal():
            raise LabseError(
                f"{where}: not a row of labse rate (score, {', '.join(self._allowed)}, source, "
                "target, line); give another --out"
            )
        row = self._rows.get(int(cells[4]))
        if row is None or _format(row, label) != raw:
            raise UsageError(
                f"{where}: rates a pair that is not in this sample; give the same file, --count, "
                "--seed and --stratify as before, or another --out"
            )
        return row, label


def _format(row: MinedRow, label: str) -> bytes:
    cells = [repr(row.score), label, row.source, row.target, str(row.line)]
    if row.lang_pair or row.stratum_pairs:
        cells.append(row.lang_pair)
    if row.stratum_pairs:
        cells += [str(row.stratum), str(row.stratum_pairs)]
    return ("\t".join(cells) + "\n").encode()
