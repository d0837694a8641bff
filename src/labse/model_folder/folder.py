"""The model folder: a dual encoder at rest, in the layout of sentence-transformers.

Takes: a configuration, NumPy weights, a vocabulary folder. Gives: one folder and back; no torch.
Source: sentence-transformers' layout; `sentence-transformers/LaBSE` has this shape.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

import labse
from labse.errors import LabseError, UsageError
from labse.files.atomic import (
    MANIFEST_NAME,
    check_replaceable,
    check_writable,
    files_in,
    replace_folder,
    sha256_file,
    write_json,
)
from labse.files.system import real_path
from labse.model_folder.formats.foreign import (
    find_weights,
    is_plain_model,
    load_foreign_tokenizer,
    read_plain_model,
)
from labse.model_folder.int8 import Storage, StoredWeights, stored_weight, to_tensors
from labse.model_folder.integrity import check_hashes, checked_beside, listed_hashes
from labse.model_folder.layout import (
    MODULES_NAME,
    PROMPTS_NAME,
    Prompts,
    build_layout_files,
    build_prompts_file,
    read_layout,
)
from labse.model_folder.weights import (
    check_finite,
    check_shapes,
    check_weights,
    read_bert_weights,
    read_tensors,
)
from labse.network.config import DualEncoderConfig
from labse.vocab.tokenizer import load_equal_files, load_tokenizer

__all__ = [
    "ModelFolder",
    "check_model_place",
    "is_own_manifest",
    "open_model_folder",
    "read_model_folder",
    "write_model_folder",
]

_WEIGHTS_NAME = "model.safetensors"
# Other names: transformers would read narrow rows as they stand, without their scales.
_NARROW_NAMES = {"int8": "model.int8.safetensors", "int4": "model.int4.safetensors"}
_TOKENIZER_NAME = "tokenizer.json"
_VOCAB_NAME = "vocab.txt"
_TOKENIZER_FILES = ("tokenizer_config.json", "special_tokens_map.json")
_FILE_SUFFIXES = (
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".safetensors",
    ".npz",
    ".gguf",
    ".zip",
    ".tar",
    ".gz",
)
_OWN_MANIFEST_KEYS = ("labse_version", "config", "storage", "files")


def _nothing() -> None:
    """Waits for no check."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What a model folder holds.

    Attributes:
        config: sizes, pooling and projection.
        weights: float32; the names of `BertModel`, and `dense.weight` (D, H) and `dense.bias` (D,)
            where there is a projection. Those of a folder are `StoredWeights`, and views of its
            files where these hold float32 or narrow rows; copy what is kept for long.
        tokenizer: neither truncates nor pads; may have fewer entries than the table has rows.
        prompts: what stands before a text.
        wait_for_checks: raises what is wrong with the weights; see `open_model_folder`.
    """

    config: DualEncoderConfig
    weights: Mapping[str, NDArray[np.float32]]
    tokenizer: Tokenizer
    prompts: Prompts = field(default_factory=Prompts)
    wait_for_checks: Callable[[], None] = field(default=_nothing, compare=False, repr=False)


def read_model_folder(path: str | Path) -> ModelFolder:
    """Reads and checks a model: ours, one of sentence-transformers in the shape of LaBSE, a BERT.

    Float16 and bfloat16 weights are cast to float32, int8 rows where they are used. Vectors are
    always scaled to unit length, so a folder without a Normalize module is read as if it had one.
    A folder without modules.json is read by `labse.model_folder.formats.foreign`.

    Raises:
        LabseError: something is missing, unsupported, damaged (SHA-256 against the manifest),
            not finite, or does not fit the rest.
    """
    with open_model_folder(path) as model:
        return model


@contextlib.contextmanager
def open_model_folder(path: str | Path) -> Iterator[ModelFolder]:
    """Gives what `read_model_folder` returns, while hashes and values are still being checked.

    The checks read every byte, so a block that builds something large runs beside them. What it
    made is good once the block has ended: that waits for the checks, and raises what they found.
    What outlives an error, such as a file, is made after `wait_for_checks` of the model.

    Raises:
        LabseError: see `read_model_folder`.
    """
    folder = Path(path)
    is_plain = not (folder / MODULES_NAME).is_file() and is_plain_model(folder)
    listed = None if is_plain else listed_hashes(folder)
    with checked_beside(partial(check_hashes, folder, listed or {})) as wait_for_hashes:
        model = _read_plain(folder) if is_plain else _read_modules(folder, listed)
        finite = partial(check_finite, model.weights, where=str(folder))
        with checked_beside(finite) as wait_for_values:

            def wait() -> None:
                wait_for_hashes()
                wait_for_values()

            yield replace(model, wait_for_checks=wait)


def write_model_folder(
    path: str | Path,
    model: ModelFolder,
    *,
    vocab_folder: Path,
    manifest: Mapping[str, object],
    storage: Storage = "float32",
    extra_files: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Writes the folder whole or not at all; `SentenceTransformer` loads it too, unless narrow.

    A model folder that stands there is replaced once the new one is on the disk.

    Args:
        path: the folder to make.
        model: what to write.
        vocab_folder: the vocabulary, or the model folder, that the tokenizer is of; what
            transformers reads beside tokenizer.json is copied from there.
        manifest: goes into manifest.json, beside labse's version, the configuration and the
            storage and the SHA-256 of every file.
        storage: how the matrices lie in the file; see `labse.model_folder.int8`.
        extra_files: what else lies in the folder, by name.

    Raises:
        ValueError: `manifest` holds a key that this function sets.
        LabseError: the weights or the vocabulary do not fit the configuration, or `path` holds
            something else than a model folder written by labse.
        ResourceError: the disk is full or cannot be written.
    """
    if taken := [key for key in _OWN_MANIFEST_KEYS if key in manifest]:
        raise ValueError(f"manifest: the key {taken[0]!r} is set by write_model_folder")
    target = real_path(path)
    check_weights(model.config, model.weights, where=str(path))
    _check_token_ids(model.tokenizer, model.config, where=str(path))
    check_replaceable(target, "model", is_own_manifest, error_type=LabseError)

    with replace_folder(target) as folder:
        _write_payload(folder, model, vocab_folder, storage)
        for name, content in extra_files.items():
            (folder / name).write_bytes(content)
        names = sorted(str(file.relative_to(folder)) for file in files_in(folder))
        own = {
            "labse_version": labse.__version__,
            "config": model.config.model_dump(),
            "storage": storage,
            "files": {name: sha256_file(folder / name) for name in names},
        }
        write_json(folder / MANIFEST_NAME, {**own, **manifest})


