"""Signals, worker processes, optional packages, kinds of processors and seeds.

Takes: what to do when a signal comes; the name of a package; a seed. Gives: the handler for a
block; the module, or an error that says what to install.
Source: docs/design.md, base install without torch.
"""

import contextlib
import functools
import importlib
import importlib.util
import logging
import multiprocessing
import os
import platform
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TypeAlias
from weakref import WeakSet

from labse.errors import InterruptedRunError, ResourceError

__all__ = [
    "OnProgress",
    "answer_signals",
    "fork_safe_lock",
    "has_fast_bfloat16",
    "has_module",
    "hold_interrupts",
    "is_main_process",
    "require",
    "resumable",
    "seed_everything",
    "start_worker",
    "stop_requests",
    "warn_of_emulation",
]

_LOGGER = logging.getLogger(__name__)

OnProgress: TypeAlias = Callable[[int, int | None], None]
"""Called with the number done and the total, None if that is not known."""


@contextmanager
def answer_signals(
    answer: Callable[[int], object],
    numbers: Sequence[int] = (signal.SIGINT, signal.SIGTERM),
) -> Iterator[None]:
    """Calls `answer` with the number of each signal that arrives during the block.

    Outside of the main thread, where no signal arrives, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = [signal.signal(number, lambda n, _: answer(n)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)


_FORKING = threading.Lock()
_LOCKS: WeakSet[threading.Lock] = WeakSet()
_HELD: list[threading.Lock] = []


def fork_safe_lock() -> threading.Lock:
    """Returns a lock that is free in a forked process: a fork waits until nobody holds it.

    So the copy finds whole what the lock guards. Hold it for short, and no other such lock inside.
    """
    if hasattr(os, "register_at_fork"):  # Windows has no forks.
        _register_locks()
    lock = threading.Lock()
    _LOCKS.add(lock)
    return lock


@cache
def _register_locks() -> None:
    os.register_at_fork(
        before=_hold_locks, after_in_parent=_release_locks, after_in_child=_release_locks
    )


def _hold_locks() -> None:
    _FORKING.acquire()
    for lock in list(_LOCKS):
        lock.acquire()
        _HELD.append(lock)


def _release_locks() -> None:
    while _HELD:
        _HELD.pop().release()
    _FORKING.release()


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Turns SIGINT and SIGTERM into an event that a loop looks at between two steps."""
    requested = threading.Event()
    with answer_signals(lambda _: requested.set()):
        yield requested


@contextmanager
def resumable(folder: str | Path | None) -> Iterator[None]:
    """Ends a block that keeps its work in a folder as one that can go on.

    Raises:
        InterruptedRunError: SIGINT or SIGTERM arrived in the block; without a folder they do what
            they did before it.
    """
    if folder is None:
        yield
        return
    try:
        with answer_signals(_interrupt, (signal.SIGTERM,)):
            yield
    except KeyboardInterrupt:
        message = f"stopped; the same command goes on where it was, in {folder}"
        raise InterruptedRunError(message) from None


def _interrupt(_: int) -> None:
    raise KeyboardInterrupt


@contextmanager
def hold_interrupts() -> Iterator[None]:
    """Lets SIGINT and SIGTERM wait for the end of a short block.

    Their handlers raise, wherever the main thread is: inside `concurrent.futures` that leaves a
    lock locked for ever, on which the threads of the pool then wait.
    """
    arrived: list[int] = []
    try:
        with answer_signals(arrived.append):
            yield
    finally:
        if arrived:
            signal.raise_signal(arrived[0])


def start_worker() -> None:
    """Prepares a worker process: it leaves Ctrl-C to its parent, and ends when that is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


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
        package = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise
        raise ResourceError(
            f'this needs {package}, which is not installed; run: pip install "labse[{extra}]"'
        ) from None


def has_module(name: str) -> bool:
    """Tells whether an optional module is installed, without importing it."""
    with contextlib.suppress(ImportError, ValueError):
        return importlib.util.find_spec(name) is not None
    return False


def has_fast_bfloat16() -> bool:
    """Tells whether this CPU multiplies bfloat16 by itself; else torch emulates it."""
    capabilities = require("torch", "train").cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@functools.cache
def warn_of_emulation(device: str, instead: str) -> None:
    """Warns, once, where bfloat16 is asked for on a CPU that emulates it.

    Args:
        device: where it multiplies, by its name in torch.
        instead: what to ask for.
    """
    # Of other processors than x86 torch does not tell.
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    if is_x86 and device.partition(":")[0] == "cpu" and not has_fast_bfloat16():
        # 8.6 GFLOP/s a core against 72 in float32 (AVX2, torch 2.13, 2026-11-30).
        _LOGGER.warning(
            "bfloat16: this processor has no instructions for it (AVX-512 BF16 or AMX); it takes "
            "up to eight times as long as float32; faster here: %s",
            instead,
        )


def seed_everything(seed: int) -> None:
    """Seeds the global generators of Python, NumPy and torch; the only place that touches them."""
    import numpy as np  # Not at the top: `labse --help` needs this module and not NumPy.

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    require("torch", "train").manual_seed(seed)
