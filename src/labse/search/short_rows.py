"""Few values of each row that tell which pairs cannot be near, so that few are multiplied whole.

Takes: blocks of unit float32 rows, and what cosine each row must reach. Gives: all pairs that may
reach it, as the product of whole rows does.
Source: in an orthonormal basis x.y = a.b + r.s, of the first values a, b and the rests r, s; and
r.s is at most |r| |s| (Cauchy and Schwarz). With |r| as one more value of each row, one product
gives the bound. Roundings are bounded as in Higham 2002, section 3.1.

The first principal axes hold most of a row: 160 to 192 of the 384 values of the shipped model's
vectors are enough. Random rows need all; a sample tells that before the search.

Dimensions: B, C rows of two blocks, N sampled rows, D embedding, S axes, P pairs.
"""

import threading

import numpy as np
from numpy.typing import NDArray

from labse.search.engine import FLOAT32_UNIT, Candidates
from labse.search.numpy_engine import NumpyEngine
from labse.search.sides import Block, Side

__all__ = ["ShortRows", "choose_axes", "choose_short_rows"]

# Below, the sample costs more than it saves.
_LEAST_PRODUCTS = 1 << 27
_SAMPLED_ROWS = 1024
_SEED = 20071852  # Any fixed number: the sample decides no result.
_STEP = 32
# Times beside the products, in values of a row whose product takes as long (AVX2, one core, blocks
# of 1,024 rows, 2026-11-30): two comparisons; maxima of tiles and what is opened.
_COMPARING = 48
_OPENING = 64
# To multiply one pair alone takes as long as so many pairs in a product of blocks (likewise).
_PAIR_COST = 64
_LEAST_GAIN = 0.9
_MOST_SKIPPED = 1 << 10


def choose_short_rows(sides: tuple[Side, Side], k: int, *, both: bool) -> "ShortRows | None":
    """Returns the short rows that make a search fastest, None where whole rows are as fast.

    Args:
        sides: source and target.
        k: neighbours of a row.
        both: whether neighbours of the target rows are sought too.
    """
    if len(sides[0].kept) * len(sides[1].kept) < _LEAST_PRODUCTS:
        return None
    generator = np.random.default_rng(_SEED)
    samples = []
    for side in sides:
        size = min(_SAMPLED_ROWS, len(side.kept))
        chosen = generator.choice(len(side.kept), size, replace=False)
        samples.append(side.units(side.kept[np.sort(chosen)]))

    # What neighbours reach when half of the rows are seen: the k-th of those, or the first of few.
    cosines = samples[0] @ samples[1].T
    tables = (cosines, cosines.T) if both else (cosines,)
    reached: list[NDArray[np.float32]] = []
    for table, other in zip(tables, reversed(sides), strict=False):
        place = max(round(2 * k * table.shape[1] / len(other.kept)), 1)
        place = min(place, table.shape[1])
        reached.append(np.partition(table, -place, axis=1)[:, -place])
    axes = choose_axes(samples[0], samples[1], reached)
    short_rows = None if axes is None else ShortRows(axes)
    return short_rows if short_rows and short_rows.is_exact_enough else None


