"""Small groups of pairs are drawn in passes, so that every pair comes once before any comes twice.

Dimensions: G groups, n pairs of a group.
Source: drawing without replacement, the usual epoch of training.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Passes"]

_STREAM = 1 << 34  # Beyond any number of a window, which has a generator of its own.


class Passes:
    """Keeps, for each small group, the order of the pairs that its pass has left.

    A window offers a pair once at most. What it does not use, for a sentence of it is in the window
    already, comes first in the next window.

    Args:
        order: all pairs that may be drawn; group g is order[starts[g]:starts[g + 1]].
        starts: (G + 1,) int64.
        is_small: (G,) the groups drawn in passes.
        seed: the seed of the orders.
    """

    def __init__(
        self,
        order: NDArray[np.uint32],
        starts: NDArray[np.int64],
        is_small: NDArray[np.bool_],
        *,
        seed: int,
    ) -> None:
        self._order = order
        self._starts = starts
        self._seed = seed
        self.is_small = is_small
        self.restart(0)

    def restart(self, part: int) -> None:
        """Begins all passes anew, in the orders of that part of the run."""
        self._part = part
        self._num_passes: dict[int, int] = {}
        self._left: dict[int, NDArray[np.int64]] = {}  # Of the pass that goes on.
        self._next: dict[int, NDArray[np.int64]] = {}  # The pass after it.
        self._num_offered: dict[int, int] = {}

    def replace(self, indices: NDArray[np.int64], drawn: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns `indices` with the next pairs in place of those of small groups.

        Args:
            indices: pairs drawn, any of their group.
            drawn: the group of each; of a group that the window has used up, pairs are dropped.
        """
        replaced = indices.copy()
        places = np.flatnonzero(self.is_small[drawn])
        places = places[np.argsort(drawn[places], kind="stable")]
        groups, counts = np.unique(drawn[places], return_counts=True)
        ends = np.cumsum(counts)
        for group, end, count in zip(groups.tolist(), ends.tolist(), counts.tolist(), strict=True):
            offered = self._offer(group, count)
            rows = places[end - count : end]
            replaced[rows[: len(offered)]] = offered
            replaced[rows[len(offered) :]] = -1
        return replaced[replaced >= 0]

    def num_left(self, groups: NDArray[np.int64]) -> int:
        """Returns how many pairs the passes of these groups have left; a large group has all."""
        num_left = 0
        for group in groups.tolist():
            left = len(self._left.get(group, ()))
            num_left += (left or self._size(group)) if self.is_small[group] else self._size(group)
        return num_left

    def offer_rest(self, groups: NDArray[np.int64], *, of_next_too: bool) -> NDArray[np.int64]:
        """Returns what the passes of small groups have left, not offered to this window yet.

        Args:
            groups: those asked.
            of_next_too: whether the next passes begin, with all other pairs.
        """
        rest = [np.empty(0, dtype=np.int64)]
        for group in groups[self.is_small[groups]].tolist():
            size = len(self._left.get(group, ())) - self._num_offered.get(group, 0)
            rest.append(self._offer(group, self._size(group) if of_next_too else max(0, size)))
        return np.concatenate(rest)

    def settle(self, used: NDArray[np.int64], drawn: NDArray[np.int64]) -> None:
        """Ends a window: its pairs are done in the passes of their groups.

        Args:
            used: the pairs of the window.
            drawn: the group of each.
        """
        by_group = np.argsort(drawn, kind="stable")
        used, drawn = used[by_group], drawn[by_group]
        for group in self._num_offered:
            first, last = np.searchsorted(drawn, [group, group + 1])
            of_group = used[first:last]
            before = self._left[group]
            left = before[~np.isin(before, of_group)]
            of_next = of_group[~np.isin(of_group, before)]
            if len(of_next):
                # A pair that the old pass still has left, for its sentences, counts for both.
                new = self._next.pop(group)
                is_done = np.isin(new, of_next) | np.isin(new, left)
                left = np.concatenate([left, new[~is_done]])
            self._left[group] = left
        self._num_offered.clear()

    def _offer(self, group: int, size: int) -> NDArray[np.int64]:
        """Returns the next pairs of a group: fewer once the window has been offered all."""
        left = self._left.setdefault(group, np.empty(0, dtype=np.int64))
        start = self._num_offered.get(group, 0)
        end = min(start + size, self._size(group))
        self._num_offered[group] = end
        if end <= len(left):
            return left[start:end]
        # The pass ends within this window, and the next begins with other pairs.
        if group not in self._next:
            self._next[group] = self._shuffle(group)
        new = self._next[group]
        return np.concatenate([left, new[~np.isin(new, left)]])[start:end]

    def _shuffle(self, group: int) -> NDArray[np.int64]:
        number = self._num_passes.get(group, 0)
        self._num_passes[group] = number + 1
        generator = np.random.default_rng([self._seed, _STREAM, self._part, group, number])
        pairs = self._order[self._starts[group] : self._starts[group + 1]]
        return generator.permutation(pairs.astype(np.int64))

    def _size(self, group: int) -> int:
        return int(self._starts[group + 1] - self._starts[group])
