r"""The two sides that `mine`, `score` and `filter` begin with: their lines, each with its vector.

Takes: text, or vectors of `labse encode`, or both. Gives: the distinct lines of each, embedded and
kept on disk; 50 bytes of memory a line.
Source: docs/design.md, promises: what is done stays in the work folder, to the same bytes. Lines
are one by their 128-bit BLAKE2 digest.

Dimensions: N lines of a side, U distinct ones that are not blank, D embedding.
"""

import contextlib
import hashlib
import itertools
import logging
import mmap
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from labse import __version__
from labse.corpus.equal_texts import find_firsts, hash_texts
from labse.corpus.file_formats import check_readable, default_column, is_pairs
from labse.corpus.shards import expand_folders, has_shards, refuse_other_tables
from labse.corpus.tables import ColumnNames
from labse.encoder.job.embeddings import Embeddings, check_same_model, open_embeddings
from labse.encoder.job.inputs import InputTexts
from labse.encoder.protocol import Encoder, encode_sentences
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.source import EncoderSource, describe_encoder, load_encoder
from labse.errors import LabseError, UsageError
from labse.files.atomic import MANIFEST_NAME, make_folder, sha256_file, write_atomic
from labse.files.npy import find_bad_row, hash_rows, load_array, write_array
from labse.files.stage import Result, Stage, hash_content, open_stage
from labse.files.text import open_binary
from labse.runtime import OnProgress, resumable

__all__ = [
    "EmbeddedSide",
    "EmbeddedSides",
    "LineStore",
    "Side",
    "check_equal_lines",
    "check_equal_sizes",
    "embed_side",
    "embed_sides",
    "load_needed_encoder",
    "load_own_encoder",
    "open_sides",
]

_LOGGER = logging.getLogger(__name__)
_CHUNK_ROWS = 16_384  # 48 MiB of 768 dimensions.
_CHUNK_LINES = 4096
FindUnknown: TypeAlias = Callable[[Sequence[str]], NDArray[np.bool_]]
_TEXT, _INDEX, _VECTORS = "lines.txt", "lines.npz", "vectors.npy"


@dataclass(frozen=True, slots=True)
class Side:
    """One side as it was given; nothing is read yet.

    Attributes:
        name: "source" or "target".
        path: of text, a table, or vectors; `-` is standard input.
        texts: lines, or the numbers of rows where only vectors are given; read again each time.
        column: of a table; None where the side is no table.
        vectors: row i is the vector of line i; None where an encoder is needed.
    """

    name: str
    path: str
    texts: Iterable[str]
    column: str | None
    vectors: Embeddings | None
    names: ColumnNames | None = None
    """Where a table of others has its columns."""
    rows: tuple[int, int] | None = None
    """The first row that is read and the one after the last; None: all."""

    @property
    def has_text(self) -> bool:
        """False where the path itself is vectors."""
        return not _is_vectors(self.path)

    def hash_content(self) -> list[str]:
        """Returns hashes of all that lines and vectors depend on."""
        paths = list(map(Path, expand_folders([self.path]))) if self.has_text else []
        paths += [self.vectors.path] if self.vectors is not None else []
        return [hash_content(path) for path in paths]


@dataclass(frozen=True, slots=True)
class LineStore:
    """U distinct lines out of N, on disk, read again by number."""

    path: Path
    offsets: NDArray[np.int64]
    """(U,) bytes before each distinct line."""
    lengths: NDArray[np.int64]
    """(U,) bytes of each."""
    first_lines: NDArray[np.int64]
    """(U,) line number, from 0, where it stands first."""
    distinct: NDArray[np.int64]
    """(N,) number of the distinct line, -1 for one that is blank or unknown."""
    is_unknown: NDArray[np.bool_]
    """(N,) whether the model knows no piece of a line, so that its vector would say nothing."""

    def __len__(self) -> int:
        """Returns U."""
        return len(self.offsets)

    @property
    def num_blank(self) -> int:
        """Lines of white space only."""
        return int(np.count_nonzero(self.distinct < 0)) - self.num_unknown

    @property
    def num_unknown(self) -> int:
        """Lines of which the model knows no piece."""
        return int(np.count_nonzero(self.is_unknown))

    @property
    def num_repeated(self) -> int:
        """Lines that stand before."""
        return len(self.distinct) - self.num_blank - self.num_unknown - len(self)

    def read(self, numbers: Iterable[int]) -> Iterator[str]:
        """Yields distinct lines by number, in any order."""
        if not len(self):
            return
        with (
            self.path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            for position, number in enumerate(numbers, start=1):
                start = int(self.offsets[number])
                yield content[start : start + int(self.lengths[number])].decode()
                if position % 65_536 == 0 and hasattr(mmap, "MADV_DONTNEED"):
                    content.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True, slots=True)
