"""The model folder: a dual encoder at rest, in the layout of sentence-transformers.

Takes: a configuration, NumPy weights, a vocabulary folder. Gives: one folder and back; no torch.
Source: sentence-transformers' layout; `sentence-transformers/LaBSE` has this shape.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file
from tokenizers import Tokenizer

import labse
from labse.dual_encoder.config import DualEncoderConfig
from labse.dual_encoder.layout import MODULES_NAME, build_layout_files, read_layout
from labse.dual_encoder.weights import check_weights, read_bert_weights, read_tensors
from labse.errors import LabseError, ResourceError
from labse.files import MANIFEST_NAME, read_json, sha256_file, write_json
from labse.vocab.tokenizer import load_tokenizer

__all__ = ["ModelFolder", "read_model_folder", "write_model_folder"]

_WEIGHTS_NAME = "model.safetensors"
_PICKLE_NAME = "pytorch_model.bin"
_TOKENIZER_NAME = "tokenizer.json"
_VOCAB_FILES = ("vocab.txt", _TOKENIZER_NAME, "tokenizer_config.json", "special_tokens_map.json")
_OWN_MANIFEST_KEYS = ("labse_version", "config", "files")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What a model folder holds.

    Attributes:
        config: sizes, pooling and projection.
        weights: float32; the names of `BertModel`, and `dense.weight` (D, H) and `dense.bias` (D,)
            where there is a projection.
        tokenizer: neither truncates nor pads.
    """

    config: DualEncoderConfig
    weights: dict[str, NDArray[np.float32]]
    tokenizer: Tokenizer


def read_model_folder(path: str | Path) -> ModelFolder:
    """Reads and checks a folder of ours, or one of sentence-transformers in the shape of LaBSE.

    Only safetensors weights are read; float16 and bfloat16 are cast to float32. Vectors are always
    scaled to unit length, so a folder without a Normalize module is read as if it had one.

    Raises:
        LabseError: something is missing, unsupported, damaged (SHA-256 against the manifest),
            not finite, or does not fit the rest.
    """
    folder = Path(path)
    layout = read_layout(folder)
    _check_hashes(folder)

    weights = read_bert_weights(_find_weights(layout.transformer))
    if layout.dense is not None:
        dense = read_tensors(_find_weights(layout.dense))
        weights |= {name.replace("linear.", "dense.", 1): dense[name] for name in dense}
        if "dense.weight" in weights and "dense.bias" not in weights:  # Dense(bias=False).
            weights["dense.bias"] = np.zeros(len(weights["dense.weight"]), np.float32)
    check_weights(layout.config, weights, where=str(folder))

    is_ours = (folder / MANIFEST_NAME).is_file()
    read = load_tokenizer if is_ours else _load_foreign_tokenizer
    tokenizer = read(layout.transformer)
    _check_vocab_size(tokenizer, layout.config, where=str(layout.transformer / _TOKENIZER_NAME))
    return ModelFolder(config=layout.config, weights=weights, tokenizer=tokenizer)


def write_model_folder(
    path: str | Path,
    model: ModelFolder,
    *,
    vocab_folder: Path,
    manifest: Mapping[str, object],
) -> None:
    """Writes the folder whole or not at all; `SentenceTransformer(path)` loads it too.

    A model folder that stands there is replaced once the new one is on the disk.

    Args:
        path: the folder to make.
        model: what to write; its tokenizer is that of `vocab_folder`.
        vocab_folder: where vocab.txt, tokenizer.json and the like are copied from.
        manifest: goes into manifest.json, beside labse's version, the configuration and the
            SHA-256 of every file.

    Raises:
        ValueError: `manifest` holds a key that this function sets.
        LabseError: the weights or the vocabulary do not fit the configuration, or `path` holds
            something else than a model folder written by labse.
        ResourceError: the disk is full or cannot be written.
    """
    if taken := [key for key in _OWN_MANIFEST_KEYS if key in manifest]:
        raise ValueError(f"manifest: the key {taken[0]!r} is set by write_model_folder")
    target = Path(path).resolve()
    check_weights(model.config, model.weights, where=str(path))
    _check_vocab_size(model.tokenizer, model.config, where=str(path))
    _check_vocab_size(load_tokenizer(vocab_folder), model.config, where=str(vocab_folder))
    _check_replaceable(target)

    with _replace_folder(target) as folder:
        _write_payload(folder, model, vocab_folder)
        names = sorted(str(file.relative_to(folder)) for file in _files_in(folder))
        own = {
            "labse_version": labse.__version__,
            "config": model.config.model_dump(),
            "files": {name: sha256_file(folder / name) for name in names},
        }
        write_json(folder / MANIFEST_NAME, {**own, **manifest})


