"""Foreign names of BERT weights in one table: Hugging Face's and ours both ways, Google's to these.

Hugging Face keeps query, key and value apart; ours stack the three, in that order, in one matrix.
Google's are found under three spellings, and the axes of its matrices are the other way round.
Source: transformers, `BertModel.state_dict()`; google-research/bert, modeling.py;
tensorflow/models, official/nlp, as in LaBSE on TensorFlow Hub, and its checkpoints' object paths.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["from_hf_state_dict", "from_tf_variables", "modern_name", "to_hf_state_dict"]


class _Module(NamedTuple):
    """One module by its names; modules with the same name of ours are stacked in their order."""

    ours: str
    hf: str
    tf: tuple[str, ...]  # google-research/bert, official/nlp, and its object paths.


# Word, position and token-type tables have a weight; all other modules a weight and a bias.
_TABLES = (
    _Module("embeddings.word", "embeddings.word_embeddings", ("word_embeddings",)),
    _Module(
        "embeddings.position",
        "embeddings.position_embeddings",
        ("position_embeddings", "position_embedding"),
    ),
    _Module(
        "embeddings.token_type",
        "embeddings.token_type_embeddings",
        ("token_type_embeddings", "type_embeddings"),
    ),
)
_NORM = _Module(
    "embeddings.norm", "embeddings.LayerNorm", ("embeddings/LayerNorm", "embeddings/layer_norm")
)
_POOLER = _Module("pooler", "pooler.dense", ("pooler/dense", "pooler_transform"))
_LAYER = (
    *(
        _Module(
            "attention.qkv",
            f"attention.self.{part}",
            (f"attention/self/{part}", f"self_attention/{part}", f"_attention_layer/_{part}_dense"),
        )
        for part in ("query", "key", "value")
    ),
    _Module(
        "attention.output",
        "attention.output.dense",
        (
            "attention/output/dense",
            "self_attention/attention_output",
            "_attention_output_dense",
            "_attention_layer/_output_dense",
        ),
    ),
    _Module(
        "attention_norm",
        "attention.output.LayerNorm",
        ("attention/output/LayerNorm", "self_attention_layer_norm", "_attention_layer_norm"),
    ),
    _Module(
        "feed_forward.intermediate",
        "intermediate.dense",
        ("intermediate/dense", "intermediate", "_intermediate_dense"),
    ),
    _Module("feed_forward.output", "output.dense", ("output/dense", "output", "_output_dense")),
    _Module(
        "feed_forward_norm",
        "output.LayerNorm",
        ("output/LayerNorm", "output_layer_norm", "_output_layer_norm"),
    ),
)
_HF_LAYER = "encoder.layer"
_HF_BUFFER = "embeddings.position_ids"  # 0, 1, 2, ...: older versions saved it with the weights.
_LEGACY_ENDINGS = {".gamma": ".weight", ".beta": ".bias"}

_TF_EMBEDDINGS = {tf: module.hf for module in _TABLES for tf in module.tf}
_TF_OUTSIDE = {tf: module.hf for module in (_NORM, _POOLER) for tf in module.tf}
_TF_LAYER = {tf: module.hf for module in _LAYER for tf in module.tf}
_TF_ENDINGS = {"gamma": "weight", "beta": "bias", "kernel": "weight", "bias": "bias"}
_TF_LAYER_PATH = re.compile(r"(?:encoder|transformer)/layer_(\d+)/(.+)")
_TF_OBJECT_PATH = re.compile(r"layer_with_weights-(\d+)/?(.*)")


def from_hf_state_dict(state: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Renames the weights of a `BertModel` to those of `Bert`, stacking query, key and value.

    A prefix `bert.` is taken off. `embeddings.position_ids`, which holds no weights, is dropped;
    nothing else is. All but the stacked tensors share memory with `state`.

    Raises:
        LabseError: a weight is missing, unknown, there twice, or belongs to a head (`cls.`).
    """
    import torch

    hf_state = _tidy_hf_names(state)
    names = _hf_names(hf_state, _HF_LAYER)
    _check_names(hf_state, [hf for hf_names in names.values() for hf in hf_names], "BertModel")
    parts = {name: [hf_state[hf] for hf in hf_names] for name, hf_names in names.items()}
    return {name: torch.cat(p) if len(p) > 1 else p[0] for name, p in parts.items()}