def choose_axes(
    source: NDArray[np.float32], target: NDArray[np.float32], reached: list[NDArray[np.float32]]
) -> NDArray[np.float32] | None:
    """Returns as many principal axes (D, S) as cost least, None where whole rows do.

    Args:
        source: (N, D) unit rows.
        target: likewise.
        reached: (N,) cosines of the neighbours of the source rows; and of the target rows, if
            those are sought.
    """
    size = source.shape[1]
    rows = np.concatenate([source, target])
    _, vectors = np.linalg.eigh(rows.T @ rows)
    axes = np.ascontiguousarray(vectors[:, ::-1])
    sides = source @ axes, target @ axes
    rests = [np.sqrt(np.maximum(1 - np.cumsum(side**2, axis=1), 0)) for side in sides]

    # Products grow by some values at a time; how many pairs pass tells what these values save.
    step = _STEP * -(-size // 512)
    products = np.zeros((len(source), len(target)), np.float32)
    best, best_cost = 0, _LEAST_GAIN * (size + _OPENING)
    for stop in range(step, size, step):
        if stop + _COMPARING >= best_cost:
            break
        left, right = (side[:, stop - step : stop] for side in sides)
        products += left @ right.T
        bounds = np.outer(rests[0][:, stop - 1], rests[1][:, stop - 1])
        bounds += products
        share = np.count_nonzero(_reaches(bounds, reached)) / bounds.size
        cost = stop + _COMPARING + _PAIR_COST * share * size
        if cost < best_cost:
            best, best_cost = stop, cost
    return np.ascontiguousarray(axes[:, :best]) if best else None


class ShortRows:
    """Shortens rows, and finds pairs by them while that is faster; the blocks tell."""

    def __init__(self, axes: NDArray[np.float32], *, max_share: float = 1 / _PAIR_COST) -> None:
        """Bounds the errors.

        Args:
            axes: (D, S), orthonormal; how well they are is measured.
            max_share: pairs of two blocks that are multiplied one by one, at most.
        """
        self.axes = axes
        self._max_share = max_share
        num_values, num_axes = axes.shape
        # With W the axes, E = W'W - 1, e >= |E|, computed values a = W'x + z and d >= |z|, and
        # x = Wa + r: W'r = -z - Ea. So x.y is at most a.b + r.s + 2 d + 3 e, and |r|^2 at most
        # |x|^2 - |a|^2 + 2 d + e. The factors are for lengths that are not quite 1.
        wide = axes.astype(np.float64)
        e = 1.1 * float(np.linalg.norm(wide.T @ wide - np.eye(num_axes))) + 1e-9
        d = 1.1 * num_values * FLOAT32_UNIT * num_axes**0.5
        summing = 1.1 * (num_axes + 12) * FLOAT32_UNIT
        self._error = 2 * d + 3 * e + summing
        self._rest_error = 2 * d + e + summing
        self.is_exact_enough = d + e < 0.01
        self._own = threading.local()
        self._num_skipped, self._num_to_skip = 0, 0

    @property
    def num_values(self) -> int:
        """The values of a short row."""
        num_axes: int = self.axes.shape[1]
        return num_axes + 1

    def shorten(self, units: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns (B, S + 1): the first values of unit rows (B, D), and a bound of the rest."""
        short = np.empty((len(units), self.num_values), np.float32)
        first = units @ self.axes
        squares = np.einsum("bs,bs->b", first, first, dtype=np.float64)
        short[:, :-1] = first
        short[:, -1] = np.sqrt(np.maximum(1 - squares, 0) + self._rest_error)
        return short

    def find(
        self,
        source: Block,
        target: Block,
        reached: tuple[NDArray[np.float32], NDArray[np.float32] | None],
    ) -> list[Candidates] | None:
        """Finds each pair of two blocks whose cosine may be what its row must reach.

        Args:
            source: B rows, shortened, and loaded by a `NumpyEngine`.
            target: C rows likewise.
            reached: (B,) and (C,) cosines; None where target rows seek no neighbours.

        Returns:
            Those of the source rows, and of the target rows if they are sought. None where too
            many pairs would be multiplied one by one: a product of whole blocks is faster.
        """
        sought = [side for side in reached if side is not None]
        if any(np.isneginf(side).any() for side in sought) or self._is_to_skip():
            return None
        bounds = self._multiply(source, target)
        is_near = _reaches(bounds, [_below(side, self._error) for side in sought])
        if np.count_nonzero(is_near) > self._max_share * is_near.size:
            # Rows reach more as they see more of the other side: later it may be faster.
            self._num_to_skip = min(2 * self._num_to_skip + 1, _MOST_SKIPPED)
            return None
        self._num_to_skip = 0

        rows, columns = np.divmod(np.flatnonzero(is_near), is_near.shape[1])
        values, error = NumpyEngine.multiply_pairs(source.operand, target.operand, rows, columns)
        found = [_candidates(rows, columns, values, error, sought[0])]
        if len(sought) == 2:
            order = np.argsort(columns, kind="stable")
            turned = columns[order], rows[order], values[order]
            found.append(_candidates(*turned, error, sought[1]))
        return found

    def _is_to_skip(self) -> bool:
        """Says whether blocks have failed of late; after each failure in a row twice as many."""
        is_to_skip = self._num_skipped < self._num_to_skip
        self._num_skipped = self._num_skipped + 1 if is_to_skip else 0
        return is_to_skip

    def _multiply(self, source: Block, target: Block) -> NDArray[np.float32]:
        """Returns (B, C) bounds, valid until the thread's next call."""
        left, right = source.short, target.short
        if left is None or right is None:
            raise ValueError("blocks without short rows: build them with `shorten`")
        shape = len(left), len(right)
        out: NDArray[np.float32] | None = getattr(self._own, "bounds", None)
        if out is None or out.shape != shape:
            out = self._own.bounds = np.empty(shape, np.float32)
        np.matmul(left, right.T, out=out)
        return out


def _reaches(bounds: NDArray[np.float32], reached: list[NDArray[np.float32]]) -> NDArray[np.bool_]:
    """Tells which of (B, C) bounds are what their row must reach, or their column."""
    reaches: NDArray[np.bool_] = bounds >= reached[0][:, None]
    if len(reached) == 2:
        reaches |= bounds >= reached[1]
    return reaches


def _candidates(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    values: NDArray[np.float32],
    error: float,
    reached: NDArray[np.float32],
) -> Candidates:
    is_found = values >= _below(reached, error)[rows]
    rows, columns, values = rows[is_found], columns[is_found], values[is_found]
    lower, upper = _below(values, error), -_below(-values, error)
    return Candidates(rows, columns, lower, upper, is_crowded=False)


def _below(values: NDArray[np.float32], error: float) -> NDArray[np.float32]:
    """Returns float32 numbers that are not above `values` less the error."""
    exact = values.astype(np.float64) - error
    return np.nextafter(exact.astype(np.float32), np.float32(-np.inf))