def _write_payload(folder: Path, model: ModelFolder, vocab_folder: Path) -> None:
    for name, text in build_layout_files(model.config).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")

    dense = {name: array for name, array in model.weights.items() if name.startswith("dense.")}
    bert = {name: array for name, array in model.weights.items() if name not in dense}
    if _is_bert_pooler(model.config):
        bert |= {f"pooler.{name}": array for name, array in dense.items()}
    _save_weights(folder / _WEIGHTS_NAME, bert)
    if dense:
        linear = {name.replace("dense.", "linear.", 1): dense[name] for name in dense}
        _save_weights(folder / "2_Dense" / _WEIGHTS_NAME, linear)

    for name in _VOCAB_FILES:
        if (vocab_folder / name).is_file():
            shutil.copyfile(vocab_folder / name, folder / name)


def _is_bert_pooler(config: DualEncoderConfig) -> bool:
    """Whether the dense layer is what BERT calls its pooler, as it is in LaBSE.

    It is then written under that name too: `pooler_output` of `BertModel` is the sentence vector.
    """
    is_square = config.output_size == config.bert.hidden_size
    return config.pooling == "cls" and config.projection == "tanh" and is_square


def _save_weights(path: Path, weights: Mapping[str, NDArray[np.float32]]) -> None:
    arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in weights.items()}
    save_file(arrays, path, metadata={"format": "pt"})  # transformers refuses files without it.
    # safetensors makes files that their owner alone can read.
    shutil.copymode(path.parent / "config.json", path)


def _load_foreign_tokenizer(folder: Path) -> Tokenizer:
    """Loads tokenizer.json alone: sentence-transformers 6 writes no vocab.txt to check it with."""
    path = folder / _TOKENIZER_NAME
    if not path.is_file():
        raise LabseError(
            f"{folder}: there is no {_TOKENIZER_NAME}; SentenceTransformer(path).save(...) makes it"
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # The library raises plain Exception.
        raise LabseError(f"{path}: cannot be read as a tokenizer: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _check_vocab_size(tokenizer: Tokenizer, config: DualEncoderConfig, *, where: str) -> None:
    num_entries, vocab_size = tokenizer.get_vocab_size(), config.bert.vocab_size
    if num_entries != vocab_size:
        raise LabseError(
            f"{where}: the tokenizer has {num_entries} entries, the configuration says "
            f"{vocab_size}; take the vocabulary that the model was trained with"
        )


def _find_weights(folder: Path) -> Path:
    path = folder / _WEIGHTS_NAME
    if path.is_file():
        return path
    if (folder / _PICKLE_NAME).is_file():
        raise LabseError(
            f"{folder}: holds only {_PICKLE_NAME}, a pickle, which can run code and is never "
            "loaded; convert it to model.safetensors first (SentenceTransformer(path).save(...))"
        )
    raise LabseError(f"{folder}: there is no {_WEIGHTS_NAME}")


def _check_hashes(folder: Path) -> None:
    if not (folder / MANIFEST_NAME).is_file():
        return
    files = read_json(folder / MANIFEST_NAME).get("files", {})
    if not isinstance(files, dict):
        raise LabseError(f"{folder / MANIFEST_NAME}: 'files' is not an object")
    for name, expected in files.items():
        if sha256_file(folder / name) != expected:
            raise LabseError(
                f"{folder / name}: its SHA-256 is not the one in {MANIFEST_NAME}; "
                "the file was changed or damaged, copy the folder again"
            )


def _check_replaceable(target: Path) -> None:
    """Refuses to replace files that this module did not write."""
    if target.exists() and not target.is_dir():
        raise LabseError(f"{target}: is a file; give another folder")
    found = {str(file.relative_to(target)) for file in _files_in(target)}
    if not found:
        return
    files = read_json(target / MANIFEST_NAME).get("files") if MANIFEST_NAME in found else None
    if not isinstance(files, dict) or MODULES_NAME not in files:
        raise LabseError(f"{target}: is not empty and not a model folder; give another folder")
    if others := sorted(found - {*files, MANIFEST_NAME}):
        raise LabseError(
            f"{target}: holds {others[0]!r} beside the model, which replacing it would delete; "
            "move it or give another folder"
        )


@contextlib.contextmanager
def _replace_folder(target: Path) -> Iterator[Path]:
    """Gives a temporary folder that takes the place of `target` when the block ends well."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # Of a killed run with the same number.
        temporary.mkdir(parents=True)
        yield temporary
        for file in _files_in(temporary):
            _sync(file)
        _move_into_place(temporary, target)
        _sync(target.parent)
    except (OSError, SafetensorError) as error:
        raise ResourceError(f"{target}: cannot be written: {error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move_into_place(temporary: Path, target: Path) -> None:
    """Renames; a folder that stood there is put aside first, and back if that fails."""
    if not target.exists():
        temporary.replace(target)
        return
    aside = target.with_name(f".{target.name}.{os.getpid()}.old")
    target.replace(aside)
    try:
        temporary.replace(target)
    except OSError:
        aside.replace(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]
