"""The folder where a run keeps what it has done, so that the same command goes on after a kill.

Takes: a folder and what the result depends on. Gives: a place for each stage.
Source: docs/design.md, promises; the stages are lines, vectors, neighbours.
"""

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from labse.encoder.protocol import Encoder
from labse.errors import LabseError, ResourceError, UsageError
from labse.files.atomic import read_json, write_json
from labse.mining.line_store import LineStore, open_line_store, write_line_store
from labse.mining.vectors import Rows, encoded_lines, given_rows, write_vectors
from labse.search.approximate import IndexKind, approximate_neighbours
from labse.search.knn import MutualNeighbours, Neighbours
from labse.search.parts import search_in_parts

__all__ = [
    "EmbeddedSide",
    "IndexChoice",
    "choose_index",
    "embed_side",
    "find_neighbours",
    "open_workplace",
]

_LOGGER = logging.getLogger(__name__)
# 2,000,000 x 2,000,000: two to four hours on two cores.
_EXACT_PRODUCTS = 4 * 10**12

_KEY_NAME = "work.json"

Report = Callable[[int], None]
IndexChoice: TypeAlias = Literal["auto", "exact"] | IndexKind


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
    report: Report | None = None,
) -> EmbeddedSide:
    """Unifies the lines of a side and embeds each distinct one, or picks its vector.

    Args:
        name: of the side, for messages.
        lines: all of them, blank and repeated ones included; not read where an earlier run did.
        vectors: an encoder, or rows of which row i belongs to line i.
        folder: the workplace.
        report: called with the number of distinct lines done.

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
    return EmbeddedSide(store, write_vectors(source, len(store), place, report))


def choose_index(
    index: IndexChoice, num_source: int, num_target: int
) -> Literal["exact"] | IndexKind:
    """Resolves "auto": exact as long as that takes hours, not days, on a few cores."""
    if index != "auto":
        return index
    return "exact" if num_source * num_target <= _EXACT_PRODUCTS else "ivf-sq"


def find_neighbours(
    source: EmbeddedSide,
    target: EmbeddedSide,
    k: int,
    folder: Path,
    *,
    memory_bytes: int,
    index: IndexChoice = "auto",
    device: str = "auto",
    report: Report | None = None,
) -> MutualNeighbours:
    """Finds the neighbours of the distinct lines of both sides among each other.

    Raises:
        LabseError: the sides have vectors of different widths.
        UsageError: an index is wanted on a device.
        ResourceError: an index is wanted and faiss is not installed, or the device is not there.
    """
    sizes = len(source.lines), len(target.lines)
    if 0 in sizes:
        return MutualNeighbours(*(_no_neighbours(size) for size in sizes))
    widths = source.vectors.shape[1], target.vectors.shape[1]
    if widths[0] != widths[1]:
        raise LabseError(
            f"the source has {widths[0]} dimensions and the target {widths[1]}; embed both with "
            "the same model"
        )
    kind = choose_index(index, *sizes)
    if kind == "exact":
        return search_in_parts(
            source.vectors,
            target.vectors,
            k,
            folder,
            memory_bytes=memory_bytes,
            device=device,
            report=report,
        )
    if device not in ("auto", "cpu"):
        raise UsageError(f"{kind} searches on the CPU, not on {device}; take --index exact")
    found = []
    for name, queries, corpus in (
        ("source", source.vectors, target.vectors),
        ("target", target.vectors, source.vectors),
    ):
        searched = approximate_neighbours(queries, corpus, k, index=kind, report=report)
        _LOGGER.info(
            "index %s, %s side: recall %.3f of the exact neighbours (%d rows sampled)",
            *(kind, name, searched.recall, searched.num_sampled),
        )
        found.append(searched.found)
    return MutualNeighbours(*found)


def _no_neighbours(num_rows: int) -> Neighbours:
    return Neighbours(np.zeros((num_rows, 0), np.int64), np.zeros((num_rows, 0), np.float32))
