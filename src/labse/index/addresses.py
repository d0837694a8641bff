"""Where an index lies: a folder, or a server by its address.

Takes: a path or an address. Gives: the store of the engine that is meant.
"""

import time
from pathlib import Path

from labse.errors import UsageError
from labse.index.edge_store import EdgeStore
from labse.index.store import StoreHeader, VectorStore

__all__ = ["DEFAULT_MEMORY", "create_store", "is_server", "open_store"]

DEFAULT_MEMORY = 1 << 30
_POLL_SECONDS = 0.05


def is_server(address: str | Path) -> bool:
    """Tells whether an address is that of a server, not a folder."""
    return "://" in str(address)


def create_store(
    address: str | Path, header: StoreHeader, *, memory_bytes: int = DEFAULT_MEMORY
) -> VectorStore:
    """Makes an empty store.

    Args:
        address: of a folder that is empty or not there.
        header: what its vectors will be of.
        memory_bytes: for vectors that are held.

    Raises:
        UsageError: something is there.
        ResourceError: it cannot be written, or the engine's package is missing.
    """
    return EdgeStore.create(Path(address), header, memory_bytes=memory_bytes)


def open_store(
    address: str | Path, *, memory_bytes: int = DEFAULT_MEMORY, wait_seconds: float = 0.0
) -> VectorStore:
    """Opens a store, and holds a folder until it is closed.

    Args:
        address: see `create_store`.
        memory_bytes: see `create_store`.
        wait_seconds: for a process that holds it to let go.

    Raises:
        LabseError: it is no store, or damaged.
        UsageError: another process holds it.
        ResourceError: the engine's package is missing.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return EdgeStore.open(Path(address), memory_bytes=memory_bytes)
        except UsageError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_POLL_SECONDS)
