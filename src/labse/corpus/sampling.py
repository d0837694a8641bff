"""Sampling: how much of each language to take.

Takes: a count for each language. Gives: shares that lift the small languages.
Source: Devlin et al., multilingual BERT; Feng et al. 2020, section 2: p_l^a, renormalised.
"""

from collections.abc import Mapping

__all__ = ["smoothed_shares"]


def smoothed_shares(counts: Mapping[str, int], exponent: float) -> dict[str, float]:
    """Returns p_l^a / sum_k p_k^a with p_l = counts[l] / sum(counts), in the order of `counts`.

    Exponent 1 keeps the shares of the counts, 0 gives each language that has data the same share.
    A language with count 0 gets 0.

    Raises:
        ValueError: the exponent is not in [0, 1], a count is negative, or no count is positive.
    """
    if not 0 <= exponent <= 1:
        raise ValueError(f"exponent is {exponent}; give a number from 0 to 1")
    if negative := [lang for lang, count in counts.items() if count < 0]:
        raise ValueError(f"the count of {negative[0]!r} is negative: {counts[negative[0]]}")
    total = sum(counts.values())
    if total == 0:
        raise ValueError("no language has a count above 0")

    weights = {
        lang: (count / total) ** exponent if count else 0.0 for lang, count in counts.items()
    }
    norm = sum(weights.values())
    return {lang: weight / norm for lang, weight in weights.items()}
