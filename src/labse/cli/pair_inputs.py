"""Two sides, given as text or as vectors: what `mine`, `score` and `filter` begin with."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from labse import __version__
from labse.cli.console import progress, say
from labse.cli.options import Precision, Runtime, load_encoder
from labse.encoder.job.embeddings import Embeddings, check_same_model, open_embeddings
from labse.encoder.job.inputs import InputTexts
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import UsageError
from labse.files.atomic import sha256_file
from labse.mining.bitext import SearchOptions, find_neighbours
from labse.mining.sides import EmbeddedSides
from labse.mining.workplace import EmbeddedSide, embed_side
from labse.search.engine import build_engine
from labse.search.knn import MutualNeighbours

__all__ = [
    "Index",
    "ModelChoice",
    "Side",
    "build_key",
    "check_device",
    "embed_sides",
    "load_needed_encoder",
    "open_side",
    "search_sides",
]

Index = Literal["auto", "exact", "ivf", "ivf-sq", "ivf-pq", "hnsw"]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model that embeds where no vectors are given."""

    model: Path | None
    precision: Precision
    runtime: Runtime
    threads: int | None

    def load(self) -> "SentenceEncoder":
        """Loads it."""
        return load_encoder(self.model, self.precision, self.runtime, self.threads)


@dataclass(frozen=True, slots=True)
class Side:
    """One side: its lines, or numbers of rows where only vectors are given."""

    name: str
    path: str
    texts: Iterable[str]
    vectors: "Embeddings | None"

    @property
    def has_text(self) -> bool:
        """False where SOURCE or TARGET itself is vectors."""
        return not _is_vectors(self.path)

    def identify(self) -> dict[str, object]:
        """Returns what the stages of a run depend on."""
        # Standard input can be read once; a run that is resumed does not take it.
        content = sha256_file(self.path) if self.has_text and self.path != "-" else None
        vectors = str(self.vectors.path.resolve()) if self.vectors else None
        rows = self.vectors.shape if self.vectors else ()
        return {self.name: [self.path, content, vectors, *rows]}


def open_side(name: str, path: str, vectors: Path | None, column: str | None) -> Side:
    """Opens a side without reading it.

    Raises:
        LabseError, UsageError: it cannot be read.
    """
    if _is_vectors(path):
        if vectors is not None:
            raise UsageError(f"{path} is vectors; leave out --{name}-vectors")
        rows = open_embeddings(path)
        return Side(name, path, map(str, range(len(rows))), rows)
    is_table = Path(path).suffix not in ("", ".txt") and column is not None
    texts = InputTexts([path], column=column if is_table else None)
    return Side(name, path, texts, None if vectors is None else open_embeddings(vectors))


def load_needed_encoder(sides: tuple[Side, Side], choice: ModelChoice) -> "SentenceEncoder | None":
    """Loads the model where vectors are missing, and checks that those given are its own.

    Raises:
        UsageError: vectors of two models.
    """
    given = [side.vectors for side in sides if side.vectors is not None]
    if len(given) == len(sides):
        check_same_model(*given)
        return None
    encoder = choice.load()
    for vectors in given:
        hashes = {vectors.model_sha256, encoder.hash_model()} - {None}
        if len(hashes) > 1:
            raise UsageError(
                f"{vectors.path} is of another model than the one that embeds the other side; "
                "give that with --model"
            )
    return encoder


def build_key(
    sides: tuple[Side, Side], encoder: "SentenceEncoder | None", choice: ModelChoice, k: int
) -> dict[str, object]:
    """Returns all that lines, vectors and neighbours depend on."""
    key: dict[str, object] = {"labse version": __version__, "--k": k}
    for side in sides:
        key |= side.identify()
    if encoder is not None:
        key |= {"model": encoder.hash_model(), "--precision": choice.precision}
    return key


def embed_sides(
    sides: tuple[Side, Side], encoder: "SentenceEncoder | None", folder: Path
) -> tuple["EmbeddedSide", "EmbeddedSide"]:
    """Unifies and embeds the lines of both sides, with a progress bar.

    Raises:
        LabseError: broken input.
    """
    embedded = []
    for side in sides:
        with progress(f"embed {side.name}") as update:
            rows = encoder if side.vectors is None else side.vectors
            assert rows is not None
            done = embed_side(side.name, side.texts, rows, folder, lambda n, _: update(n))
        lines = done.lines
        say(
            f"{side.name}: {len(lines.distinct):,} lines, {lines.num_blank:,} blank left out, "
            f"{lines.num_repeated:,} repeated left out"
        )
        embedded.append(done)
    return embedded[0], embedded[1]


def search_sides(
    sides: tuple["EmbeddedSide", "EmbeddedSide"],
    k: int,
    folder: Path,
    memory_bytes: int,
    index: Index = "auto",
    device: str = "auto",
) -> "MutualNeighbours":
    """Finds the neighbours of both sides among each other, with a progress bar."""
    with progress("search", total=len(sides[0].lines)) as update:
        options = SearchOptions(memory_bytes, index, device)
        both = EmbeddedSides(*sides, folder)
        return find_neighbours(both, k, options, lambda done, _: update(done))


def check_device(device: str) -> None:
    """Refuses a device that is not there, before hours of other work.

    Raises:
        ResourceError: torch or the device is missing.
    """
    if device == "cuda":
        build_engine("torch", 0, device)


def _is_vectors(path: str) -> bool:
    return path.endswith(".npy") or Path(path).is_dir()
