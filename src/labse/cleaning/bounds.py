"""Bounds: which scores a row must have to be kept, and the reason why it is not.

Takes: columns of scores. Gives: a reason for each row, empty where it is kept.
Source: the lengths are LaBSE's (arXiv 2007.01852, section 2.1); the other defaults were set by
reading what they drop, see docs/cleaning.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from labse.config import Config

__all__ = ["KEPT", "PairBounds", "Scores", "TextBounds", "find_reasons"]

Scores = Mapping[str, NDArray[np.float32]]
KEPT = "kept"
_SIDES = ("source", "target")


class TextBounds(Config):
    """Bounds of a text; both ends count as inside. A score that is not known (NaN) passes."""

    min_characters: int = Field(default=10, ge=0)
    max_characters: int = Field(default=5000, ge=0)
    max_control_share: float = Field(default=0.02, ge=0, le=1)
    max_broken_share: float = Field(default=0.0, ge=0, le=1)
    min_letter_share: float = Field(default=0.5, ge=0, le=1)
    max_digit_share: float = Field(default=0.3, ge=0, le=1)
    max_symbol_share: float = Field(default=0.3, ge=0, le=1)
    max_markup_share: float = Field(default=0.3, ge=0, le=1)
    max_repetition_share: float = Field(default=0.5, ge=0, le=1)
    max_boilerplate_share: float = Field(default=0.3, ge=0, le=1)
    min_script_share: float = Field(default=0.5, ge=0, le=1)
    min_language_match: float = Field(default=0.5, ge=0, le=1)
    min_quality_prob: float = Field(default=0.0, ge=0, le=1)


class PairBounds(TextBounds):
    """Bounds of both sides of a pair and of what they have in common.

    Wider than those of single texts: a heading (`Article 4`), a message with placeholders or
    foreign names, even `Log in`, is a good pair if its translation is.
    """

    min_characters: int = Field(default=1, ge=0)
    min_letter_share: float = Field(default=0.3, ge=0, le=1)
    max_digit_share: float = Field(default=0.6, ge=0, le=1)
    max_symbol_share: float = Field(default=0.5, ge=0, le=1)
    max_markup_share: float = Field(default=0.5, ge=0, le=1)
    max_boilerplate_share: float = Field(default=1.0, ge=0, le=1)
    min_script_share: float = Field(default=0.25, ge=0, le=1)
    max_length_ratio: float = Field(default=3.0, ge=1)
    max_overlap: float = Field(default=0.9, ge=0, le=1)
    max_number_mismatch: float = Field(default=0.5, ge=0, le=1)


@dataclass(frozen=True, slots=True)
class _Check:
    reason: str
    score: str
    bound: str


# In this order: the first that fails is the reason.
_TEXT_CHECKS = (
    _Check("too short", "characters", "min_characters"),
    _Check("too long", "characters", "max_characters"),
    _Check("control characters", "control_share", "max_control_share"),
    _Check("broken encoding", "broken_share", "max_broken_share"),
    _Check("markup", "markup_share", "max_markup_share"),
    _Check("few letters", "letter_share", "min_letter_share"),
    _Check("many digits", "digit_share", "max_digit_share"),
    _Check("many symbols", "symbol_share", "max_symbol_share"),
    _Check("repetition", "repetition_share", "max_repetition_share"),
    _Check("boilerplate", "boilerplate_share", "max_boilerplate_share"),
    _Check("wrong script", "script_share", "min_script_share"),
    _Check("wrong language", "language_match", "min_language_match"),
    _Check("low quality", "quality_prob", "min_quality_prob"),
)
_PAIR_CHECKS = (
    _Check("untranslated", "overlap", "max_overlap"),
    _Check("length ratio", "length_ratio", "max_length_ratio"),
    _Check("numbers disagree", "number_mismatch", "max_number_mismatch"),
)


def find_reasons(scores: Scores, bounds: TextBounds) -> NDArray[np.str_]:
    """Returns (N,) the first reason to drop each row, or `kept`.

    Reasons of a pair name the side: `target: wrong script`.
    """
    num_rows = len(next(iter(scores.values())))
    reasons = np.full(num_rows, KEPT, object)
    is_open = np.ones(num_rows, bool)
    for reason, score, bound in _iter_checks(isinstance(bounds, PairBounds)):
        if score in scores:
            limit = getattr(bounds, bound)
            values = scores[score]
            is_outside = values < limit if bound.startswith("min_") else values > limit
            reasons[is_open & is_outside] = reason
            is_open &= ~is_outside
    return reasons


def _iter_checks(is_pairs: bool) -> Iterator[tuple[str, str, str]]:
    for check in _TEXT_CHECKS:
        if not is_pairs:
            yield check.reason, check.score, check.bound
            continue
        for side in _SIDES:
            yield f"{side}: {check.reason}", f"{side}_{check.score}", check.bound
    for check in _PAIR_CHECKS if is_pairs else ():
        yield check.reason, check.score, check.bound