class EmbeddedSide:
    """The distinct lines of one side and their vectors (U, D), unit rows or not."""

    lines: LineStore
    vectors: NDArray[np.float32]
    path: Path
    """The `.npy` file of the vectors; not there if there are none."""


@dataclass(frozen=True, slots=True)
class EmbeddedSides:
    """Both sides embedded, and the stage where the search keeps what it has done."""

    source: EmbeddedSide
    target: EmbeddedSide
    stage: Stage
    encoder: SentenceEncoder | None = None
    """What embedded them; None if all vectors were given."""


def open_sides(
    source: str | Path,
    target: str | Path,
    *,
    vectors: tuple[str | Path | None, str | Path | None] = (None, None),
    columns: tuple[str | None, str | None] = (None, None),
    names: ColumnNames | None = None,
    rows: tuple[int, int] | None = None,
) -> tuple[Side, Side]:
    """Opens both sides without reading their lines.

    Args:
        source: lines of text, a .tsv, .jsonl or .parquet file, a folder of shards, or vectors.
        target: likewise.
        vectors: of the lines of each side, where the path is text.
        columns: of each side that is a table; None takes `text`.
        names: where tables of others have them.
        rows: the first row to read and the one after the last; None: all.

    Raises:
        LabseError, UsageError: a side cannot be read.
    """
    paths = str(source), str(target)
    used = {column for path, column in zip(paths, columns, strict=True) if _is_table(path)}
    for column in {*columns} - {None, *used}:
        raise UsageError(f"--column {column}: text has no columns; leave it out")
    open_side = partial(_open_side, names=names, rows=rows)
    first, second = map(open_side, ("source", "target"), paths, vectors, columns)
    return first, second


def _open_side(
    name: str,
    path: str,
    vectors: str | Path | None,
    column: str | None,
    *,
    names: ColumnNames | None,
    rows: tuple[int, int] | None,
) -> Side:
    if _is_vectors(path):
        if vectors is not None:
            raise UsageError(f"{path} is vectors; leave out --{name}-vectors")
        if Path(path).is_dir() and not (Path(path) / MANIFEST_NAME).is_file():
            refuse_other_tables(Path(path))
        embeddings = open_embeddings(path)
        return Side(name, path, map(str, range(len(embeddings))), None, embeddings)
    files = expand_folders([path])
    if path != "-":
        with open_binary(files[0]):  # A missing file is told before the other side is embedded.
            pass
    if _is_table(path) and column is None:
        check_readable(files[0])  # TMX holds pairs: which side to take must be said.
        column = default_column(files[0])
    texts = InputTexts(files, column=column, names=names, rows=rows)
    given = None if vectors is None else open_embeddings(vectors)
    return Side(name, path, texts, column, given, names, rows)


def _is_vectors(path: str) -> bool:
    return path.endswith(".npy") or (Path(path).is_dir() and not has_shards(path))


def _is_table(path: str) -> bool:
    return is_pairs(path) or has_shards(path)


