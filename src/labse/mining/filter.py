"""Filtering of a parallel corpus: first all scores of a pair, then bounds that decide.

Takes: pairs with their cosines. Gives: scores, one record a pair, and the bounds each one breaks.
Source: OpusFilter (Aulamo et al. 2020), score first and decide later: new bounds need no new
scores. The records are a JSON object a line, as OpusFilter writes them.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.bounds import FilterBounds, Scores, iter_broken
from labse.cleaning.langid import match_languages
from labse.cleaning.normalize import normalize_text
from labse.cleaning.pair_scores import score_pair_texts
from labse.corpus.writers import open_output
from labse.errors import LabseError
from labse.files.text import read_lines

__all__ = [
    "EMPTY",
    "FilterReport",
    "decide",
    "find_broken",
    "read_scores",
    "score_texts",
    "to_json",
]

EMPTY = "empty"
"""The reason why a pair with a blank side is dropped, whatever the bounds."""

_CHUNK_ROWS = 8192
_REQUIRED = {
    *("cosine", "source_characters", "target_characters"),
    *("length_ratio", "overlap", "number_mismatch", "name_mismatch"),
}
_OPTIONAL = {"margin", "source_language_match", "target_language_match"}


@dataclass(slots=True)
class FilterReport:
    """How many pairs each bound dropped.

    Attributes:
        num_read: all pairs.
        num_kept: those that break no bound.
        num_altered: kept pairs with a character that the format of the output cannot hold.
        broken: for each bound the pairs that break it, perhaps with others.
        only: for each bound the pairs that break it alone.
    """

    num_read: int = 0
    num_kept: int = 0
    num_altered: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    only: Counter[str] = field(default_factory=Counter)


# ---- scores ----------------------------------------------------------------------------------


def score_texts(
    sources: Sequence[str], targets: Sequence[str], langs: tuple[str, str] | None
) -> dict[str, NDArray[np.float32]]:
    """Scores what the texts of N pairs tell without a model; see docs/cleaning.md for each score.

    Args:
        sources: N texts.
        targets: as many.
        langs: canonical tags of both sides; None: languages are not looked at.

    Raises:
        ResourceError: languages are asked for and the packages that tell them are missing.
    """
    sides = [[normalize_text(text).text for text in texts] for texts in (sources, targets)]
    scores = {}
    for name, texts in zip(("source", "target"), sides, strict=True):
        scores[f"{name}_characters"] = np.fromiter(map(len, texts), np.float32, len(texts))
    scores |= score_pair_texts(*sides)
    for name, texts, lang in zip(("source", "target"), sides, langs or (), strict=bool(langs)):
        scores[f"{name}_language_match"] = match_languages(texts, [lang] * len(texts))[1]
    return scores


def to_json(scores: Scores) -> Iterator[str]:
    """Yields one line of JSON for each row."""
    for row in zip(*(column.tolist() for column in scores.values()), strict=True):
        yield json.dumps(dict(zip(scores, row, strict=True)))


def read_scores(path: str | Path) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Reads back what `to_json` wrote, some thousand rows at a time.

    Raises:
        LabseError: a broken line.
    """
    rows = enumerate(read_lines(path), start=1)
    names: list[str] = []
    while lines := list(islice(rows, _CHUNK_ROWS)):
        values = []
        for number, line in lines:
            try:
                record = json.loads(line)
                names = names or _check_names(record)
                values.append([float(record.pop(name)) for name in names])
                if record:
                    raise ValueError(f"unknown key {next(iter(record))}")
            except (ValueError, TypeError, AttributeError, LookupError) as error:
                raise LabseError(
                    f"{path}, line {number}: not a line of labse filter --scores ({error})"
                ) from None
        columns = np.array(values, np.float32).T
        yield dict(zip(names, columns, strict=True))


def _check_names(record: dict[str, object]) -> list[str]:
    if not _REQUIRED <= record.keys() <= _REQUIRED | _OPTIONAL:
        raise ValueError(f"its keys are {', '.join(record)}")
    return list(record)


# ---- decision --------------------------------------------------------------------------------


def find_broken(scores: Scores, bounds: FilterBounds) -> list[tuple[str, ...]]:
    """Returns for each row the names of the bounds that it breaks; `empty` for a blank side.

    Raises:
        LabseError: a bound on a score that is not known.
    """
    is_broken: dict[str, NDArray[np.bool_]] = {}
    for check, rows in iter_broken(scores, bounds):
        is_broken[check.bound] = is_broken.get(check.bound, False) | rows
    for bound, limit in bounds:
        if limit is not None and limit is not False and bound not in is_broken:
            name = bound.partition("_")[2]
            raise LabseError(
                f"{bound} is set, and the scores have no {name}; score again with it set"
            )
    is_empty = np.minimum(scores["source_characters"], scores["target_characters"]) < 1
    found: list[tuple[str, ...]] = [()] * len(is_empty)
    is_any = np.logical_or.reduce([is_empty, *is_broken.values()])
    for row in np.flatnonzero(is_any).tolist():
        names = tuple(name for name, rows in is_broken.items() if rows[row])
        found[row] = (EMPTY,) if is_empty[row] else names
    return found


def decide(
    pairs: Iterable[tuple[str, str]],
    scores: Path,
    bounds: FilterBounds,
    report: FilterReport,
    rejects: Path | None = None,
) -> Iterator[tuple[str, str]]:
    """Yields the pairs that keep all bounds, counts them in `report` and writes the others.

    Args:
        pairs: all pairs, blank ones included.
        scores: a file with a line for each of them.
        bounds: what a pair must keep.
        report: the counts.
        rejects: a file for the other pairs, with line number and reasons; None: not written.

    Raises:
        LabseError: broken scores, or as many of them as there are not pairs.
        ResourceError: `rejects` cannot be written.
    """
    rest = iter(pairs)
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(open_output(rejects)) if rejects else None
        for chunk in read_scores(scores):
            reasons = find_broken(chunk, bounds)
            texts = list(islice(rest, len(reasons)))
            if len(texts) < len(reasons):
                raise _unequal(scores, report.num_read + len(texts))
            for (source, target), broken in zip(texts, reasons, strict=True):
                report.num_read += 1
                if not broken:
                    report.num_kept += 1
                    yield source, target
                    continue
                report.broken.update(broken)
                report.only.update(broken if len(broken) == 1 else ())
                if stream:
                    record = {"line": report.num_read, "reasons": broken}
                    record |= {"source": source, "target": target}
                    stream.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        if next(rest, None) is not None:
            raise _unequal(scores, report.num_read)


def _unequal(path: Path, num_read: int) -> LabseError:
    return LabseError(
        f"{path} does not have one line for each line of the input ({num_read} of both were read)"
    )
