"""Filtering of a parallel corpus: first all scores of a pair, then bounds that decide.

Takes: pairs with their cosines. Gives: scores, one record a pair, and the bounds each one breaks.
Source: OpusFilter (Aulamo et al. 2020), score first and decide later: new bounds need no new
scores. The records have its format: a JSON object a line, a list where each side has a score.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields

from labse.cleaning.flags import copy_ratio, has_other_names, has_other_numbers
from labse.cleaning.langid import identify_languages, is_known_language, is_same
from labse.corpus.records import UNKNOWN_LANG
from labse.errors import LabseError, UsageError
from labse.files.text import read_lines

__all__ = ["Bounds", "PairScores", "broken_bounds", "read_scores", "score_pairs", "to_json"]

_MAX_CHARS = 2000
_UNSURE = 0.5


@dataclass(frozen=True, slots=True)
class PairScores:
    """What is known of a pair.

    Attributes:
        is_empty: a side is blank; the other scores are then 0.
        cosine: of the vectors.
        margin: score against the neighbourhood; None if it was not asked for.
        length_ratio: characters of the longer text for one of the shorter, at least 1.
        copy_ratio: see `copy_ratio`; 1 is a copy.
        same_numbers: see `has_other_numbers`.
        same_names: see `has_other_names`.
        langid: for each side 1 if it is in its language, 0 if in another, 0.5 if nobody can tell;
            None if the languages were not given.
    """

    is_empty: bool
    cosine: float
    margin: float | None
    length_ratio: float
    copy_ratio: float
    same_numbers: bool
    same_names: bool
    langid: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a pair must keep, inclusive; None or False lets all pairs pass."""

    min_cosine: float | None = None
    min_margin: float | None = None
    max_length_ratio: float | None = None
    max_copy_ratio: float | None = None
    min_langid: float | None = None
    same_numbers: bool = False
    same_names: bool = False

    def __post_init__(self) -> None:
        """Checks that bounds are numbers: nothing is below NaN, so it would keep all pairs.

        Raises:
            UsageError: one is not.
        """
        for bound in fields(self):
            value = getattr(self, bound.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError(f"{bound.name} is {value}; give a number")


def score_pairs(
    sources: Sequence[str],
    targets: Sequence[str],
    cosines: Sequence[float],
    margins: Sequence[float] | None,
    langs: tuple[str, str] | None,
) -> list[PairScores]:
    """Scores pairs of texts, one record each.

    Args:
        sources: texts.
        targets: as many.
        cosines: of their vectors.
        margins: their margin scores, None: not known.
        langs: canonical tags of both sides, None: languages are not looked at.

    Raises:
        ResourceError: languages are asked for and the packages that tell them are missing.
        ValueError: unequal numbers.
    """
    langids = _langids(sources, targets, langs) if langs else [None] * len(sources)
    known_margins = [None] * len(sources) if margins is None else list(margins)
    rows = zip(sources, targets, cosines, known_margins, langids, strict=True)
    return [_score_pair(*row) for row in rows]


def _score_pair(
    source: str,
    target: str,
    cosine: float,
    margin: float | None,
    langid: tuple[float, float] | None,
) -> PairScores:
    lengths = sorted((len(source.strip()), len(target.strip())))
    is_empty = lengths[0] == 0
    short_source, short_target = source[:_MAX_CHARS], target[:_MAX_CHARS]
    return PairScores(
        is_empty=is_empty,
        cosine=cosine,
        margin=margin,
        length_ratio=0.0 if is_empty else lengths[1] / lengths[0],
        copy_ratio=copy_ratio(short_source, short_target),
        same_numbers=not has_other_numbers(short_source, short_target),
        same_names=not has_other_names(short_source, short_target),
        langid=langid,
    )


def _langids(
    sources: Sequence[str], targets: Sequence[str], langs: tuple[str, str]
) -> list[tuple[float, float]]:
    columns = []
    for texts, lang in zip((sources, targets), langs, strict=True):
        if not is_known_language(lang):
            columns.append([_UNSURE] * len(texts))
            continue
        found = [guess.lang for guess in identify_languages(texts)]
        columns.append(
            [_UNSURE if tag == UNKNOWN_LANG else float(is_same(tag, lang)) for tag in found]
        )
    return list(zip(*columns, strict=True))


def broken_bounds(scores: PairScores, bounds: Bounds) -> tuple[str, ...]:
    """Returns the names of the bounds that a pair breaks; `empty` for a blank side, always.

    Raises:
        LabseError: a bound on a score that is not known.
    """
    if scores.is_empty:
        return ("empty",)
    checks = {
        "min_cosine": _is_below("cosine", scores.cosine, bounds.min_cosine),
        "min_margin": _is_below("margin", scores.margin, bounds.min_margin),
        "max_length_ratio": _is_above(scores.length_ratio, bounds.max_length_ratio),
        "max_copy_ratio": _is_above(scores.copy_ratio, bounds.max_copy_ratio),
        "min_langid": _is_below(
            "langid", None if scores.langid is None else min(scores.langid), bounds.min_langid
        ),
        "same_numbers": bounds.same_numbers and not scores.same_numbers,
        "same_names": bounds.same_names and not scores.same_names,
    }
    return tuple(name for name, is_broken in checks.items() if is_broken)


def _is_below(name: str, score: float | None, bound: float | None) -> bool:
    if bound is None:
        return False
    if score is None:
        raise LabseError(
            f"min_{name} is set, and the scores have no {name}; score again with it set"
        )
    return score < bound


def _is_above(score: float, bound: float | None) -> bool:
    return bound is not None and score > bound


def to_json(scores: PairScores) -> str:
    """Returns one line of JSON; a score that is not known is left out."""
    known = {name: value for name, value in asdict(scores).items() if value is not None}
    return json.dumps(known)


def read_scores(path: str) -> Iterator[PairScores]:
    """Reads back what `to_json` wrote, line by line.

    Raises:
        LabseError: a broken line.
    """
    names = [field.name for field in fields(PairScores)]
    for number, line in enumerate(read_lines(path), start=1):
        try:
            record = json.loads(line)
            langid = record.pop("langid", None)
            record.setdefault("margin", None)
            if sorted(record) != sorted(set(names) - {"langid"}):
                raise ValueError(f"its keys are {', '.join(record)}")
            yield PairScores(**record, langid=langid and (float(langid[0]), float(langid[1])))
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise LabseError(
                f"{path}, line {number}: not a line of labse filter --scores ({error})"
            ) from None
