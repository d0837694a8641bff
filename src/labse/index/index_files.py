"""Files into an index: one call that goes on where it was stopped.

Takes: files and an index, there or to be made. Gives: the index with their rows, and counts.
Source: docs/design.md, promises; `labse.files.stage` keeps what is done.
"""

import contextlib
import itertools
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from labse.cluster.tasks import Executor
from labse.corpus.inputs import hash_files
from labse.corpus.shards import expand_folders
from labse.encoder.job.embeddings import Embeddings, open_embeddings
from labse.encoder.job.encode_folder import SHARD_ROWS, encode_folder
from labse.encoder.job.inputs import InputTexts
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.source import AnyEncoderSource, load_any_encoder
from labse.errors import LabseError, UsageError
from labse.files.atomic import MANIFEST_NAME
from labse.files.stage import JOURNAL_NAME, Result, Stage, open_stage
from labse.index.addresses import DEFAULT_MEMORY, is_server
from labse.index.embedding_index import Added, EmbeddingIndex
from labse.index.read_files import RowOptions, check_files, read_rows
from labse.index.rows import IndexRow
from labse.runtime import OnProgress, resumable

__all__ = ["IndexTasks", "IndexedFiles", "add_files", "index_files"]

_STAGE = ".adding"
_VECTORS = "vectors"
_MAX_BATCH_ROWS = 4096
_ROW_BYTES = 16_384  # Of text and metadata, at a guess, beside the vector as Python's numbers.


@dataclass(frozen=True, slots=True)
class IndexTasks:
    """Who embeds the rows, a shard a task; they are stored where the call runs.

    Attributes:
        executor: such as `labse.RayExecutor`.
        work: a folder that all its machines see, where vectors wait to be stored; None: in the
            index, which they all see then.
        gpus_per_task: GPUs, or the share of one, that it gives each task.
        shard_rows: rows of a task.
    """

    executor: Executor
    work: Path | None = None
    gpus_per_task: float = 0.0
    shard_rows: int = SHARD_ROWS


@dataclass(frozen=True, slots=True)
class IndexedFiles:
    """What was done with the files.

    Attributes:
        path: of the index, or its address without the password.
        num_rows: that are in the index now.
        num_read: rows of the files.
        num_added: see `Added`, as are the next two.
        num_replaced: rows whose id was there.
        num_empty: rows without text, which are left out.
        num_truncated: texts that were cut to what the model takes.
        num_resumed: rows of the files that an earlier call had stored.
    """

    path: str
    num_rows: int
    num_read: int
    num_added: int
    num_replaced: int
    num_empty: int
    num_truncated: int
    num_resumed: int


def index_files(
    files: Sequence[str | Path],
    out: str | Path,
    *,
    encoder: AnyEncoderSource = None,
    model: str | None = None,
    options: RowOptions | None = None,
    memory_bytes: int = DEFAULT_MEMORY,
    compact: bool = True,
    tasks: IndexTasks | None = None,
    on_progress: OnProgress | None = None,
) -> IndexedFiles:
    """Makes an index of files. Stopped, killed or finished, the same call goes on.

    Args:
        files: text, tables, or folders of shards; an address can stand for each of them; `-` is
            standard input, of which nothing can go on.
        out: a folder that is empty or not there, or the address of a server.
        encoder: see `EmbeddingIndex.create`.
        model: its name, likewise.
        options: which columns are what.
        memory_bytes: for rows and vectors that are held; the model comes on top.
        compact: whether the index is compacted at the end, so that searches are fast.
        tasks: who embeds the rows; None: this process.
        on_progress: called with the rows embedded and their number, if there are tasks, then with
            the rows read.

    Raises:
        LabseError: broken data, with file and line; what stands before it is stored.
        UsageError: something else is in `out`, rows of it were deleted, or an option cannot apply.
        ResourceError: it cannot be written, or a package is missing.
        InterruptedRunError: the call was stopped.
    """
    names, options = expand_folders(files), options or RowOptions()
    check_files(names, options)
    _check_tasks(tasks, names, has_folder=not is_server(out))
    with _open_or_create(out, encoder, model, memory_bytes) as index:
        job = _Job(names, options, index, "made", memory_bytes, tasks, on_progress)
        return job.run(index.folder and index.folder / _STAGE, compact=compact)


def _open_or_create(
    out: str | Path, encoder: AnyEncoderSource, model: str | None, memory_bytes: int
) -> EmbeddingIndex:
    """Opens the index that an earlier call has left, or makes an empty one."""
    is_begun = not is_server(out) and (Path(out) / _STAGE / JOURNAL_NAME).is_file()
    if is_begun or (not is_server(out) and _is_empty_index(Path(out))):
        loaded = load_any_encoder(encoder)  # None means the one that comes with labse here too.
        return EmbeddingIndex.open(out, encoder=loaded, memory_bytes=memory_bytes)
    return EmbeddingIndex.create(out, encoder=encoder, model=model, memory_bytes=memory_bytes)


def _is_empty_index(folder: Path) -> bool:
    """Tells an index that a call has made and was killed before it wrote down what goes in."""
    if not (folder / MANIFEST_NAME).is_file():
        return False
    with contextlib.suppress(LabseError), EmbeddingIndex.open(folder) as index:
        return not len(index)
    return False


def add_files(
    index: EmbeddingIndex,
    files: Sequence[str | Path],
    *,
    options: RowOptions | None = None,
    memory_bytes: int = DEFAULT_MEMORY,
    compact: bool = True,
    tasks: IndexTasks | None = None,
    on_progress: OnProgress | None = None,
) -> IndexedFiles:
    """Adds the rows of files to an index; rows whose id is there are replaced.

    Stopped or killed, the same call goes on. See `index_files`.
    """
    names, options = expand_folders(files), options or RowOptions()
    check_files(names, options)
    _check_tasks(tasks, names, has_folder=index.folder is not None)
    job = _Job(names, options, index, "added", memory_bytes, tasks, on_progress)
    return job.run(index.folder and index.folder / _STAGE, compact=compact)