def to_hf_state_dict(state: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Renames the weights of `Bert` to those of a `BertModel`; inverse of `from_hf_state_dict`.

    Query, key and value are copies, so that no two tensors share memory (safetensors asks that).

    Raises:
        LabseError: a weight is missing or unknown.
    """
    names = _hf_names(state, "layers")
    _check_names(state, list(names), "Bert")
    hf_state: dict[str, Tensor] = {}
    for name, hf_names in names.items():
        parts = state[name].chunk(len(hf_names))
        kept = [state[name]] if len(hf_names) == 1 else [part.clone() for part in parts]
        hf_state |= zip(hf_names, kept, strict=True)
    return hf_state


def from_tf_variables(
    variables: Mapping[str, NDArray[np.float32]],
) -> dict[str, NDArray[np.float32]]:
    """Returns Google's variables as weights of a `BertModel`, less those that are no weights.

    Kernels are transposed and heads joined: TensorFlow's are (in, out), those of attention also
    (in, A, E) and (A, E, out).
    """
    paths = {name: _tidy_tf_name(name) for name in variables}
    numbers = [int(match[1]) for path in paths.values() if (match := _TF_OBJECT_PATH.match(path))]
    last = max(numbers, default=0)
    weights = {}
    for name, array in variables.items():
        path, _, ending = paths[name].rpartition("/")
        found = _find_tf_module(path, last)
        if found is None or (ending != "embeddings" and ending not in _TF_ENDINGS):
            # A table of google-research/bert is a variable by itself: there is no ending.
            found, ending = _find_tf_module(paths[name], last), "embeddings"
        if found is not None:
            kind = _TF_ENDINGS.get(ending, "weight")
            weights[f"{found}.{kind}"] = _turn(array, found, ending)
    return weights


def modern_name(name: str) -> str:
    """Returns Hugging Face's name of today for `LayerNorm.gamma` and `.beta`, else the name."""
    for legacy, modern in _LEGACY_ENDINGS.items():
        if name.endswith(legacy):
            return name.removesuffix(legacy) + modern
    return name


def _hf_names(state: "Mapping[str, Tensor]", prefix: str) -> dict[str, list[str]]:
    """Maps each name of ours to Hugging Face's, three where query, key and value are stacked.

    Args:
        state: weights by either names; it tells the number of layers, and whether there is a
            pooler.
        prefix: what stands before the number of a layer in these names.
    """
    pattern = re.compile(rf"{re.escape(prefix)}\.(\d+)\.")
    num_layers = max((int(m[1]) + 1 for name in state if (m := pattern.match(name))), default=0)
    modules = [(_NORM.ours, _NORM.hf)]
    if any(name.startswith("pooler.") for name in state):
        modules.append((_POOLER.ours, _POOLER.hf))
    for layer in range(num_layers):
        modules += [(f"layers.{layer}.{m.ours}", f"{_HF_LAYER}.{layer}.{m.hf}") for m in _LAYER]

    names = {f"{module.ours}.weight": [f"{module.hf}.weight"] for module in _TABLES}
    for ours, hf in modules:
        for kind in ("weight", "bias"):
            names.setdefault(f"{ours}.{kind}", []).append(f"{hf}.{kind}")
    return names


def _tidy_hf_names(state: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Takes off `bert.`, renames gamma and beta, drops the buffer and refuses heads."""
    if heads := [name for name in state if name.startswith("cls.")]:
        raise LabseError(
            f"the weights hold a head beside the encoder: {_listed(heads)}; "
            "remove these names, or save the encoder (BertModel) alone"
        )
    tidy: dict[str, Tensor] = {}
    for hf_name, tensor in state.items():
        name = modern_name(hf_name.removeprefix("bert."))
        if name in tidy:
            raise LabseError(f"the weights hold {name!r} twice, once as {hf_name!r}; remove one")
        if name != _HF_BUFFER:
            tidy[name] = tensor
    return tidy


def _check_names(state: "Mapping[str, Tensor]", expected: Sequence[str], whose: str) -> None:
    if missing := [name for name in expected if name not in state]:
        raise LabseError(f"weights of a {whose} are missing: {_listed(missing)}")
    if unknown := sorted(set(state) - set(expected)):
        raise LabseError(f"not weights of a {whose}: {_listed(unknown)}; remove these names")


def _listed(names: Sequence[str], limit: int = 5) -> str:
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


def _tidy_tf_name(name: str) -> str:
    """Takes off what stands around a name."""
    name = name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").removesuffix(":0")
    return re.sub(r"^(model/|bert/|bert_model/|encoder/(?=layer_with_weights))+", "", name)


def _find_tf_module(path: str, last: int) -> str | None:
    """Returns the module of `BertModel` for a path; None for what is no weight of it.

    Args:
        path: names, or numbered objects: three tables, a norm, the layers, a dense layer last.
        last: the number of the last object.
    """
    if match := _TF_OBJECT_PATH.fullmatch(path):
        index, rest = int(match[1]), match[2]
        if index <= len(_TABLES):
            return (*_TABLES, _NORM)[index].hf
        if index == last and not rest:
            return _POOLER.hf
        layer, module = index - len(_TABLES) - 1, _TF_LAYER.get(rest)
        return module and f"{_HF_LAYER}.{layer}.{module}"
    if match := _TF_LAYER_PATH.fullmatch(path):
        module = _TF_LAYER.get(match[2])
        return module and f"{_HF_LAYER}.{match[1]}.{module}"
    return _TF_OUTSIDE.get(path) or _TF_EMBEDDINGS.get(path.removeprefix("embeddings/"))


def _turn(array: NDArray[np.float32], module: str, ending: str) -> NDArray[np.float32]:
    """Returns a variable in the shape that a `BertModel` has it."""
    if ending != "kernel":
        return array.reshape(-1) if ending == "bias" else array
    if module.endswith("attention.output.dense") and array.ndim == 3:
        return np.ascontiguousarray(array.reshape(-1, array.shape[-1]).T)
    return np.ascontiguousarray(array.reshape(array.shape[0], -1).T)
