"""Signals that ask a run to stop, answered between two updates."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["stop_requests"]


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Turns SIGTERM and SIGINT into an event that the loop looks at after its update."""
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested  # Only the main thread may set handlers.
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    previous = [signal.signal(number, lambda *_: requested.set()) for number in signals]
    try:
        yield requested
    finally:
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)