@contextlib.contextmanager
def embed_sides(
    sides: tuple[Side, Side],
    encoder: EncoderSource,
    *,
    work: Path | None,
    settings: Mapping[str, object],
    is_aligned: bool = False,
    on_progress: OnProgress | None = None,
) -> Iterator[EmbeddedSides]:
    """Unifies and embeds the lines of both sides, for as long as the block lasts.

    Args:
        sides: see `open_sides`.
        encoder: embeds a side without vectors; not loaded if there is none.
        work: a folder that keeps what is done, for the same call to go on with; None: a temporary
            one.
        settings: what else decides what is kept in `work`, by the names of the options.
        is_aligned: whether line i of both sides is pair i: unequal numbers of lines are an error
            before anything is embedded.
        on_progress: called with the distinct lines embedded and their number, for each side anew.

    Raises:
        LabseError: broken input.
        UsageError: vectors of two models, standard input with `work`, or a folder that was begun
            with other inputs or settings.
        InterruptedRunError: Ctrl-C or SIGTERM came inside the block, and `work` keeps what is done.
    """
    if work is not None and "-" in (sides[0].path, sides[1].path):
        raise UsageError("--work needs files that can be read again, not standard input (-)")
    loaded = load_needed_encoder(sides, encoder)
    key: dict[str, object] = {"labse version": __version__, **settings}
    if work is not None:  # Files are hashed, which takes a while.
        key |= {side.name: side.hash_content() for side in sides}
        key["--column"] = [side.column for side in sides]
        first = sides[0]
        key |= {"--columns": dict(first.names)} if first.names else {}
        key |= {"--shard": list(first.rows)} if first.rows else {}
        key |= {} if loaded is None else describe_encoder(loaded)

    with resumable(work), open_stage(work, key) as stage:
        # The lines of both, before any is embedded.
        stores = []
        for side in sides:
            rows = loaded if side.vectors is None else side.vectors
            find_unknown = _unknown_by_row(rows) if isinstance(rows, Embeddings) else None
            if isinstance(rows, SentenceEncoder):
                find_unknown = rows.find_unknown
            store = _store_lines(side.name, side.texts, stage, find_unknown)
            stores.append(store)
            _tell_lines(side.name, store)
        if is_aligned:
            check_equal_lines(*stores)

        # Then their vectors.
        embedded = []
        for side, store in zip(sides, stores, strict=True):
            rows = loaded if side.vectors is None else side.vectors
            assert rows is not None
            embedded.append(_embed_lines(side.name, store, rows, stage, on_progress))
        yield EmbeddedSides(embedded[0], embedded[1], stage, loaded)


def load_needed_encoder(sides: tuple[Side, Side], encoder: EncoderSource) -> SentenceEncoder | None:
    """Loads the model where vectors are missing, and checks that those given are its own.

    Raises:
        UsageError: vectors of two models.
    """
    given = [side.vectors for side in sides if side.vectors is not None]
    if len(given) == len(sides):
        check_same_model(*given)
        return None
    return load_own_encoder(sides, encoder, does="embeds the other side")


def load_own_encoder(
    sides: tuple[Side, Side], encoder: EncoderSource, *, does: str
) -> SentenceEncoder:
    """Loads the model, and checks that the vectors given are its own.

    Args:
        sides: with vectors or without.
        encoder: the model.
        does: what it is loaded for, for the message.

    Raises:
        UsageError: vectors of another model.
    """
    loaded = load_encoder(encoder)
    for vectors in (side.vectors for side in sides if side.vectors is not None):
        if len({vectors.model_sha256, loaded.hash_model()} - {None}) > 1:
            raise UsageError(
                f"{vectors.path} is of another model than the one that {does}; "
                "give that with --model"
            )
    return loaded


def embed_side(
    name: str,
    lines: Iterable[str],
    vectors: Encoder | Embeddings | NDArray[np.floating],
    stage: Stage,
    on_progress: OnProgress | None = None,
    *,
    find_unknown: FindUnknown | None = None,
) -> EmbeddedSide:
    """Unifies the lines of a side and embeds each distinct one, or picks its vector.

    Args:
        name: of the side, for messages and as its folder.
        lines: all of them, blank and repeated ones included; not read where an earlier call did.
        vectors: an encoder, or rows of which row i belongs to line i.
        stage: keeps lines and vectors; a killed call goes on with the next chunk.
        on_progress: called with the distinct lines done and their number.
        find_unknown: called with lines in their order; tells which have no piece that the model
            knows. None: all count as known.

    Raises:
        LabseError: broken lines or vectors, or unequal numbers of them.
        ResourceError: they cannot be written.
    """
    store = _store_lines(name, lines, stage, find_unknown)
    return _embed_lines(name, store, vectors, stage, on_progress)


