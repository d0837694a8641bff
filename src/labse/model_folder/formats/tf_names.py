"""Names and shapes of Google's BERT variables as those of `BertModel`.

Takes: variables as TensorFlow names them. Gives: the weights of a `BertModel`, pooler included.
Source: google-research/bert, modeling.py (`bert/encoder/layer_0/...`); tensorflow/models,
official/nlp (`transformer/layer_0/...`, as in LaBSE on TensorFlow Hub; and the object paths
`layer_with_weights-4/...` of checkpoints up to version 2.3).
"""

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_tf_variables"]

_ENDINGS = {"gamma": "weight", "beta": "bias", "kernel": "weight", "bias": "bias"}
_TABLES = {
    "word_embeddings": "word",
    "position_embedding": "position",
    "position_embeddings": "position",
    "type_embeddings": "token_type",
    "token_type_embeddings": "token_type",
}
# The modules of a layer, in the words of the three sources in their order.
_LAYER_MODULES = {
    **{f"attention/self/{part}": f"attention.self.{part}" for part in ("query", "key", "value")},
    "attention/output/dense": "attention.output.dense",
    "attention/output/LayerNorm": "attention.output.LayerNorm",
    "intermediate/dense": "intermediate.dense",
    "output/dense": "output.dense",
    "output/LayerNorm": "output.LayerNorm",
    **{f"self_attention/{part}": f"attention.self.{part}" for part in ("query", "key", "value")},
    "self_attention/attention_output": "attention.output.dense",
    "self_attention_layer_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_layer_norm": "output.LayerNorm",
    **{
        f"_attention_layer/_{part}_dense": f"attention.self.{part}"
        for part in ("query", "key", "value")
    },
    "_attention_output_dense": "attention.output.dense",
    "_attention_layer/_output_dense": "attention.output.dense",
    "_attention_layer_norm": "attention.output.LayerNorm",
    "_intermediate_dense": "intermediate.dense",
    "_output_dense": "output.dense",
    "_output_layer_norm": "output.LayerNorm",
}
_NORMS = ("embeddings/LayerNorm", "embeddings/layer_norm")
_POOLERS = ("pooler/dense", "pooler_transform")
_LAYER = re.compile(r"(?:encoder|transformer)/layer_(\d+)/(.+)")
_OBJECT_PATH = re.compile(r"layer_with_weights-(\d+)/?(.*)")


def from_tf_variables(
    variables: Mapping[str, NDArray[np.float32]],
) -> dict[str, NDArray[np.float32]]:
    """Renames, transposes kernels and joins heads; variables that are no weights are left out.

    TensorFlow's kernels are (in, out), those of attention also (in, A, E) and (A, E, out).
    """
    paths = {name: _tidy(name) for name in variables}
    numbers = [int(match[1]) for path in paths.values() if (match := _OBJECT_PATH.match(path))]
    last = max(numbers, default=0)
    weights = {}
    for name, array in variables.items():
        module, _, ending = paths[name].rpartition("/")
        found = _name_object(module, last) if _OBJECT_PATH.match(module) else _name_module(module)
        if found is None or (ending != "embeddings" and ending not in _ENDINGS):
            # A table of google-research/bert is a variable by itself: there is no ending.
            found, ending = _name_module(paths[name]), "embeddings"
        if found is None:
            continue
        kind = "weight" if ending == "embeddings" else _ENDINGS[ending]
        weights[f"{found}.{kind}"] = _turn(array, found, ending)
    return weights


def _tidy(name: str) -> str:
    """Takes off what stands around a name."""
    name = name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").removesuffix(":0")
    return re.sub(r"^(model/|bert/|bert_model/|encoder/(?=layer_with_weights))+", "", name)


def _name_module(path: str) -> str | None:
    """Returns the module of `BertModel` for a path of names; None for what is no weight of it."""
    if path in _NORMS:
        return "embeddings.LayerNorm"
    if path in _POOLERS:
        return "pooler.dense"
    if table := _TABLES.get(path.removeprefix("embeddings/")):
        return f"embeddings.{table}_embeddings"
    if match := _LAYER.fullmatch(path):
        module = _LAYER_MODULES.get(match[2])
        return module and f"encoder.layer.{match[1]}.{module}"
    return None


def _name_object(path: str, last: int) -> str | None:
    """The same for a path of objects: three tables, a norm, the layers, and a dense layer last."""
    match = _OBJECT_PATH.fullmatch(path)
    assert match
    index, rest = int(match[1]), match[2]
    tables = ("word", "position", "token_type")
    if index < len(tables):
        return f"embeddings.{tables[index]}_embeddings"
    if index == len(tables):
        return "embeddings.LayerNorm"
    if index == last and not rest:
        return "pooler.dense"
    module = _LAYER_MODULES.get(rest)
    return module and f"encoder.layer.{index - 4}.{module}"


def _turn(array: NDArray[np.float32], module: str, ending: str) -> NDArray[np.float32]:
    if ending == "kernel":
        rows = array.shape[0]
        is_attention_output = module.endswith("attention.output.dense") and array.ndim == 3
        array = (
            array.reshape(-1, array.shape[-1]) if is_attention_output else array.reshape(rows, -1)
        )
        return np.ascontiguousarray(array.T)
    return array.reshape(-1) if ending == "bias" else array
