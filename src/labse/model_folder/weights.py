"""Weights as NumPy arrays: read, named as `BertModel` names them, and checked.

Takes: safetensors (float32, float16, bfloat16, rows of int8 or 4 bits with scales), or a pickle of
    tensors.
Gives: float32 arrays of the right shape, views of the file where that holds float32 or narrower
    rows; these become float32 where they are asked for.
Source: transformers `BertModel.state_dict()`; https://github.com/huggingface/safetensors, format.
"""

import json
import mmap
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from labse.errors import LabseError
from labse.files.text import unreadable
from labse.model_folder.int4 import PackedRows
from labse.model_folder.int8 import (
    LEVELS_SUFFIX,
    SCALE_SUFFIX,
    NarrowRows,
    QuantizedRows,
    StoredWeights,
    stored_weight,
)
from labse.network.config import DualEncoderConfig
from labse.network.names import modern_name
from labse.runtime import require

__all__ = [
    "check_finite",
    "check_shapes",
    "check_weights",
    "expected_shapes",
    "read_bert_weights",
    "read_tensors",
]

_PREFIXES = ("bert.", "roberta.")
_POSITIONS = "embeddings.position_embeddings.weight"
# NumPy has no bfloat16.
_DTYPES = {
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,
    "I8": np.int8,
    "U8": np.uint8,
}


def read_tensors(path: Path) -> StoredWeights:
    """Reads every tensor of a file; floats are cast to float32, rows of int8 or 4 bits are kept.

    What needs no cast is a view of the file, read when it is used; a change of it changes no file.
    A `.bin` file is a pickle; torch reads it with `weights_only`, which runs no code of the file.

    Raises:
        LabseError: no such file, a damaged one, a type other than float32, float16, bfloat16, or
            narrow rows without their scales and levels, or a pickle of anything but tensors.
        ResourceError: a `.bin` file, and torch is not installed.
    """
    try:
        if path.suffix == ".bin":
            return StoredWeights(_read_pickle(path))
        with safe_open(path, framework="numpy"):  # Checks the header against the file's length.
            pass
        return StoredWeights(_map_tensors(path))
    except SafetensorError as error:
        raise LabseError(f"{path}: not a whole safetensors file ({error}); copy it again") from None
    except OSError as error:
        raise unreadable(path, error) from None


def read_bert_weights(
    path: Path, *, with_pooler: bool = False, first_position: int = 0
) -> StoredWeights:
    """Reads the encoder out of the file of a `BertModel` or of a model with a head.

    The prefix `bert.` or `roberta.` is taken off and heads beside it are left out, as are the
    pooler (sentence vectors take the Dense module) and the buffer of positions; gamma and beta get
    today's names.

    Args:
        path: model.safetensors or pytorch_model.bin.
        with_pooler: keep it, as `dense.weight` and `dense.bias`.
        first_position: rows of the position table that no token takes, and that are left out.

    Raises:
        LabseError: see `read_tensors`.
    """
    tensors = read_tensors(path)
    prefixes = [p for p in _PREFIXES if any(name.startswith(p) for name in tensors)]
    prefix = prefixes[0] if prefixes else ""
    names = {name: name.removeprefix(prefix) for name in tensors if name.startswith(prefix)}
    weights = {
        modern_name(short.removeprefix("pooler.")): tensors.stored(name)
        for name, short in names.items()
        if with_pooler or not short.startswith("pooler.")
    }
    table = weights.get(_POSITIONS)
    if isinstance(table, np.ndarray):
        weights[_POSITIONS] = table[first_position:]
    return StoredWeights(weights)


def expected_shapes(config: DualEncoderConfig) -> dict[str, tuple[int, ...]]:
    """Returns the name and shape of every weight: those of `BertModel`, then the dense layer."""
    bert = config.bert
    hidden, inner = bert.hidden_size, bert.intermediate_size
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (bert.vocab_size, hidden),
        _POSITIONS: (bert.max_position_embeddings, hidden),
        "embeddings.token_type_embeddings.weight": (bert.type_vocab_size, hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
    }
    for layer in range(bert.num_hidden_layers):
        prefix = f"encoder.layer.{layer}"
        linear = {f"attention.self.{part}": (hidden, hidden) for part in ("query", "key", "value")}
        linear["attention.output.dense"] = (hidden, hidden)
        linear["intermediate.dense"] = (inner, hidden)
        linear["output.dense"] = (hidden, inner)
        for name, (rows, columns) in linear.items():
            shapes[f"{prefix}.{name}.weight"] = (rows, columns)
            shapes[f"{prefix}.{name}.bias"] = (rows,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"{prefix}.{name}.weight"] = (hidden,)
            shapes[f"{prefix}.{name}.bias"] = (hidden,)
    if config.projection != "none":
        shapes["dense.weight"] = (config.output_size, hidden)
        shapes["dense.bias"] = (config.output_size,)
    return shapes


def check_weights(
    config: DualEncoderConfig, weights: Mapping[str, NDArray[np.float32]], *, where: str
) -> None:
    """Checks that every weight is there, of its shape and finite, and that there is no other.

    Raises:
        LabseError: the first that is not; `where` names the folder in the message.
    """
    check_shapes(config, weights, where=where)
    check_finite(weights, where=where)