def _store_lines(
    name: str, lines: Iterable[str], stage: Stage, find_unknown: FindUnknown | None
) -> LineStore:
    """Copies the lines and finds the distinct ones."""
    folder = stage.folder / name
    make_folder(folder)
    if stage.result(f"{name}/lines") is None:
        _write_lines(lines, folder, find_unknown)
        files = {file: sha256_file(file) for file in (folder / _TEXT, folder / _INDEX)}
        stage.add(f"{name}/lines", {}, files=files)
    with np.load(folder / _INDEX, allow_pickle=False) as index:
        return LineStore(folder / _TEXT, *(index[key] for key in LineStore.__slots__[1:]))


def _tell_lines(name: str, lines: LineStore) -> None:
    """Logs what is treated in another way than a line that stands once."""
    sizes = len(lines.distinct), lines.num_blank, lines.num_repeated
    message = f"{name}: %s lines, %s blank, %s repeated"
    _LOGGER.info(message, *(f"{size:,}" for size in sizes))
    if lines.num_unknown:
        message = "%s: %s lines left out, since the model knows no piece of them"
        _LOGGER.info(message, name, f"{lines.num_unknown:,}")


def check_equal_lines(source: LineStore, target: LineStore) -> None:
    """Refuses sides whose lines cannot be paired.

    Raises:
        LabseError: unequal numbers of lines.
    """
    check_equal_sizes(len(source.distinct), len(target.distinct))


def check_equal_sizes(num_source: int, num_target: int) -> None:
    """Refuses two numbers of lines that differ.

    Raises:
        LabseError: they do.
    """
    if num_source != num_target:
        raise LabseError(
            f"the source has {num_source:,} lines and the target {num_target:,}; line i of one "
            "must be the translation of line i of the other"
        )


def _embed_lines(
    name: str,
    store: LineStore,
    vectors: Encoder | Embeddings | NDArray[np.floating],
    stage: Stage,
    on_progress: OnProgress | None,
) -> EmbeddedSide:
    """Embeds the distinct lines, or picks the vector of the first of equal lines."""
    if not isinstance(vectors, Embeddings | np.ndarray):
        chunks = partial(_encode_chunks, vectors, store)
    elif len(store.distinct) == vectors.shape[0]:
        chunks = partial(_given_chunks, vectors, store.first_lines, name)
    else:
        raise LabseError(
            f"{name}: {len(store.distinct)} lines and {vectors.shape[0]} vectors; row i must be "
            "the vector of line i"
        )
    path = stage.folder / name / _VECTORS
    if len(store):
        _write_vectors(chunks, len(store), name, stage, on_progress)
        return EmbeddedSide(store, load_array(path), path)
    return EmbeddedSide(store, np.zeros((0, 1), np.float32), path)


def _encode_chunks(encoder: Encoder, store: LineStore, start: int) -> Iterator[NDArray[np.float32]]:
    for first in range(start, len(store), _CHUNK_ROWS):
        numbers = range(first, min(first + _CHUNK_ROWS, len(store)))
        yield encode_sentences(encoder, list(store.read(numbers)))


def _given_chunks(
    vectors: Embeddings | NDArray[np.floating], numbers: NDArray[np.int64], name: str, start: int
) -> Iterator[NDArray[np.float32]]:
    for first in range(start, len(numbers), _CHUNK_ROWS):
        wanted = numbers[first : first + _CHUNK_ROWS]
        rows = np.asarray(vectors[wanted], np.float32)
        if bad := find_bad_row(rows):
            raise LabseError(f"{name}, row {wanted[bad[0]]} (from 0): {bad[1]}; embed it again")
        if isinstance(vectors, Embeddings):
            vectors.release()  # A million rows that were read would fill the memory.
        yield rows


