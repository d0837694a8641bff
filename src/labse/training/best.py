"""The best evaluation of a run and how long ago it was."""

from dataclasses import dataclass

__all__ = ["Best"]


@dataclass(frozen=True, slots=True)
class Best:
    """What evaluations have found so far; higher is better.

    Attributes:
        step: updates done at the best one; 0 before the first.
        score: of the best one.
        num_since: evaluations after it.
    """

    step: int = 0
    score: float = -float("inf")
    num_since: int = 0

    def after(self, step: int, score: float) -> "Best":
        """Returns the state after one more evaluation; of equals, the earlier stays the best."""
        if score > self.score:
            return Best(step, score)
        return Best(self.step, self.score, self.num_since + 1)
