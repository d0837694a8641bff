"""One process a folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labse.errors import UsageError

__all__ = ["claim_folder"]


@contextmanager
def claim_folder(folder: Path) -> Iterator[None]:
    """Holds `folder/.lock` for the block; the kernel lets go of it when the process dies.

    Raises:
        UsageError: another process holds it.
    """
    with (folder / ".lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"{folder}: another process is at work there; wait for it, or give another --out"
            ) from None
        yield
