"""What a model folder is, and whether its files are still those that were written.

Takes: a folder. Gives: its facts, and each file with its size and the result of comparing hashes.
Source: docs/design.md, promises.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from labse.files.atomic import MANIFEST_NAME, listed_file, sha256_file
from labse.model_folder.formats.foreign import is_plain_model, read_plain_model
from labse.model_folder.layout import MODULES_NAME, read_layout
from labse.model_folder.weights import expected_shapes

__all__ = [
    "Fact",
    "FileState",
    "FolderDescription",
    "compare_file",
    "compare_files",
    "is_model_folder",
    "model_facts",
]

Fact: TypeAlias = str | int | float


@dataclass(frozen=True, slots=True)
class FileState:
    """One file against the manifest of its folder.

    Attributes:
        name: relative to the folder.
        num_bytes: its size; 0 if it is missing.
        state: `ok` and `changed` compare the SHA-256; `unlisted` has none to compare with.
    """

    name: str
    num_bytes: int
    state: Literal["ok", "changed", "missing", "unlisted"]


@dataclass(frozen=True, slots=True)
class FolderDescription:
    """A folder and its kind: `model`, `vocabulary`, `run`, `cleaned corpus` and so on."""

    kind: str
    facts: dict[str, Fact]
    files: tuple[FileState, ...]


def is_model_folder(folder: Path) -> bool:
    """Says whether a folder holds a model, ours or one of others."""
    return (folder / MODULES_NAME).is_file() or is_plain_model(folder)


def model_facts(folder: Path) -> dict[str, Fact]:
    """Returns the sizes of a model.

    Raises:
        LabseError: it cannot be read.
    """
    is_plain = not (folder / MODULES_NAME).is_file()
    config = (read_plain_model(folder) if is_plain else read_layout(folder)).config
    bert = config.bert
    return {
        "layers": bert.num_hidden_layers,
        "hidden_size": bert.hidden_size,
        "vocab_size": bert.vocab_size,
        "pooling": config.pooling,
        "projection": config.projection,
        "embedding_size": config.output_size,
        "max_seq_length": config.max_seq_length,
        "parameters": sum(math.prod(shape) for shape in expected_shapes(config).values()),
    }


def compare_files(folder: Path, manifest: Mapping[str, object]) -> list[FileState]:
    """Compares all files of a folder, by name, with the hashes that its manifest lists.

    Raises:
        LabseError: a name leads out of the folder.
    """
    listed = manifest.get("files")
    hashes: dict[str, object] = listed if isinstance(listed, dict) else {}
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    found.pop(MANIFEST_NAME, None)
    states = [compare_file(folder, name, digest) for name, digest in hashes.items()]
    states += [
        FileState(name, path.stat().st_size, "unlisted")
        for name, path in found.items()
        if name not in hashes
    ]
    return sorted(states, key=lambda state: state.name)


def compare_file(folder: Path, name: str, digest: object) -> FileState:
    """Compares one file with its SHA-256.

    Raises:
        LabseError: the name leads out of the folder.
    """
    path = listed_file(folder, name)
    if not path.is_file():
        return FileState(name, 0, "missing")
    is_same = sha256_file(path) == digest
    return FileState(name, path.stat().st_size, "ok" if is_same else "changed")
