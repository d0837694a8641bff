"""What every training run does around its steps, whatever it trains.

Takes: a folder, a stage's own functions. Gives: a claimed folder, joined processes, clean errors.
Source: docs/design.md, promises: the same command goes on where it was.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from labse.errors import ResourceError

__all__ = ["OnMetrics", "OnProgress", "join_callbacks", "memory_errors"]

OnMetrics = Callable[[Mapping[str, float]], None]
OnProgress = Callable[[int, int | None], None]


def join_callbacks(
    on_metrics: OnMetrics | None, on_progress: OnProgress | None, *, train_steps: int
) -> OnMetrics:
    """Returns what a training loop calls with each row of metrics."""

    def record(row: Mapping[str, float]) -> None:
        if on_metrics:
            on_metrics(row)
        if on_progress and "loss" in row:
            on_progress(int(row["step"]), train_steps)

    return record


@contextmanager
def memory_errors(advice: str) -> Iterator[None]:
    """Makes an allocation that fails in the block a ResourceError that says what to lower.

    Raises:
        ResourceError: the device has too little memory.
    """
    try:
        yield
    except RuntimeError as error:
        # A CPU's allocator has no class of its own for it.
        is_out = isinstance(error, torch.OutOfMemoryError)
        if not (is_out or "can't allocate memory" in str(error)):
            raise
        raise ResourceError(f"the device has too little memory; {advice}") from None
