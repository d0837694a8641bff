"""How far several raters agree beyond chance.

Takes: the labels that each pair was given. Gives: Krippendorff's alpha.
Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", nominal data, any number of
raters, missing labels.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

__all__ = ["krippendorff_alpha"]


def krippendorff_alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Returns alpha = 1 - D_o / D_e of nominal labels: 1 is full agreement, 0 is chance.

    Args:
        units: the labels of each item; an item with one label tells nothing and is left out.

    Returns:
        None where no item has two labels, or all labels are one.
    """
    observed = 0.0  # Pairs of unlike labels in an item, each item by 1 / (labels - 1).
    totals: Counter[Hashable] = Counter()
    for labels in units:
        if len(labels) < 2:
            continue
        counts = Counter(labels)
        num_unlike = len(labels) ** 2 - sum(count**2 for count in counts.values())
        observed += num_unlike / (len(labels) - 1)
        totals.update(counts)
    num_labels = totals.total()
    expected = num_labels**2 - sum(count**2 for count in totals.values())
    return 1 - (num_labels - 1) * observed / expected if expected else None
