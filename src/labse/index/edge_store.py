"""The embedded store: a shard of Qdrant Edge in a folder, held by one process.

Takes: a folder. Gives: a `VectorStore` in this process.
Source: qdrant-edge-py 0.9, a beta whose version is pinned; only this module and `edge_config` touch
it.

Added rows are scanned in float32. `compact` makes vectors of two bits a value, which are scanned
several times as fast; the best some hundred are rescored in float32. Or it makes a graph (HNSW)
over 8-bit vectors. While many rows are added, each 200,000 become a part that is compacted and
left alone: parts are searched in parallel.
"""

import contextlib
import shutil
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from labse import __version__
from labse.errors import LabseError, ResourceError, UsageError
from labse.files.atomic import (
    MANIFEST_NAME,
    claim_folder,
    files_in,
    make_folder,
    read_json,
    write_json,
)
from labse.files.scratch import find_final_name
from labse.index.edge_config import (
    MOST_PART_ROWS,
    PART_ROWS,
    build_config,
    build_params,
    edge_filter,
    require_edge,
    small_bytes,
)
from labse.index.qdrant_payload import field_path, to_hit, to_payload, to_row, truth_path
from labse.index.rows import Hit, IndexRow, columns_of
from labse.index.store import (
    StoreHeader,
    StoreInfo,
    extend_columns,
    point_id,
    sort_hits,
)
from labse.index.where import Where

__all__ = ["EdgeStore"]

_SHARD = "shard"
_HINT = "wait for it, or ask that process"
_BATCH_ROWS = 1000
_BEGUN = "being made"
_FLUSH_SECONDS = 10.0
_SPARE_BYTES = 96 << 20  # The engine takes files of 32 MiB for its log, vectors and payloads.
_MAX_INDEXED = 32  # Columns with an index of their own.
# What the engine says, written in Rust, of limits of the machine.
_FULL = "the disk is full"
_LIMITS = {"No space left": _FULL, "os error 28": _FULL, "StorageFull": _FULL}
_LIMITS |= {"FileTooLarge": "File too large", "os error 24": "Too many open files"}


