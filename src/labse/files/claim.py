"""One process a folder."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labse.errors import UsageError

__all__ = ["claim_folder"]


@contextmanager
def claim_folder(folder: Path) -> Iterator[None]:
    """Holds `folder/.lock` for the block; the kernel lets go of it when the process dies.

    Raises:
        UsageError: another process holds it; the message names it and its host.
    """
    with (folder / ".lock").open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read(200).strip()
            raise UsageError(
                f"{folder}: another process{holder and f' ({holder})'} is at work there; wait for "
                "it, or give another --out"
            ) from None
        stream.truncate(0)
        stream.write(f"{os.getpid()} on {socket.gethostname()}")
        stream.flush()
        yield