def check_shapes(
    config: DualEncoderConfig, weights: Mapping[str, NDArray[np.float32]], *, where: str
) -> None:
    """Checks that every weight is there and of its shape, and that there is no other.

    Raises:
        LabseError: the first that is not; `where` names the folder in the message.
    """
    shapes = expected_shapes(config)
    for name, shape in shapes.items():
        if name not in weights:
            raise LabseError(
                f"{where}: the weight {name!r} is missing; the file belongs to another "
                "architecture or was cut"
            )
        found = stored_weight(weights, name).shape
        if found != shape:
            raise LabseError(
                f"{where}: the weight {name!r} has shape {found}, the "
                f"configuration says {shape}; the files belong to different models"
            )
    if unknown := sorted(set(weights) - set(shapes)):
        raise LabseError(f"{where}: {unknown[0]!r} is not a weight of this architecture")


def check_finite(weights: Mapping[str, NDArray[np.float32]], *, where: str) -> None:
    """Checks that no weight holds NaN or infinity; reads all of them.

    Raises:
        LabseError: the first that does; `where` names the folder in the message.
    """
    for name in weights:
        weight = stored_weight(weights, name)
        if not _is_finite(weight.scales if isinstance(weight, NarrowRows) else weight):
            raise LabseError(
                f"{where}: the weight {name!r} holds NaN or infinite values; "
                "its training diverged, take an earlier checkpoint"
            )


def _is_finite(array: NDArray[np.float32]) -> bool:
    """Asks the sum first, which is not finite if a value is not: no array of answers."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())


def _map_tensors(path: Path) -> dict[str, NDArray[np.float32] | NarrowRows]:
    """Returns the tensors of a whole file of safetensors; the pages stay as long as a view does."""
    with path.open("rb") as stream:
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    dtypes = {name: str(entry["dtype"]) for name, entry in entries.items()}
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, entry in entries.items():
        first, end = entry["data_offsets"]
        dtype = _DTYPES.get(dtypes[name], np.uint8)
        shape = entry["shape"] if dtypes[name] in _DTYPES else [end - first]
        arrays[name] = np.ndarray(shape, dtype, buffer=content, offset=start + first)
    return _cast_tensors(path, arrays, dtypes)


def _cast_tensors(
    path: Path, arrays: Mapping[str, NDArray[np.generic]], dtypes: Mapping[str, str]
) -> dict[str, NDArray[np.float32] | NarrowRows]:
    tensors: dict[str, NDArray[np.float32] | NarrowRows] = {}
    for name, array in arrays.items():
        if name.endswith("position_ids"):
            continue  # An int64 buffer of older files: 0, 1, 2, ...
        if dtypes[name] not in _DTYPES:
            raise LabseError(
                f"{path}: the weight {name!r} is of type {dtypes[name]}; save the model in "
                "float32, float16 or bfloat16"
            )
        if dtypes[name] == "I8":
            tensors[name] = QuantizedRows(
                np.asarray(array, np.int8), _scales_of(path, name, arrays)
            )
            continue
        if dtypes[name] == "U8":
            scales, levels = _scales_of(path, name, arrays), _levels_of(path, name, arrays)
            tensors[name] = PackedRows(np.asarray(array, np.uint8), scales, levels)
            continue
        whole = name.removesuffix(SCALE_SUFFIX).removesuffix(LEVELS_SUFFIX)
        if whole != name and dtypes.get(whole) in ("I8", "U8"):
            continue
        if dtypes[name] == "BF16":  # The upper half of a float32.
            array = (array.astype(np.uint32) << 16).view(np.float32)
        tensors[name] = np.require(array, np.float32, ["C", "ALIGNED"])
    return tensors


def _scales_of(
    path: Path, name: str, arrays: Mapping[str, NDArray[np.generic]]
) -> NDArray[np.float32]:
    scales = arrays.get(name + SCALE_SUFFIX)
    if scales is None or scales.dtype != np.float32 or scales.shape != arrays[name].shape[:1]:
        raise LabseError(
            f"{path}: the weight {name!r} is of type {_narrow_type(arrays[name])} and has no "
            "float32 scale for each row; `labse export --storage int8` or int4 writes them"
        )
    return np.asarray(scales, np.float32)


def _levels_of(
    path: Path, name: str, arrays: Mapping[str, NDArray[np.generic]]
) -> NDArray[np.float32]:
    levels = arrays.get(name + LEVELS_SUFFIX)
    is_whole = levels is not None and levels.dtype == np.float32 and levels.shape == (16,)
    if levels is None or not is_whole or not np.isfinite(levels).all():
        raise LabseError(
            f"{path}: the weight {name!r} is of type U8 and has no 16 finite levels; "
            "`labse export --storage int4` writes them"
        )
    return np.asarray(levels, np.float32)


def _narrow_type(array: NDArray[np.generic]) -> str:
    return "I8" if array.dtype == np.int8 else "U8"


def _read_pickle(path: Path) -> dict[str, NDArray[np.float32] | NarrowRows]:
    torch = require("torch", "train")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of torch, on pickles that it then refuses.
            state = torch.load(path, map_location="cpu", weights_only=True)
        tensors = {
            str(name): tensor for name, tensor in state.items() if not name.endswith("position_ids")
        }
        return {name: tensor.detach().float().numpy() for name, tensor in tensors.items()}
    except (pickle.UnpicklingError, RuntimeError, EOFError, AttributeError, ValueError) as error:
        raise LabseError(
            f"{path}: not a pickle of tensors alone, so it is not loaded "
            f"({type(error).__name__}); save the model as safetensors"
        ) from None
