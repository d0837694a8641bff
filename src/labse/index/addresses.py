"""Where an index lies: a folder, or a server by its address.

Takes: a path or an address. Gives: the store of the engine that is meant.
"""

import time
from pathlib import Path

from labse.errors import UsageError
from labse.index.edge_store import EdgeStore
from labse.index.postgres_store import PostgresStore
from labse.index.qdrant_store import QdrantStore
from labse.index.store import StoreHeader, VectorStore

__all__ = ["DEFAULT_MEMORY", "create_store", "is_server", "open_store"]

DEFAULT_MEMORY = 1 << 30

_POLL_SECONDS = 0.05
_SERVERS: dict[str, type[QdrantStore] | type[PostgresStore]] = {
    "qdrant": QdrantStore,
    "qdrants": QdrantStore,
    "postgresql": PostgresStore,
    "postgres": PostgresStore,
}


def is_server(address: str | Path) -> bool:
    """Tells whether an address is that of a server, not a folder."""
    return isinstance(address, str) and "://" in address


def create_store(
    address: str | Path, header: StoreHeader, *, memory_bytes: int = DEFAULT_MEMORY
) -> VectorStore:
    """Makes an empty store.

    Args:
        address: a folder that is empty or not there; `qdrant://HOST:PORT/NAME`, or `qdrants://`
            over TLS; or `postgresql://USER@HOST/DATABASE?table=NAME`.
        header: what its vectors will be of.
        memory_bytes: for vectors that are held; a server has its own bounds.

    Raises:
        UsageError: something is there, or the address is none.
        ResourceError: it cannot be written or reached, or the engine's package is missing.
    """
    if is_server(address):
        return _server(str(address)).create(str(address), header)
    return EdgeStore.create(Path(address), header, memory_bytes=memory_bytes)


def open_store(
    address: str | Path, *, memory_bytes: int = DEFAULT_MEMORY, wait_seconds: float = 0.0
) -> VectorStore:
    """Opens a store, and holds a folder until it is closed.

    Args:
        address: see `create_store`.
        memory_bytes: see `create_store`.
        wait_seconds: for a process that holds a folder to let go.

    Raises:
        LabseError: it is no store, or damaged.
        UsageError: another process holds it, or the address is none.
        ResourceError: it cannot be reached, or the engine's package is missing.
    """
    if is_server(address):
        return _server(str(address)).open(str(address))
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return EdgeStore.open(Path(address), memory_bytes=memory_bytes)
        except UsageError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_POLL_SECONDS)


def _server(address: str) -> type[QdrantStore] | type[PostgresStore]:
    scheme = address.partition("://")[0]
    if scheme not in _SERVERS:
        known = ", ".join(f"{name}://" for name in _SERVERS)
        raise UsageError(f"{scheme}://: not the address of an index; give a folder, or {known}")
    return _SERVERS[scheme]
