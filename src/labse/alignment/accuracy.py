"""How good an alignment is: strict and lax precision, recall and F1 against gold.

Takes: the beads found and the gold ones, of one document or of many. Gives: counts and scores.
Source: the measures of Thompson & Koehn 2019 (D19-1136), section 5, after Sennrich & Volk 2010.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from labse.alignment.formats import LinkedLines

__all__ = ["AlignmentCounts", "AlignmentScore", "count_right"]


@dataclass(frozen=True, slots=True)
class AlignmentScore:
    """Precision, recall and F1, each from 0 to 1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class AlignmentCounts:
    """Counts of right beads, which add up over documents.

    Attributes:
        num_predicted: beads found, skipped lines included.
        strict_right: beads found that are gold.
        lax_right: beads found that share a source and a target line with one gold bead, or are
            gold.
        num_gold: gold beads with both sides.
        strict_found: gold beads with both sides that were found exactly.
        lax_found: gold beads that share a source and a target line with one found.
    """

    num_predicted: int = 0
    strict_right: int = 0
    lax_right: int = 0
    num_gold: int = 0
    strict_found: int = 0
    lax_found: int = 0

    def __add__(self, other: "AlignmentCounts") -> "AlignmentCounts":
        return AlignmentCounts(
            *(getattr(self, name) + getattr(other, name) for name in self.__slots__)
        )

    @property
    def strict(self) -> AlignmentScore:
        """Scores of beads that are gold to the line."""
        return _score(self.strict_right, self.num_predicted, self.strict_found, self.num_gold)

    @property
    def lax(self) -> AlignmentScore:
        """Scores of beads that share lines of both sides with a gold bead."""
        return _score(self.lax_right, self.num_predicted, self.lax_found, self.num_gold)


def count_right(predicted: Iterable[LinkedLines], gold: Iterable[LinkedLines]) -> AlignmentCounts:
    """Counts one document.

    Precision is over all beads; recall leaves out those with an empty side. A bead of several lines
    without counterpart counts as one bead a line, on both sides of the comparison.
    """
    found, true = _single_skips(predicted), _single_skips(gold)
    found_pairs = {link for link in found if link.source and link.target}
    true_pairs = {link for link in true if link.source and link.target}
    return AlignmentCounts(
        num_predicted=len(found),
        strict_right=len(found & true),
        lax_right=_count_lax(found, true),
        num_gold=len(true_pairs),
        strict_found=len(found_pairs & true_pairs),
        lax_found=_count_lax(true_pairs, found_pairs),
    )


def _single_skips(links: Iterable[LinkedLines]) -> set[LinkedLines]:
    result: set[LinkedLines] = set()
    for link in links:
        if link.source and link.target:
            result.add(link)
        result.update(LinkedLines((line,), ()) for line in link.source if not link.target)
        result.update(LinkedLines((), (line,)) for line in link.target if not link.source)
    return result


def _count_lax(judged: set[LinkedLines], reference: set[LinkedLines]) -> int:
    targets: dict[int, set[int]] = {}
    for link in reference:
        for line in link.source:
            targets.setdefault(line, set()).update(link.target)
    return sum(
        link in reference
        or any(not targets.get(line, set()).isdisjoint(link.target) for line in link.source)
        for link in judged
    )


def _score(right: int, num_predicted: int, found: int, num_gold: int) -> AlignmentScore:
    precision = right / num_predicted if num_predicted else 0.0
    recall = found / num_gold if num_gold else 0.0
    both = precision + recall
    return AlignmentScore(precision, recall, 2 * precision * recall / both if both else 0.0)