def _write_vectors(
    chunks: Callable[[int], Iterator[NDArray[np.float32]]],
    num_rows: int,
    name: str,
    stage: Stage,
    on_progress: OnProgress | None,
) -> None:
    """Writes all chunks, from the first that an earlier call did not mark as done."""
    part, path = f"{name}/vectors", stage.folder / name / _VECTORS
    marked = stage.result(part) or {"rows": 0, "width": None}
    try:
        digest = hash_rows(path, int(str(marked["rows"])))
        is_damaged = digest.hexdigest() != marked.get("rows_sha256", digest.hexdigest())
    except LabseError:  # It is not there, or its head or its end is not.
        is_damaged = True
    if is_damaged:
        stage.tell_damaged(path)
        marked, digest = {"rows": 0, "width": None}, hash_rows(path, 0)
    done, width = int(str(marked["rows"])), marked["width"]
    with contextlib.ExitStack() as stack:
        append = None
        for chunk in chunks(done):
            width = width or chunk.shape[1]
            if chunk.shape[1] != width:
                raise LabseError(
                    f"{name}: vectors of {chunk.shape[1]} dimensions after some of {width}"
                )
            append = append or stack.enter_context(
                write_array(path, "<f4", chunk.shape[1:], resume_rows=done)
            )
            append(chunk)
            done += len(chunk)
            digest.update(np.ascontiguousarray(chunk, "<f4").data)
            if done < num_rows:  # The last one counts when the file is closed, its length inside.
                stage.add(part, _vectors_result(done, width, digest))
            if on_progress:
                on_progress(done, num_rows)
    if marked["rows"] != num_rows:
        stage.add(part, _vectors_result(num_rows, width, digest))
    elif on_progress:
        on_progress(num_rows, num_rows)


def _vectors_result(num_rows: int, width: object, digest: "hashlib._Hash") -> Result:
    return {"rows": num_rows, "width": width, "rows_sha256": digest.hexdigest()}


def _unknown_by_row(vectors: Embeddings) -> FindUnknown:
    """Tells of lines, each time the next ones, what their folder of vectors does."""
    rows = itertools.count()
    unknown = frozenset(vectors.unknown_rows.tolist())

    def find(lines: Sequence[str]) -> NDArray[np.bool_]:
        return np.fromiter((next(rows) in unknown for _ in lines), bool, len(lines))

    return find


def _write_lines(lines: Iterable[str], folder: Path, find_unknown: FindUnknown | None) -> None:
    """Copies lines, which may hold line ends, into `folder` and finds the distinct ones."""
    digests = bytearray()
    offsets, lengths, is_blank, is_unknown = array("q"), array("q"), array("b"), array("b")
    position = 0
    rest = iter(lines)
    with write_atomic(folder / _TEXT) as stream:
        while chunk := list(itertools.islice(rest, _CHUNK_LINES)):
            is_unknown.extend(find_unknown(chunk).tolist() if find_unknown else [0] * len(chunk))
            for line in chunk:
                content = line.encode()
                lengths.append(len(content))
                offsets.append(position)
                is_blank.append(not line.strip())
                digests += hash_texts([line]).tobytes()
                position += stream.write(content) + stream.write(b"\n")

    firsts = find_firsts(np.frombuffer(digests, np.uint64).reshape(-1, 2))
    unknown = np.array(is_unknown, np.bool_) & ~np.array(is_blank, np.bool_)
    is_text = ~np.array(is_blank, np.bool_) & ~unknown
    first_lines = np.flatnonzero(is_text & (firsts == np.arange(len(firsts))))
    distinct = np.where(is_text, np.searchsorted(first_lines, firsts), -1)
    with write_atomic(folder / _INDEX) as stream:
        np.savez(
            stream,
            offsets=np.array(offsets, np.int64)[first_lines],
            lengths=np.array(lengths, np.int64)[first_lines],
            first_lines=first_lines,
            distinct=distinct,
            is_unknown=unknown,
        )
