"""The folder where a run keeps what it has done, so that the same command goes on after a kill.

Takes: a folder and what the result depends on. Gives: a place for each stage.
Source: docs/design.md, promises; the stages are lines, vectors, neighbours.
"""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.encoder.protocol import Encoder
from labse.errors import LabseError, ResourceError, UsageError
from labse.files.atomic import read_json, write_json
from labse.mining.line_store import LineStore, open_line_store, write_line_store
from labse.mining.vectors import Rows, encoded_lines, given_rows, write_vectors
from labse.search.knn import OnProgress

__all__ = [
    "EmbeddedSide",
    "embed_side",
    "open_workplace",
]

_KEY_NAME = "work.json"


@dataclass(frozen=True, slots=True)
class EmbeddedSide:
    """The distinct lines of one side and their vectors (U, D)."""

    lines: LineStore
    vectors: NDArray[np.float32]


@contextlib.contextmanager
def open_workplace(folder: Path | None, key: Mapping[str, object]) -> Iterator[Path]:
    """Gives the folder, made if need be; None gives one that is removed at the end.

    Args:
        folder: kept, for the same command to go on with.
        key: all that the stages depend on; a folder of another key is refused.

    Raises:
        UsageError: the folder is that of other inputs or options, or holds something else.
        ResourceError: it cannot be made.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="labse-") as name:
            yield Path(name)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise ResourceError(f"{folder}: cannot be made: {error.strerror}") from None
    if is_empty:
        write_json(folder / _KEY_NAME, key)
    elif not (folder / _KEY_NAME).exists():
        raise UsageError(f"{folder}: holds other files; give a new or empty folder")
    elif differing := _differences(read_json(folder / _KEY_NAME), key):
        raise UsageError(
            f"{folder}: was begun with another {' and '.join(differing)}; give another folder, or "
            "delete this one to start anew"
        )
    yield folder


def _differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    return [name for name in now if before.get(name) != now[name]]


def embed_side(
    name: str,
    lines: Iterable[str],
    vectors: Encoder | Rows,
    folder: Path,
    on_progress: OnProgress | None = None,
) -> EmbeddedSide:
    """Unifies the lines of a side and embeds each distinct one, or picks its vector.

    Args:
        name: of the side, for messages.
        lines: all of them, blank and repeated ones included; not read where an earlier run did.
        vectors: an encoder, or rows of which row i belongs to line i.
        folder: the workplace.
        on_progress: called with the distinct lines done and their number.

    Raises:
        LabseError: broken lines or vectors, or unequal numbers of them.
    """
    place = folder / name
    place.mkdir(exist_ok=True)
    try:
        store = open_line_store(place)
    except FileNotFoundError:
        store = write_line_store(lines, place)
    if not isinstance(vectors, Rows):
        source = encoded_lines(vectors, store)
    else:
        if len(store.distinct) != vectors.shape[0]:
            raise LabseError(
                f"{name}: {len(store.distinct)} lines and {vectors.shape[0]} vectors; row i must "
                "be the vector of line i"
            )
        source = given_rows(vectors, store.first_lines, name)
    return EmbeddedSide(store, write_vectors(source, len(store), place, on_progress))
