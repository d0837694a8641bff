"""The two sides that `mine`, `score` and `filter` begin with: their lines, each with its vector.

Takes: text, or vectors of `labse encode`, or both. Gives: the distinct lines of each, embedded.
Source: docs/design.md, promises: what is done stays in the work folder.
"""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from labse import __version__
from labse.encoder.job.embeddings import Embeddings, check_same_model, open_embeddings
from labse.encoder.job.inputs import InputTexts
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import UsageError
from labse.files.atomic import MANIFEST_NAME, sha256_file
from labse.files.text import format_suffix
from labse.mining.workplace import EmbeddedSide, embed_side, open_workplace
from labse.search.knn import OnProgress

__all__ = [
    "EmbeddedSides",
    "EncoderSource",
    "Side",
    "embed_sides",
    "load_needed_encoder",
    "open_sides",
]

_LOGGER = logging.getLogger(__name__)
_TABLES = (".jsonl", ".parquet", ".tsv")

EncoderSource = SentenceEncoder | Callable[[], SentenceEncoder] | None
"""An encoder, what loads one if it is needed, or None: the model that comes with labse."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side as it was given; nothing is read yet.

    Attributes:
        name: "source" or "target".
        path: text, a table, or vectors; `-` is standard input.
        texts: lines, or the numbers of rows where only vectors are given; read again each time.
        column: of a table; None where the side is no table.
        vectors: row i is the vector of line i; None where an encoder is needed.
    """

    name: str
    path: str
    texts: Iterable[str]
    column: str | None
    vectors: Embeddings | None

    @property
    def has_text(self) -> bool:
        """False where the path itself is vectors."""
        return not _is_vectors(self.path)

    def hash_content(self) -> list[str]:
        """Returns hashes of all that lines and vectors depend on."""
        hashes = [sha256_file(self.path)] if self.has_text else []
        if self.vectors is not None:
            path = self.vectors.path
            # The manifest of a folder holds the hashes of its shards.
            hashes.append(sha256_file(path / MANIFEST_NAME if path.is_dir() else path))
        return hashes


@dataclass(frozen=True, slots=True)
class EmbeddedSides:
    """Both sides embedded, and the folder where later stages keep what they have done."""

    source: EmbeddedSide
    target: EmbeddedSide
    folder: Path
    encoder: SentenceEncoder | None = None
    """What embedded them; None if all vectors were given."""


def open_sides(
    source: str | Path,
    target: str | Path,
    *,
    vectors: tuple[str | Path | None, str | Path | None] = (None, None),
    columns: tuple[str | None, str | None] = (None, None),
) -> tuple[Side, Side]:
    """Opens both sides without reading their lines.

    Args:
        source: lines of text, a .tsv, .jsonl or .parquet file, or vectors.
        target: likewise.
        vectors: of the lines of each side, where the path is text.
        columns: of each side that is a table; None takes `text`.

    Raises:
        LabseError, UsageError: a side cannot be read.
    """
    paths = str(source), str(target)
    used = [column for path, column in zip(paths, columns, strict=True) if _is_table(path)]
    for column in {*columns} - {None, *used}:
        raise UsageError(f"--column {column}: text has no columns; leave it out")
    names = ("source", "target")
    first, second = map(_open_side, names, paths, vectors, columns)
    return first, second


def _open_side(name: str, path: str, vectors: str | Path | None, column: str | None) -> Side:
    if _is_vectors(path):
        if vectors is not None:
            raise UsageError(f"{path} is vectors; leave out --{name}-vectors")
        rows = open_embeddings(path)
        return Side(name, path, map(str, range(len(rows))), None, rows)
    column = (column or "text") if _is_table(path) else None
    texts = InputTexts([path], column=column)
    return Side(name, path, texts, column, None if vectors is None else open_embeddings(vectors))


def _is_vectors(path: str) -> bool:
    return path.endswith(".npy") or Path(path).is_dir()


def _is_table(path: str) -> bool:
    return format_suffix(path) in _TABLES


@contextlib.contextmanager
def embed_sides(
    sides: tuple[Side, Side],
    encoder: EncoderSource,
    *,
    work: Path | None,
    settings: Mapping[str, object],
    on_progress: OnProgress | None = None,
) -> Iterator[EmbeddedSides]:
    """Unifies and embeds the lines of both sides, for as long as the block lasts.

    Args:
        sides: see `open_sides`.
        encoder: embeds a side without vectors; not loaded if there is none.
        work: a folder that keeps what is done, for the same call to go on with; None takes one that
            is removed at the end.
        settings: by the name of their options, all else that is kept in `work` depends on.
        on_progress: called with the distinct lines embedded and their number, for each side anew.

    Raises:
        LabseError: broken input.
        UsageError: vectors of two models, standard input with `work`, or a folder that was begun
            with other inputs or settings.
    """
    if work is not None and "-" in (sides[0].path, sides[1].path):
        raise UsageError("--work needs files that can be read again, not standard input (-)")
    loaded = load_needed_encoder(sides, encoder)
    key = {} if work is None else _build_key(sides, loaded, settings)
    with open_workplace(work, key) as folder:
        source, target = (_embed_side(side, loaded, folder, on_progress) for side in sides)
        yield EmbeddedSides(source, target, folder, loaded)


def load_needed_encoder(sides: tuple[Side, Side], encoder: EncoderSource) -> SentenceEncoder | None:
    """Loads the model where vectors are missing, and checks that those given are its own.

    Raises:
        UsageError: vectors of two models.
    """
    given = [side.vectors for side in sides if side.vectors is not None]
    if len(given) == len(sides):
        check_same_model(*given)
        return None
    if not isinstance(encoder, SentenceEncoder):
        encoder = encoder() if encoder is not None else SentenceEncoder.from_pretrained()
    for vectors in given:
        hashes = {vectors.model_sha256, encoder.hash_model()} - {None}
        if len(hashes) > 1:
            raise UsageError(
                f"{vectors.path} is of another model than the one that embeds the other side; "
                "give that with --model"
            )
    return encoder


def _build_key(
    sides: tuple[Side, Side], encoder: SentenceEncoder | None, settings: Mapping[str, object]
) -> dict[str, object]:
    """Returns all that lines, vectors and what is made of them depend on."""
    key: dict[str, object] = {"labse version": __version__, **settings}
    key |= {side.name: side.hash_content() for side in sides}
    key["--column"] = [side.column for side in sides]
    if encoder is not None:
        key |= {"model": encoder.hash_model(), "--precision": encoder.precision}
        key |= {"--runtime": encoder.runtime_name, "text options": asdict(encoder.text)}
    return key


def _embed_side(
    side: Side, encoder: SentenceEncoder | None, folder: Path, on_progress: OnProgress | None
) -> EmbeddedSide:
    rows = encoder if side.vectors is None else side.vectors
    assert rows is not None
    embedded = embed_side(side.name, side.texts, rows, folder, on_progress)
    lines = embedded.lines
    _LOGGER.info(
        "%s: %s lines, %s blank left out, %s repeated left out",
        side.name,
        *(f"{n:,}" for n in (len(lines.distinct), lines.num_blank, lines.num_repeated)),
    )
    return embedded
