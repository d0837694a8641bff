"""The indexes that a server may search: those in one folder, and some on other servers.

Takes: a folder, addresses, the encoder. Gives: what a function finds in an index of them.
An index in a folder is held by one process at a time, so it is let go of when nobody has searched
for a while: `labse index add` can then write, and the next search opens it again.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError, ResourceError, UsageError
from labse.files.atomic import MANIFEST_NAME, read_json
from labse.files.system import real_path
from labse.index.embedding_index import EmbeddingIndex
from labse.index.store import StoreHeader
from labse.serving.answers import ApiError

__all__ = ["Stores"]

_LOGGER = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(slots=True)
class _OpenIndex:
    index: EmbeddingIndex
    num_users: int = 0
    timer: threading.Timer | None = None


class Stores:
    """The indexes below a folder and on servers; safe to call from several threads."""

    def __init__(
        self,
        folder: Path | None,
        encoder: SentenceEncoder,
        *,
        servers: Mapping[str, str] = MappingProxyType({}),
        idle_seconds: float = 5.0,
    ) -> None:
        """Opens nothing yet.

        Args:
            folder: whose folders are indexes, or that is one; None: there is no index.
            encoder: of the model of the indexes.
            servers: addresses of indexes on servers, by name.
            idle_seconds: after which an index that nobody uses is let go of.
        """
        self._folder, self._encoder, self._servers = folder, encoder, dict(servers)
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._open: dict[str, _OpenIndex] = {}

    def list_names(self) -> list[str]:
        """Returns the names of the indexes, those of their folders and of the addresses."""
        return sorted({*self._paths(), *self._servers})

    def use(self, name: str, function: Callable[[EmbeddingIndex], _T]) -> _T:
        """Calls a function with an index.

        Raises:
            ApiError: there is none of this name, it is of another model, another process holds it,
                or the function asks for what is not there; no sentence holds a path.
        """
        path = self._servers.get(name) or self._paths().get(name)
        if path is None:
            known = ", ".join(self.list_names()) or "none"
            raise ApiError(404, f"there is no store {name[:100]!r}; there is: {known}")
        try:
            opened = self._acquire(name, path)
            try:
                return function(opened.index)
            finally:
                self._release(name, opened)
        except ResourceError as error:  # It may name an address with a password.
            _LOGGER.error("the store %s: %s", name, error)
            wait = {"Retry-After": "5"}
            raise ApiError(503, f"the store {name} cannot be reached", headers=wait) from None
        except (LabseError, ValueError) as error:
            raise ApiError(422, _without_path(str(error), path, name)) from None

    def close(self) -> None:
        """Lets go of all; nobody may be searching."""
        with self._lock:
            for opened in self._open.values():
                if opened.timer is not None:
                    opened.timer.cancel()
                opened.index.close()
            self._open.clear()

    def _paths(self) -> dict[str, Path]:
        """Returns the folders that hold an index: those below the one given, or that itself."""
        if self._folder is None:
            return {}
        if (self._folder / MANIFEST_NAME).is_file():
            return {real_path(self._folder).name: self._folder}
        return {path.parent.name: path.parent for path in self._folder.glob(f"*/{MANIFEST_NAME}")}

    def _acquire(self, name: str, path: str | Path) -> _OpenIndex:
        with self._lock:
            opened = self._open.get(name)
            if opened is None:
                opened = self._open[name] = _OpenIndex(self._open_index(path, name))
            opened.num_users += 1
            if opened.timer is not None:
                opened.timer.cancel()
                opened.timer = None
            return opened

    def _check_model(self, path: Path, name: str) -> None:
        header = StoreHeader.from_json(read_json(path / MANIFEST_NAME), name)
        if header.model_sha256 != self._encoder.hash_model():
            raise ApiError(
                422,
                f"the store {name} holds vectors of another model "
                f"({header.model or 'the one that comes with labse'}); start a server with that "
                "model, or index its texts anew",
            )

    def _open_index(self, path: str | Path, name: str) -> EmbeddingIndex:
        if isinstance(path, str):
            return EmbeddingIndex.open(path, encoder=self._encoder)
        self._check_model(path, name)
        try:
            return EmbeddingIndex.open(path, encoder=self._encoder)
        except UsageError:  # Its model was checked before.
            raise ApiError(
                503,
                f"another process is writing the store {name}",
                headers={"Retry-After": "5"},
            ) from None

    def _release(self, name: str, opened: _OpenIndex) -> None:
        with self._lock:
            opened.num_users -= 1
            if not opened.num_users and self._open.get(name) is opened:
                opened.timer = threading.Timer(self._idle_seconds, self._close_idle, (name, opened))
                opened.timer.daemon = True
                opened.timer.start()

    def _close_idle(self, name: str, opened: _OpenIndex) -> None:
        with self._lock:
            # Its timer may have been cancelled a moment too late.
            if not opened.num_users and self._open.get(name) is opened:
                del self._open[name]
                opened.index.close()


def _without_path(message: str, path: str | Path, name: str) -> str:
    spellings = [str(path)]
    if isinstance(path, Path):
        spellings += [str(path.absolute()), str(real_path(path))]
    for spelling in spellings:
        message = message.replace(spelling, name)
    return message