class EdgeStore:
    """A folder with a shard and a manifest; see `VectorStore`."""

    def __init__(self, folder: Path, header: StoreHeader, memory_bytes: int) -> None:
        """Is called by `create` and `open`, which hold the folder."""
        self.header = header
        self.folder: Path | None = folder
        self.name = str(folder)
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._edge = require_edge()
        self._stack = contextlib.ExitStack()
        self._shard: Any = None
        self._check_held: Callable[[], None] = lambda: None
        self._is_graph = False
        self._num_rows = 0  # When it was compacted.
        self._num_added = 0  # Since then.
        self._num_parts = 1  # Of like size; 1 if one is larger than the others may be.
        self._compacting = threading.Lock()
        self._flushed = time.monotonic()

    @classmethod
    def create(cls, folder: Path, header: StoreHeader, *, memory_bytes: int) -> Self:
        """Makes an empty store.

        Raises:
            UsageError: the folder holds something.
            ResourceError: it cannot be written, or the engine is not installed.
        """
        require_edge()
        is_begun = (folder / MANIFEST_NAME).is_file() and _is_begun(
            read_json(folder / MANIFEST_NAME)
        )
        if not is_begun and any(_is_of_others(file) for file in files_in(folder)):
            raise UsageError(f"{folder}: is not empty; labse index add adds to an index")
        make_folder(folder)
        store = cls(folder, header, memory_bytes)
        store._check_space(0)
        with store._stack as stack:
            store._check_held = stack.enter_context(claim_folder(folder, hint=_HINT))
            # A folder with this note is ours to begin anew.
            write_json(folder / MANIFEST_NAME, {**header.to_json(), "state": _BEGUN})
            shutil.rmtree(folder / _SHARD, ignore_errors=True)
            store._shard = store._call(
                store._edge.EdgeShard.create, str(folder / _SHARD), store._config()
            )
            store._add_index("lang", is_text=True)
            store._write_header()
            store._stack = stack.pop_all()
        return store

    @classmethod
    def open(cls, folder: Path, *, memory_bytes: int) -> Self:
        """Opens a store and holds it until `close`.

        Raises:
            LabseError: it is none, or damaged.
            UsageError: another process holds it.
        """
        require_edge()
        if not folder.is_dir():
            raise LabseError(f"{folder}: no such index; labse index FILES --out {folder} makes it")
        if not (folder / MANIFEST_NAME).is_file():
            raise LabseError(f"{folder}: is not an index; labse index FILES --out makes one")
        manifest = read_json(folder / MANIFEST_NAME)
        header = StoreHeader.from_json(manifest, str(folder))
        store = cls(folder, header, memory_bytes)
        with store._stack as stack:
            store._check_held = stack.enter_context(claim_folder(folder, hint=_HINT))
            # Read again: another process may have changed it before it let go.
            manifest = read_json(folder / MANIFEST_NAME)
            store.header = StoreHeader.from_json(manifest, str(folder))
            if _is_begun(manifest):
                raise LabseError(
                    f"{folder}: its making was stopped before it held a row; make it again"
                )
            store._is_graph = manifest.get("is_graph") is True
            num_rows = manifest.get("num_compacted")
            store._num_rows = num_rows if isinstance(num_rows, int) else 0
            if not (folder / _SHARD / "segments").is_dir():
                raise LabseError(f"{folder}: its shard is missing; copy the folder again")
            store._check_space(0)
            _remove_left(folder / _SHARD)
            store._load()
            store._stack = stack.pop_all()
        return store

    def add(self, rows: Sequence[IndexRow], embeddings: NDArray[np.float32]) -> int:
        """See `VectorStore`."""
        self._extend_columns(rows)
        num_replaced = 0
        for start in range(0, len(rows), _BATCH_ROWS):
            part = rows[start : start + _BATCH_ROWS]
            self._check_space(sum(self._row_bytes + 8 * len(row.text) for row in part))
            ids = [point_id(row.id) for row in part]
            num_replaced += len(self._call(self._shard.retrieve, ids, False, False))
            vectors = np.ascontiguousarray(embeddings[start : start + _BATCH_ROWS], np.float32)
            # An array is read three times as fast as a list.
            points = [
                self._edge.Point(number, array("f", vector.tobytes()), to_payload(row))
                for number, vector, row in zip(ids, vectors, part, strict=True)
            ]
            self._update("upsert_points", points)
            self._num_added += len(part)
            self._compact_part()
        self._flush_at_times()
        return num_replaced

    def delete(self, ids: Sequence[str]) -> int:
        """See `VectorStore`."""
        numbers = [point_id(row_id) for row_id in dict.fromkeys(ids)]
        num_found = 0
        for start in range(0, len(numbers), _BATCH_ROWS):
            part = numbers[start : start + _BATCH_ROWS]
            num_found += len(self._call(self._shard.retrieve, part, False, False))
            self._update("delete_points", part)
        self._flush_at_times()
        return num_found

    def search(
        self, queries: NDArray[np.float32], k: int, where: Where | None = None
    ) -> list[list[Hit]]:
        """See `VectorStore`."""
        edge = self._edge
        condition = edge_filter(where)
        size = self.header.embedding_size
        params = build_params(k, self._num_parts, size, is_graph=self._is_graph)
        found = []
        for query in queries.tolist():
            request = edge.QueryRequest(
                limit=k,
                query=edge.Query.Nearest(query),
                filter=condition,
                params=params,
                with_payload=True,
            )
            points = self._call(self._shard.query, request)
            found.append(sort_hits([to_hit(point.score, point.payload) for point in points]))
        return found

    def count(self, where: Where | None = None) -> int:
        """See `VectorStore`."""
        condition = edge_filter(where)
        request = self._edge.CountRequest(exact=True, filter=condition)
        return int(self._call(self._shard.count, request))

    def read(self, ids: Sequence[str]) -> list[IndexRow]:
        """See `VectorStore`."""
        numbers = [point_id(row_id) for row_id in ids]
        found = {}
        for start in range(0, len(numbers), _BATCH_ROWS):
            part = numbers[start : start + _BATCH_ROWS]
            for record in self._call(self._shard.retrieve, part, True, False):
                found[str(record.id)] = to_row(record.payload)
        return [found[number] for number in numbers if number in found]

    def scan(
        self, batch_rows: int, where: Where | None = None
    ) -> Iterator[tuple[list[IndexRow], NDArray[np.float32]]]:
        """See `VectorStore`."""
        offset, condition = None, edge_filter(where)
        while True:
            request = self._edge.ScrollRequest(
                offset=offset,
                limit=batch_rows,
                filter=condition,
                with_payload=True,
                with_vector=True,
            )
            records, offset = self._call(self._shard.scroll, request)
            if records:
                vectors = np.array([record.vector for record in records], np.float32)
                yield [to_row(record.payload) for record in records], vectors
            if offset is None:
                return

    def compact(self, *, graph: bool | None = None) -> None:
        """See `VectorStore`; small stores are scanned in float32 as they are."""
        if graph is not None:
            self._is_graph = graph
        self._num_rows, self._num_added = self._call(self._shard.info).points_count, 0
        self._check_space(self._num_rows * self._row_bytes)  # All is written anew.
        self._call(self._shard.flush)
        self._call(self._shard.close)
        self._write_header()
        self._load()
        self._call(self._shard.optimize)
        self._num_parts = self._count_parts()
        self._call(self._shard.flush)

    def info(self) -> StoreInfo:
        """See `VectorStore`."""
        info = self._call(self._shard.info)
        num_bytes = 0
        for file in files_in(self._folder):
            with contextlib.suppress(FileNotFoundError):  # The engine makes files meanwhile.
                num_bytes += file.stat().st_blocks * 512
        return StoreInfo(
            f"qdrant-edge {self._edge_version()}",
            self.count(),
            min(info.indexed_vectors_count, info.points_count),
            self._is_graph,
            num_bytes,
        )

    def close(self) -> None:
        """See `VectorStore`."""
        shard, self._shard = self._shard, None
        with self._stack:
            if shard is not None:
                self._call(shard.flush)
                self._call(shard.close)

    # ---- the engine ----------------------------------------------------------------------------

    def _load(self) -> None:
        path = str(self._folder / _SHARD)
        self._shard = self._call(self._edge.EdgeShard.load, path, self._config())
        self._num_parts = self._count_parts()

    def _config(self) -> object:
        # What does not fit is mapped from the disk in place of being held.
        is_held = self._fits(self._num_rows)
        return build_config(self.header.embedding_size, is_graph=self._is_graph, is_held=is_held)

    def _compact_part(self) -> None:
        """Compacts what was added, if it is enough for a part; building a graph is asked for."""
        is_due = self._num_added >= PART_ROWS and not self._is_graph
        if not is_due or not self._compacting.acquire(blocking=False):
            return
        try:
            num_rows = self._call(self._shard.info).points_count
            if self._fits(num_rows + PART_ROWS):  # Else `compact` reads them from the disk.
                self._check_space(2 * PART_ROWS * self._row_bytes)
                self._call(self._shard.optimize)
                self._num_rows = num_rows
                self._num_parts = self._count_parts()
                self._write_header()
            self._num_added = 0
        finally:
            self._compacting.release()

    def _count_parts(self) -> int:
        num_there = self._call(self._shard.info).segments_count - 1  # One takes what is added.
        num_full = self._num_rows // MOST_PART_ROWS
        return num_full if 1 <= num_full <= num_there else 1

    def _fits(self, num_rows: int) -> bool:
        """Tells whether the small vectors of so many rows may be held."""
        num_bytes = num_rows * small_bytes(self.header.embedding_size, is_graph=self._is_graph)
        return num_bytes <= self._memory_bytes

    def _flush_at_times(self) -> None:
        """The engine's log outlives the process; now and then all goes to the disk itself."""
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._call(self._shard.flush)
            self._flushed = time.monotonic()

    @property
    def _row_bytes(self) -> int:
        """Bytes of a row on the disk, at a guess: its vector, its 8-bit vector and the rest."""
        return 5 * self.header.embedding_size + 1024

    def _check_space(self, num_bytes: int) -> None:
        """Raises an error while the disk has room: the engine writes through maps of files.

        Where such a write finds no room, the kernel ends the process (SIGBUS).
        """
        num_free = shutil.disk_usage(self._folder).free
        if num_free < num_bytes + _SPARE_BYTES:
            raise ResourceError(
                f"{self._folder}: the disk has {num_free >> 20:,} MiB left and "
                f"{(num_bytes + _SPARE_BYTES) >> 20:,} are needed; free some, and the same "
                "command goes on"
            )

    def _update(self, name: str, *arguments: object) -> None:
        operation = getattr(self._edge.UpdateOperation, name)(*arguments)
        self._call(self._shard.update, operation)

    def _call(self, function: Any, *arguments: object) -> Any:  # noqa: ANN401
        """Calls the engine; what it raises is a bare Exception with a text."""
        try:
            return function(*arguments)
        except Exception as error:
            self._check_held()
            text = " ".join(str(error).split())[:300]
            for words, reason in _LIMITS.items():
                if words in text:
                    raise ResourceError(f"{self._folder}: cannot be written: {reason}") from None
            if self._shard is None and "init WAL" in text and "WouldBlock" in text:
                raise UsageError(f"{self._folder}: another process is at work there") from None
            raise LabseError(f"{self._folder}: the engine says: {text}") from None

    def _edge_version(self) -> str:
        from importlib.metadata import version

        return version("qdrant-edge-py")

    # ---- the manifest --------------------------------------------------------------------------

    def _extend_columns(self, rows: Sequence[IndexRow]) -> None:
        """Writes new columns down before any row has them, and gives each an index."""
        header = extend_columns(self.header, columns_of(rows))
        if header is self.header:
            return
        samples = {name: value for row in rows for name, value in row.metadata.items()}
        for number, name in enumerate(header.columns):
            if len(self.header.columns) <= number < _MAX_INDEXED:
                sample = samples[name]
                path = truth_path(name) if isinstance(sample, bool) else field_path(name)
                self._add_index(path, isinstance(sample, str | bool))
        self.header = header
        self._write_header()

    def _add_index(self, path: str, is_text: bool) -> None:
        kinds = self._edge.PayloadSchemaType
        self._update("create_field_index", path, kinds.Keyword if is_text else kinds.Float)

    def _write_header(self) -> None:
        made_by = {"labse_version": __version__, "engine": f"qdrant-edge {self._edge_version()}"}
        state = {"is_graph": self._is_graph, "num_compacted": self._num_rows}
        manifest = {**self.header.to_json(), **made_by, **state}
        write_json(self._folder / MANIFEST_NAME, manifest)


def _is_of_others(file: Path) -> bool:
    """Says whether a file is none that a killed process of ours leaves before its note."""
    return file.name != ".lock" and not find_final_name(file.name)


def _remove_left(shard: Path) -> None:
    """Deletes what the engine was writing when its process was killed."""
    for left in shard.rglob(".atomicwrite*"):
        shutil.rmtree(left, ignore_errors=True)


def _is_begun(manifest: Mapping[str, object]) -> bool:
    return manifest.get("kind") == "index" and manifest.get("state") == _BEGUN
