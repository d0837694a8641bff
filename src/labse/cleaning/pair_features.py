"""Numbers of a pair that tell good translations from bad, beside those of `pair_scores`.

Takes: a source and a target. Gives: numbers without bounds of their own, for a learnt score; they
are the same when the sides are exchanged, and none needs to know the languages.
Source: the features of bicleaner and OpusFilter, as ideas; docs/experiments.md says what each is
worth on ratings.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.characters import (
    LETTER,
    PUNCTUATION,
    SPACE,
    SYMBOL,
    build_block,
    count_kinds,
)
from labse.cleaning.pair_scores import score_pair_texts, weighted_length

__all__ = ["PAIR_FEATURES", "pair_features"]

PAIR_FEATURES = (
    "log_length",
    "log_length_ratio",
    "overlap",
    "number_mismatch",
    "name_mismatch",
    "letter_share",
    "symbol_share",
    "punctuation_difference",
    "both_closed",
    "title_share",
    "same_case",
)
"""The columns of `pair_features`."""

# What may stand behind the mark that closes a sentence.
_AFTER_CLOSING = "\"'”’»)] "
_CLOSINGS = frozenset(".。।۔።…!！?？؟;:,")


def pair_features(
    sources: Sequence[str],
    targets: Sequence[str],
    known: Mapping[str, NDArray[np.float32]] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Returns (N,) columns, named by `PAIR_FEATURES`.

    Args:
        sources: N normalised texts, see `normalize_text`.
        targets: as many.
        known: what `score_pair_texts` says of them, where it is there.
    """
    known = score_pair_texts(sources, targets) if known is None else known
    sides = [_describe(texts) for texts in (sources, targets)]
    (kinds, is_closed, titles, cases), others = sides
    both = np.stack([kinds, others[0]])  # 2, N, 6

    # Letters of the side with fewer, symbols of the side with more.
    visible = np.maximum(both.sum(axis=2) - both[:, :, SPACE], 1)
    letter_shares = both[:, :, LETTER] / visible
    symbol_shares = (both[:, :, SYMBOL] + both[:, :, PUNCTUATION]) / visible
    lengths = np.stack(
        [
            np.fromiter(map(weighted_length, texts), float, len(texts))
            for texts in (sources, targets)
        ]
    )
    columns = {
        "log_length": np.log1p(lengths.sum(axis=0)),
        "log_length_ratio": np.log(known["length_ratio"]),
        "overlap": known["overlap"],
        "number_mismatch": known["number_mismatch"],
        "name_mismatch": known["name_mismatch"],
        "letter_share": letter_shares.min(axis=0),
        "symbol_share": symbol_shares.max(axis=0),
        "punctuation_difference": _log_difference(both[:, :, PUNCTUATION]),
        "both_closed": is_closed * others[1],
        "title_share": np.maximum(titles, others[2]),
        "same_case": cases == others[3],
    }
    return {name: np.asarray(columns[name], np.float32) for name in PAIR_FEATURES}


def _describe(texts: Sequence[str]) -> tuple[NDArray[np.float64], ...]:
    """Returns of a side: kinds (N, 6); closed, share of capitals, first case (N,)."""
    count = len(texts)
    is_closed = (text.rstrip(_AFTER_CLOSING)[-1:] in _CLOSINGS for text in texts)
    return (
        count_kinds(build_block(texts)).astype(np.float64),
        np.fromiter(is_closed, np.float64, count),
        np.fromiter(map(_title_share, texts), np.float64, count),
        np.fromiter(map(_begins_with_capital, texts), np.float64, count),
    )


def _log_difference(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    logs = np.log1p(counts)
    difference: NDArray[np.float64] = np.abs(logs[0] - logs[1])
    return difference


def _title_share(text: str) -> float:
    words = text.split()
    return sum(word[0].isupper() for word in words) / max(len(words), 1)


def _begins_with_capital(text: str) -> bool:
    return next((char.isupper() for char in text if char.isalpha()), False)