def check_model_place(path: str | Path) -> None:
    """Tells before the work that a model folder could not be written there.

    Raises:
        UsageError: the name is that of a file.
        LabseError: something else than a model folder written by labse stands there.
        ResourceError: it cannot be written.
    """
    target = real_path(path)
    if target.suffix.lower() in _FILE_SUFFIXES:
        raise UsageError(
            f"{path}: a model is a folder, or ONNX; give a name without suffix or .onnx"
        )
    check_replaceable(target, "model", is_own_manifest, error_type=LabseError)
    check_writable(target / MANIFEST_NAME)


def is_own_manifest(manifest: Mapping[str, object]) -> bool:
    """Says whether a manifest is that of a folder that `write_model_folder` has written."""
    files = manifest.get("files")
    return isinstance(files, dict) and MODULES_NAME in files


def _read_plain(folder: Path) -> ModelFolder:
    plain = read_plain_model(folder)
    return _join(folder, plain.config, plain.weights, load_foreign_tokenizer(folder))


def _read_modules(folder: Path, listed: Mapping[str, str] | None) -> ModelFolder:
    layout = read_layout(folder)
    weights = read_bert_weights(
        find_weights(layout.transformer), first_position=layout.first_position
    )
    if layout.dense is not None:
        weights = _join_dense(weights, read_tensors(find_weights(layout.dense)))

    # Where the hashes are those written, `write_model_folder` has compared the vocabulary's files.
    is_compared = listed is None or {_VOCAB_NAME, _TOKENIZER_NAME} <= set(listed)
    is_alone = is_compared or not (layout.transformer / _VOCAB_NAME).is_file()
    if listed and is_compared and (loaded := load_equal_files(layout.transformer)) is not None:
        tokenizer, num_ids = loaded
    else:
        tokenizer = (load_foreign_tokenizer if is_alone else load_tokenizer)(layout.transformer)
        num_ids = None
    model = _join(folder, layout.config, weights, tokenizer, num_ids=num_ids)
    return replace(model, prompts=layout.prompts)


