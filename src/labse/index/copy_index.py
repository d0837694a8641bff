"""An index from one engine to another: from a folder to a server, and back.

Takes: two places. Gives: the rows of the first, with their vectors, in the second.

Nothing is embedded again. A row that is there already, equal in text, language and metadata, is
passed over, so a call that was stopped goes on without a note of where it was.
"""

from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from labse.errors import LabseError, UsageError
from labse.files.system import real_path
from labse.index.addresses import DEFAULT_MEMORY, create_store, is_server, open_store
from labse.index.store import StoreHeader, VectorStore
from labse.runtime import OnProgress, resumable

__all__ = ["CopiedIndex", "copy_index"]

_BATCH_ROWS = 1000


@dataclass(frozen=True, slots=True)
class CopiedIndex:
    """What a call of `copy_index` did.

    Attributes:
        path: where the rows are now; an address is without its password.
        num_source: rows that were to be copied.
        num_copied: that this call has stored.
        num_there: that were there already, and equal.
        num_rows: that are there now; more than `num_source` if it held others.
    """

    path: str
    num_source: int
    num_copied: int
    num_there: int
    num_rows: int


def copy_index(
    source: str | Path,
    target: str | Path,
    *,
    memory_bytes: int = DEFAULT_MEMORY,
    compact: bool = True,
    wait_seconds: float = 0.0,
    on_progress: OnProgress | None = None,
) -> CopiedIndex:
    """Copies the rows of an index, with their vectors, to another place.

    Args:
        source: a folder, or the address of a server.
        target: another one, new or of the same model; rows whose id is there are replaced.
        memory_bytes: see `EmbeddingIndex.open`.
        compact: whether the copy is compacted at the end.
        wait_seconds: for another process to close a folder.
        on_progress: called with the rows done, of all.

    Raises:
        UsageError: both are one place, another process holds one of them, or there is something
            else in `target`, such as an index of another model.
        LabseError: there is no index in `source`, or rows went while they were copied.
        ResourceError: a place cannot be reached or written.
        InterruptedRunError: the call was stopped.
    """
    if _place(source) == _place(target):
        raise UsageError(f"{target}: is the index itself; name another place for the copy")
    with ExitStack() as stack:
        stack.enter_context(resumable(str(target)))
        from_store = stack.enter_context(
            closing(open_store(source, memory_bytes=memory_bytes, wait_seconds=wait_seconds))
        )
        to_store = stack.enter_context(
            closing(_create_or_open(target, from_store.header, memory_bytes, wait_seconds))
        )
        return _copy_rows(from_store, to_store, compact, on_progress)


def _place(address: str | Path) -> object:
    return str(address) if is_server(address) else real_path(address)


def _create_or_open(
    target: str | Path, header: StoreHeader, memory_bytes: int, wait_seconds: float
) -> VectorStore:
    try:
        return create_store(target, header, memory_bytes=memory_bytes)
    except UsageError:  # Something is there: an index, or what the next line refuses.
        store = open_store(target, memory_bytes=memory_bytes, wait_seconds=wait_seconds)
    if store.header.model_sha256 != header.model_sha256:
        store.close()
        raise UsageError(
            f"{store.name}: holds vectors of another model ({store.header.model_sha256[:12]}) than "
            f"the index ({header.model_sha256[:12]}); name another place for the copy"
        )
    return store


def _copy_rows(
    source: VectorStore, target: VectorStore, compact: bool, on_progress: OnProgress | None
) -> CopiedIndex:
    num_source, is_new = source.count(), not target.count()
    num_copied = num_there = 0
    for rows, embeddings in source.scan(_BATCH_ROWS):
        # What an earlier call has stored stays as it is.
        there = [] if is_new else target.read([row.id for row in rows])
        known = {row.id: row for row in there}
        left = [number for number, row in enumerate(rows) if known.get(row.id) != row]
        if left:
            target.add([rows[number] for number in left], embeddings[left])

        num_copied += len(left)
        num_there += len(rows) - len(left)
        if on_progress:
            on_progress(num_copied + num_there, num_source)
    num_rows = target.count()
    if num_rows < num_copied + num_there:
        raise LabseError(
            f"{target.name}: holds {num_rows:,} of {num_copied + num_there:,} rows; another "
            "program deletes there; the same command copies what is missing"
        )
    if compact:
        target.compact()
    return CopiedIndex(target.name, num_source, num_copied, num_there, num_rows)
