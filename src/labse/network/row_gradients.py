"""Row-sparse gradients of a table that many passes add to.

torch adds one sparse gradient to another by laying their rows end to end: after n passes, each of
which has copied all rows before it, there are n rows for a frequent piece. Gradient caching makes a
hundred passes a step.
"""

import weakref

from torch import Tensor

__all__ = ["RowMerger"]

_LEAST_ROWS = 1 << 15  # 50 MB of 384 floats: below it nothing is gained.


class RowMerger:
    """Sums the rows of one piece when a gradient has twice as many as when they were last summed.

    The copies of all passes of a step are then within twice the distinct rows, and the sums cost as
    much as one over all rows. When rows are summed decides on their rounding, so each step begins
    anew: its gradient has the same bits in a run that goes on from a checkpoint before it.
    """

    def __init__(self, least_rows: int = _LEAST_ROWS) -> None:
        self.least_rows = least_rows
        self._most_rows = least_rows

    def watch(self, table: Tensor) -> None:
        """Merges the gradient of a leaf, from now on, after each pass that has added to it."""
        reference = weakref.ref(table)  # The table holds what it calls.

        def begin(_: Tensor) -> None:
            watched = reference()
            if watched is not None and watched.grad is None:
                self._most_rows = self.least_rows

        table.register_hook(begin)  # type: ignore[no-untyped-call]
        table.register_post_accumulate_grad_hook(self)  # type: ignore[no-untyped-call]

    def __call__(self, table: Tensor) -> None:
        """Replaces the gradient of `table`, where it is sparse and has grown, by an equal one."""
        gradient = table.grad
        if gradient is None or not gradient.is_sparse or gradient._nnz() <= self._most_rows:
            return
        table.grad = gradient = gradient.coalesce()
        self._most_rows = max(2 * gradient._nnz(), self.least_rows)
