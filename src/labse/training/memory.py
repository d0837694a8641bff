"""A device that is full, told as what it is.

Takes: the block that may fill it. Gives: an error that says what to lower.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from labse.errors import ResourceError

__all__ = ["memory_errors"]


@contextmanager
def memory_errors(advice: str) -> Iterator[None]:
    """Makes an allocation that fails in the block a ResourceError with `advice`.

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