def _check_tasks(tasks: IndexTasks | None, files: Sequence[str], *, has_folder: bool) -> None:
    """Refuses before any work what the tasks cannot do.

    Raises:
        UsageError: standard input, or a server without a folder for the vectors.
    """
    if tasks is None:
        return
    if "-" in files:
        raise UsageError("--cluster reads the rows twice, so they cannot be standard input (-)")
    if not has_folder and tasks.work is None:
        raise UsageError(
            "--cluster needs --work FOLDER, which all nodes see, for an index on a server"
        )


@dataclass(frozen=True, slots=True)
class _Job:
    files: Sequence[str]
    options: RowOptions
    index: EmbeddingIndex
    kind: str
    memory_bytes: int
    tasks: IndexTasks | None
    on_progress: OnProgress | None

    def run(self, folder: Path | None, *, compact: bool) -> IndexedFiles:
        """Stores the rows; what is done stands in `folder`, without one it is begun anew."""
        if "-" in self.files or (folder is None and self.tasks is None):
            with open_stage(None, {"kind": self.kind}) as stage:
                return self._run(stage, {}, compact)
        key = {
            "kind": self.kind,
            "inputs": hash_files(self.files),
            "model": self.index.header.model_sha256,
            "options": asdict(self.options),
        }
        # A call that adds other files leaves what an earlier one has stored: it can begin anew.
        restart = self.kind == "added" or not len(self.index)
        work = self.tasks.work if self.tasks else None
        with (
            resumable(folder.parent if folder else work),
            open_stage(folder, key, restart=restart) as stage,
        ):
            result = self._run(stage, key, compact)
        # Whenever a kill comes, at the very end too, an index that was made knows of what.
        if folder and self.kind == "added":
            shutil.rmtree(folder, ignore_errors=True)
        if place := work or folder:
            shutil.rmtree(place / _VECTORS, ignore_errors=True)
        return result

    def _run(self, stage: Stage, key: Result, compact: bool) -> IndexedFiles:
        # Go on after the rows that an earlier call has stored.
        done = stage.result("rows") or {"num_read": 0, "num_truncated": 0, **asdict(Added())}
        counts = {name: int(str(value)) for name, value in done.items()}
        num_resumed = counts["num_read"]
        if self.kind == "made" and len(self.index) < counts["num_added"]:
            raise UsageError(
                f"{self.index.name}: {counts['num_added']:,} rows were stored and "
                f"{len(self.index):,} are left; labse index add stores the others again"
            )

        # All vectors first, where others compute them.
        batches, vectors = self._batches(num_resumed), None
        batch = next(batches, None)
        if self.tasks is not None and batch is not None:
            vectors = self._embed(self.tasks, self.tasks.work or stage.folder, key)
        while batch is not None:
            added, num_truncated = self._add(batch, counts["num_read"], vectors)
            counts["num_read"] += len(batch)
            counts["num_truncated"] += num_truncated
            for name, value in asdict(added).items():
                counts[name] += value
            stage.add("rows", dict(counts))
            if self.on_progress:
                self.on_progress(counts["num_read"], None)
            batch = next(batches, None)
        if compact:
            self.index.compact()
        return IndexedFiles(self.index.name, len(self.index), num_resumed=num_resumed, **counts)

    def _embed(self, tasks: IndexTasks, folder: Path, key: Result) -> Embeddings:
        """Embeds the texts of all rows; goes on with the shards that are there."""
        encoder = self.index.encoder
        if not isinstance(encoder, SentenceEncoder):
            raise TypeError("tasks: need a labse.SentenceEncoder, which other machines can load")
        written = encode_folder(
            (row.text for file in self.files for row in read_rows(file, self.options)),
            folder / _VECTORS,
            encoder=encoder,
            settings=key,
            jobs=tasks.executor,
            gpus_per_task=tasks.gpus_per_task,
            shard_rows=tasks.shard_rows,
            num_rows=InputTexts(self.files).estimate_rows(),
            on_progress=self.on_progress,
        )
        return open_embeddings(written.path)

    def _add(
        self, batch: list[IndexRow], first_row: int, vectors: Embeddings | None
    ) -> tuple[Added, int]:
        """Stores rows; returns what became of them, and how many texts were cut."""
        if vectors is None:
            before = self._num_truncated()
            return self.index.add_rows(batch), self._num_truncated() - before
        rows = vectors[first_row : first_row + len(batch)]
        if len(rows) != len(batch):
            raise LabseError(f"{', '.join(self.files)}: changed while the rows were embedded")
        added = self.index.add_rows(batch, embeddings=rows)
        vectors.release()
        last = {row.id: number for number, row in enumerate(batch, start=first_row)}
        encoder = self.index.encoder
        is_cut = isinstance(encoder, SentenceEncoder) and encoder.text.long == "truncate"
        return added, int(np.isin([*last.values()], vectors.long_rows).sum()) if is_cut else 0

    def _batches(self, num_done: int) -> Iterator[list[IndexRow]]:
        rows = (row for file in self.files for row in read_rows(file, self.options))
        for _ in itertools.islice(rows, num_done):
            pass
        row_bytes = _ROW_BYTES + 40 * self.index.header.embedding_size
        size = min(max(self.memory_bytes // 4 // row_bytes, 64), _MAX_BATCH_ROWS)
        while batch := list(itertools.islice(rows, size)):
            yield batch

    def _num_truncated(self) -> int:
        return int(getattr(self.index.encoder, "num_truncated", 0))
