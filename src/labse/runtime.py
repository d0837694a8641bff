"""Optional packages, seeds, and signals at a bad time.

Takes: the name of a package or a seed. Gives: the module, or an error that says what to install.
Source: docs/design.md, base install without torch.
"""

import importlib
import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np

from labse.errors import ResourceError

__all__ = ["hold_interrupts", "is_main_process", "require", "seed_everything"]


@contextmanager
def hold_interrupts() -> Iterator[None]:
    """Lets SIGINT and SIGTERM wait for the end of a short block.

    Their handlers raise, wherever the main thread is: inside `concurrent.futures` that leaves a
    lock locked for ever, on which the threads of the pool then wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Signals do not come here.
        return
    arrived: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, lambda n, _: arrived.append(n)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])


def is_main_process() -> bool:
    """Says whether this process is the only one, or the first of those that torchrun started."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


def require(module: str, extra: str) -> ModuleType:
    """Imports an optional module.

    Raises:
        ResourceError: it is not installed; the message names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise ResourceError(
            f'this needs {error.name}, which is not installed; run: pip install "labse[{extra}]"'
        ) from None


def seed_everything(seed: int) -> None:
    """Seeds the global generators of Python, NumPy and torch; the only place that touches them."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    require("torch", "train").manual_seed(seed)