def _join(
    folder: Path,
    config: DualEncoderConfig,
    weights: StoredWeights,
    tokenizer: Tokenizer,
    *,
    num_ids: int | None = None,
) -> ModelFolder:
    """Checks that the parts fit each other; ids are below `num_ids`, None if that is not known."""
    check_shapes(config, weights, where=str(folder))
    if num_ids is None or num_ids > config.bert.vocab_size:
        _check_token_ids(tokenizer, config, where=f"{folder}/{_TOKENIZER_NAME}")
    return ModelFolder(config=config, weights=weights, tokenizer=tokenizer)


def _join_dense(weights: StoredWeights, dense: StoredWeights) -> StoredWeights:
    named = {name.replace("linear.", "dense.", 1): dense.stored(name) for name in dense}
    if "dense.weight" in named and "dense.bias" not in named:  # Dense(bias=False).
        named["dense.bias"] = np.zeros(named["dense.weight"].shape[0], np.float32)
    return StoredWeights({name: weights.stored(name) for name in weights} | named)


def _write_payload(folder: Path, model: ModelFolder, vocab_folder: Path, storage: Storage) -> None:
    for name, text in build_layout_files(model.config).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8", newline="\n")

    # As they are kept: what was rounded once is not rounded again.
    stored = {name: stored_weight(model.weights, name) for name in model.weights}
    dense = {name: model.weights[name] for name in stored if name.startswith("dense.")}
    bert = {name: weight for name, weight in stored.items() if name not in dense}
    if _is_bert_pooler(model.config) and storage not in _NARROW_NAMES:
        bert |= {f"pooler.{name}": array for name, array in dense.items()}
    weights_name = _NARROW_NAMES.get(storage, _WEIGHTS_NAME)
    _save_weights(folder / weights_name, to_tensors(StoredWeights(bert), storage))
    if dense:
        linear = {name.replace("dense.", "linear.", 1): dense[name] for name in dense}
        _save_weights(folder / "2_Dense" / _WEIGHTS_NAME, to_tensors(linear, "float32"))

    # Without line breaks it is read in two thirds of the time: 0.19 s for 140,000 pieces.
    (folder / _TOKENIZER_NAME).write_text(model.tokenizer.to_str(), encoding="utf-8", newline="\n")
    if isinstance(model.tokenizer.model, WordPiece):  # Others have more than pieces to tell.
        ids = model.tokenizer.get_vocab()
        pieces = "".join(f"{piece}\n" for piece in sorted(ids, key=ids.__getitem__))
        (folder / _VOCAB_NAME).write_text(pieces, encoding="utf-8", newline="\n")
    if model.prompts.texts:
        (folder / PROMPTS_NAME).write_text(
            build_prompts_file(model.prompts), encoding="utf-8", newline="\n"
        )
    for name in _TOKENIZER_FILES:
        if (vocab_folder / name).is_file():
            shutil.copyfile(vocab_folder / name, folder / name)


def _is_bert_pooler(config: DualEncoderConfig) -> bool:
    """Whether the dense layer is what BERT calls its pooler, as it is in LaBSE.

    It is then written under that name too: `pooler_output` of `BertModel` is the sentence vector.
    """
    is_square = config.output_size == config.bert.hidden_size
    return config.pooling == "cls" and config.projection == "tanh" and is_square


def _save_weights(path: Path, tensors: dict[str, NDArray[np.generic]]) -> None:
    save_file(tensors, path, metadata={"format": "pt"})  # transformers refuses files without it.
    # safetensors makes files that their owner alone can read.
    shutil.copymode(path.parent / "config.json", path)


def _check_token_ids(tokenizer: Tokenizer, config: DualEncoderConfig, *, where: str) -> None:
    """Refuses a tokenizer that gives an id without a row in the word table.

    The table may be longer: XLM-R and multilingual-e5 have rows that no piece takes.
    """
    ids = tokenizer.get_vocab(with_added_tokens=True)
    # The ids around a sentence stand in a part of the file of their own.
    around = {f"token {number} around a sentence": number for number in tokenizer.encode("").ids}
    for name, number in (max(ids.items(), key=itemgetter(1), default=("", -1)), *around.items()):
        if number >= config.bert.vocab_size:
            raise LabseError(
                f"{where}: {name!r} has the id {number}, but the table has "
                f"{config.bert.vocab_size} rows (vocab_size, from 0); take the vocabulary that "
                "the model was trained with"
            )
