"""A model folder written from another one, with golden vectors and its lineage.

Takes: a model, and the folder that it was read from. Gives: a folder of its own.
Source: docs/design.md, promises (a model is checked when loaded).
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

from labse.encoder.check.golden import GOLDEN_NAME, build_golden
from labse.encoder.protocol import Encoder
from labse.errors import LabseError
from labse.files.atomic import MANIFEST_NAME, check_replaceable, read_json, replace_folder
from labse.files.system import real_path
from labse.model_folder.folder import (
    ModelFolder,
    is_own_manifest,
    read_model_folder,
    write_model_folder,
)
from labse.model_folder.int8 import Storage
from labse.model_folder.integrity import listed_hashes

__all__ = ["save_model", "storage_of", "write_folder"]

_REMADE = ("labse_version", "config", "storage", "files")
_STORAGES: dict[str, Storage] = {name: name for name in get_args(Storage)}


def save_model(
    source: Path,
    out: Path,
    *,
    max_seq_length: int,
    build_encoder: Callable[[ModelFolder], Encoder],
) -> None:
    """Writes a model to another folder: the same files, if they are labse's and nothing changed.

    Args:
        source: any folder that `read_model_folder` reads.
        out: the folder to make; a model that stands there is replaced.
        max_seq_length: the length of the model written.
        build_encoder: makes an encoder of a model, in float32.

    Raises:
        LabseError: `source` cannot be read, or `out` holds something else than a model.
        ResourceError: `out` cannot be written.
    """
    model = read_model_folder(source)
    target, listed = real_path(out), listed_hashes(source)
    if not listed or model.config.max_seq_length != max_seq_length:
        config = model.config.model_copy(update={"max_seq_length": max_seq_length})
        changed = replace(model, config=config)
        encoder = build_encoder(changed)
        write_folder(out, changed, source=source, storage=storage_of(source), encoder=encoder)
        return
    if target == real_path(source):
        return
    check_replaceable(target, "model", is_own_manifest, error_type=LabseError)
    with replace_folder(target) as folder:
        for name in (*listed, MANIFEST_NAME):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, folder / name)


def write_folder(
    out: Path, model: ModelFolder, *, source: Path, storage: Storage, encoder: Encoder
) -> None:
    """Writes a model made from that in `source`, with golden vectors and its lineage.

    Args:
        out: the folder to make.
        model: with the weights that a reader of the folder will have.
        source: whose manifest, tokenizer settings and kind are kept.
        storage: of the weights.
        encoder: of `model`, in float32.
    """
    manifest: dict[str, object] = {"kind": "model"}
    if (source / MANIFEST_NAME).is_file():
        known = read_json(source / MANIFEST_NAME)
        manifest |= {key: value for key, value in known.items() if key not in _REMADE}
    write_model_folder(
        out,
        model,
        vocab_folder=source,
        manifest=manifest,
        storage=storage,
        extra_files={GOLDEN_NAME: build_golden(encoder)},
    )


def storage_of(source: Path) -> Storage:
    """Returns how the matrices of a folder lie in their file; float32 for a folder of others."""
    if not (source / MANIFEST_NAME).is_file():
        return "float32"
    return _STORAGES.get(str(read_json(source / MANIFEST_NAME).get("storage")), "float32")
