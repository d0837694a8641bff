"""Bounds: which scores a row must have to be kept, and the reason why it is not.

Takes: columns of scores. Gives: a reason for each row, empty where it is kept.
Source: the lengths are LaBSE's (arXiv 2007.01852, section 2.1); the other defaults were set by
reading what they drop, see docs/cleaning.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from labse.config import Config
from labse.corpus.shards import CorpusKind

__all__ = [
    "BOUNDS",
    "KEPT",
    "Check",
    "FilterBounds",
    "PairBounds",
    "Scores",
    "TextBounds",
    "find_reasons",
    "iter_broken",
    "recommend_bounds",
]

Scores = Mapping[str, NDArray[np.float32]]
KEPT = "kept"
_SIDES = ("source", "target")
_Count = Annotated[int, Field(ge=0)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Ratio = Annotated[float, Field(ge=1)]


class TextBounds(Config):
    """Bounds of a text; both ends count as inside. A score that is not known (NaN) passes."""

    min_characters: _Count = 10
    max_characters: _Count = 5000
    max_control_share: _Share = 0.02
    max_broken_share: _Share = 0.0
    min_letter_share: _Share = 0.5
    max_digit_share: _Share = 0.3
    max_symbol_share: _Share = 0.3
    max_markup_share: _Share = 0.3
    max_repetition_share: _Share = 0.5
    max_boilerplate_share: _Share = 0.3
    min_script_share: _Share = 0.5
    min_language_match: _Share = 0.5
    min_quality_prob: _Share = 0.0


class PairBounds(TextBounds):
    """Bounds of both sides of a pair and of what they have in common.

    Wider than those of single texts: a heading (`Article 4`), a message with placeholders or
    foreign names, even `Log in`, is a good pair if its translation is.
    """

    min_characters: _Count = 1
    min_letter_share: _Share = 0.3
    max_digit_share: _Share = 0.6
    max_symbol_share: _Share = 0.5
    max_markup_share: _Share = 0.5
    max_boilerplate_share: _Share = 1.0
    min_script_share: _Share = 0.25
    max_length_ratio: _Ratio = 3.0
    max_overlap: _Share = 0.9
    max_number_mismatch: _Share = 0.5
    same_names: bool = False


BOUNDS: dict[CorpusKind, type[TextBounds]] = {"mono": TextBounds, "pairs": PairBounds}
"""The bounds of single texts and of pairs."""


class FilterBounds(Config):
    """Bounds of `labse filter`: those of `PairBounds` by the same names, and those of vectors.

    `min_score` is for the score that `labse mine` gave a pair among all lines of two corpora,
    `min_margin` for one among the lines of the pairs.

    None lets all pairs pass.
    """

    min_score: float | None = None
    min_cosine: float | None = None
    min_margin: float | None = None
    min_quality: _Share | None = None
    min_cds: _Share | None = None
    min_cds_forward: float | None = None
    max_length_ratio: _Ratio | None = None
    max_overlap: _Share | None = None
    max_number_mismatch: _Share | None = None
    min_language_match: _Share | None = None
    same_names: bool = False


def recommend_bounds(*, has_langs: bool) -> FilterBounds:
    """Returns bounds for `labse filter` that drop little else than what is no translation.

    They are those of `PairBounds`, so that `corpus clean` and `filter` decide alike; of 57,500 good
    pairs they drop 3 in 1,000 (docs/cleaning.md, 2026-11). A cosine is not among them: what it says
    depends on the model.

    Args:
        has_langs: whether the languages of both sides are known, which `min_language_match` needs.
    """
    values = PairBounds()
    return FilterBounds(
        max_length_ratio=values.max_length_ratio,
        max_overlap=values.max_overlap,
        max_number_mismatch=values.max_number_mismatch,
        min_language_match=values.min_language_match if has_langs else None,
    )


@dataclass(frozen=True, slots=True)
class Check:
    """A bound, the score that it is for, and what is told of a row that breaks it."""

    reason: str
    score: str
    bound: str


# In this order: the first that fails is the reason.
_TEXT_CHECKS = (
    Check("too short", "characters", "min_characters"),
    Check("too long", "characters", "max_characters"),
    Check("control characters", "control_share", "max_control_share"),
    Check("broken encoding", "broken_share", "max_broken_share"),
    Check("markup", "markup_share", "max_markup_share"),
    Check("few letters", "letter_share", "min_letter_share"),
    Check("many digits", "digit_share", "max_digit_share"),
    Check("many symbols", "symbol_share", "max_symbol_share"),
    Check("repetition", "repetition_share", "max_repetition_share"),
    Check("boilerplate", "boilerplate_share", "max_boilerplate_share"),
    Check("wrong script", "script_share", "min_script_share"),
    Check("wrong language", "language_match", "min_language_match"),
    Check("low quality", "quality_prob", "min_quality_prob"),
)
_PAIR_CHECKS = (
    Check("low score", "margin_score", "min_score"),
    Check("low cosine", "cosine", "min_cosine"),
    Check("low margin", "margin", "min_margin"),
    Check("low quality", "quality", "min_quality"),
    Check("low cds", "cds", "min_cds"),
    Check("low cds_forward", "cds_forward", "min_cds_forward"),
    Check("untranslated", "overlap", "max_overlap"),
    Check("length ratio", "length_ratio", "max_length_ratio"),
    Check("numbers disagree", "number_mismatch", "max_number_mismatch"),
    Check("names disagree", "name_mismatch", "same_names"),
)


def find_reasons(scores: Scores, bounds: TextBounds) -> NDArray[np.str_]:
    """Returns (N,) the first reason to drop each row, or `kept`.

    Reasons of a pair name the side: `target: wrong script`.
    """
    num_rows = len(next(iter(scores.values())))
    reasons = np.full(num_rows, KEPT, object)
    is_open = np.ones(num_rows, bool)
    for check, is_broken in iter_broken(scores, bounds):
        reasons[is_open & is_broken] = check.reason
        is_open &= ~is_broken
    return reasons


def iter_broken(
    scores: Scores, bounds: TextBounds | FilterBounds
) -> Iterator[tuple[Check, NDArray[np.bool_]]]:
    """Yields each check of these bounds that has scores, and (N,) the rows that break it."""
    for check in _iter_checks(is_pairs=type(bounds) is not TextBounds):
        limit = getattr(bounds, check.bound, None)
        if limit is None or limit is False or check.score not in scores:
            continue
        values = scores[check.score]
        if check.bound.startswith("min_"):
            yield check, values < limit
        else:
            yield check, values > (0 if limit is True else limit)


def _iter_checks(*, is_pairs: bool) -> Iterator[Check]:
    if not is_pairs:
        yield from _TEXT_CHECKS
        return
    for check in _TEXT_CHECKS:
        for side in _SIDES:
            yield Check(f"{side}: {check.reason}", f"{side}_{check.score}", check.bound)
    yield from _PAIR_CHECKS
