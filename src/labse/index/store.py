"""What an engine must do to keep an index, and the note on what model its vectors are of.

Takes: rows with unit vectors. Gives: the protocol that all adapters keep, `VectorStore`.
Source: docs/design.md, "Decisions": existing engines, embedded by default, a server beside.

Dimensions: N rows, M questions, D embedding.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError, UsageError
from labse.index.rows import MAX_COLUMNS, OWN_COLUMNS, Hit, IndexRow
from labse.index.where import Where, iter_names

__all__ = [
    "Closable",
    "StoreHeader",
    "StoreInfo",
    "VectorStore",
    "check_names",
    "close_on_error",
    "extend_columns",
    "point_id",
    "sort_hits",
]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class StoreHeader:
    """What a store knows of its vectors.

    Attributes:
        model_sha256: identity of the model that made them.
        embedding_size: D.
        model: the model as it was named, None for the one that comes with labse.
        columns: of the metadata.
    """

    model_sha256: str
    embedding_size: int
    model: str | None = None
    columns: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Returns what `from_json` reads."""
        return {"kind": "index", "format": FORMAT, **asdict(self), "columns": list(self.columns)}

    @classmethod
    def from_json(cls, value: Mapping[str, object], where: str) -> Self:
        """Reads a header.

        Raises:
            LabseError: it is none, or of a later version of labse.
        """
        if value.get("kind") != "index":
            raise LabseError(f"{where}: is not an index; labse index FILES --out makes one")
        if value.get("format") != FORMAT:
            raise LabseError(
                f"{where}: an index of format {value.get('format')!r}; this labse reads {FORMAT}"
            )
        match value:
            case {
                "model_sha256": str(model_sha256),
                "embedding_size": int(size),
                "model": str() | None as model,
                "columns": list(columns),
            }:
                return cls(model_sha256, size, model, tuple(map(str, columns)))
        raise LabseError(f"{where}: the note of what the index is of is damaged")


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """The state of a store.

    Attributes:
        engine: name and version.
        num_rows: that are there.
        num_compacted: rows whose small vectors or graph a search uses; the others are scanned.
        is_graph: whether it searches a graph; else it scans.
        num_bytes: on the disk; None where the engine does not tell.
    """

    engine: str
    num_rows: int
    num_compacted: int
    is_graph: bool
    num_bytes: int | None


class VectorStore(Protocol):
    """Rows, kept and searched by an engine; may be called from several threads."""

    header: StoreHeader
    folder: Path | None
    """Where it lies; None: on a server."""
    name: str
    """For messages: the folder, or the address without its password."""

    def add(self, rows: Sequence[IndexRow], embeddings: NDArray[np.float32]) -> int:
        """Stores rows, ids distinct, and returns how many replaced one.

        When it returns, the rows outlive the process, however that ends.

        Args:
            rows: N of them.
            embeddings: (N, D) unit rows.
        """
        ...

    def delete(self, ids: Sequence[str]) -> int:
        """Deletes the rows of these ids and returns how many there were."""
        ...

    def search(
        self, queries: NDArray[np.float32], k: int, where: Where | None = None
    ) -> list[list[Hit]]:
        """Returns for each of (M, D) unit queries the k nearest rows, the best first."""
        ...

    def count(self, where: Where | None = None) -> int:
        """Returns how many rows there are, or for how many a condition is true."""
        ...

    def read(self, ids: Sequence[str]) -> list[IndexRow]:
        """Returns the rows of these ids that are there, in their order."""
        ...

    def scan(
        self, batch_rows: int, where: Where | None = None
    ) -> Iterator[tuple[list[IndexRow], NDArray[np.float32]]]:
        """Yields rows with their vectors, in an order of its own."""
        ...

    def compact(self, *, graph: bool | None = None) -> None:
        """Frees what was deleted and makes searches fast.

        Args:
            graph: whether to build a graph; None: as it was built before.
        """
        ...

    def info(self) -> StoreInfo:
        """Returns the state."""
        ...

    def close(self) -> None:
        """Lets go of the store; it may be called twice."""
        ...


class Closable(Protocol):
    """What holds something."""

    def close(self) -> None:
        """Lets go of it."""
        ...


def point_id(row_id: str) -> str:
    """Returns the UUID under which an engine keeps a row: 128 bits of BLAKE2b of its id."""
    digits = hashlib.blake2b(row_id.encode(), digest_size=16).hexdigest()
    # Without an object of Python's class it takes a third of the time.
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def extend_columns(header: StoreHeader, names: Sequence[str]) -> StoreHeader:
    """Returns the header with further columns.

    Raises:
        LabseError: they would be too many.
    """
    new = [name for name in names if name not in header.columns]
    if len(header.columns) + len(new) > MAX_COLUMNS:
        raise LabseError(
            f"over {MAX_COLUMNS} columns of metadata, such as {new[0]!r}; keep those that are "
            "filtered by or read"
        )
    return replace(header, columns=(*header.columns, *new)) if new else header


def check_names(where: Where, header: StoreHeader) -> None:
    """Checks that the index has the columns of a condition.

    Raises:
        UsageError: it does not have one; the message lists those there are.
    """
    known = (*OWN_COLUMNS, *header.columns)
    for name in iter_names(where):
        if name not in known:
            shown = ", ".join(known[:20]) + (" and more" if len(known) > 20 else "")
            raise UsageError(f"no column {name!r} in the index; it has {shown}")


@contextmanager
def close_on_error(store: Closable) -> Iterator[None]:
    """Closes a store if the block that makes or opens it fails."""
    try:
        yield
    except BaseException:
        store.close()
        raise


def sort_hits(hits: Sequence[Hit]) -> list[Hit]:
    """Returns them with the best first, equal scores by id."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))
