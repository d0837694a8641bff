"""Names of BERT weights: Hugging Face's `BertModel` and ours, both ways, bit for bit.

Theirs keep query, key and value apart; ours stack the three, in that order, in one matrix.
Source: transformers `BertModel.state_dict()`; the older `LayerNorm.gamma` and `.beta` are read too.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from labse.errors import LabseError

__all__ = ["from_hf_state_dict", "to_hf_state_dict"]

# Module names, Hugging Face's and ours. Tables have a weight; all others a weight and a bias.
_TABLES = {
    "embeddings.word_embeddings": "embeddings.word",
    "embeddings.position_embeddings": "embeddings.position",
    "embeddings.token_type_embeddings": "embeddings.token_type",
}
_EMBEDDING_NORM = {"embeddings.LayerNorm": "embeddings.norm"}
_LAYER = {
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "feed_forward.intermediate",
    "output.dense": "feed_forward.output",
    "output.LayerNorm": "feed_forward_norm",
}
_POOLER = {"pooler.dense": "pooler"}
_KINDS = ("weight", "bias")
_HF_LAYER = "encoder.layer"
_HF_QKV = ("query", "key", "value")
_BUFFER = "embeddings.position_ids"  # 0, 1, 2, ...: older versions saved it with the weights.


def from_hf_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames the weights of a `BertModel` to those of `Bert`, stacking query, key and value.

    A prefix `bert.` is taken off. `embeddings.position_ids`, which holds no weights, is dropped;
    nothing else is. All but the stacked tensors share memory with `state`.

    Raises:
        LabseError: a weight is missing, unknown, there twice, or belongs to a head (`cls.`).
    """
    hf_state = _tidy_hf_names(state)
    num_layers = _count_layers(hf_state, _HF_LAYER)
    names = _plain_names(num_layers, with_pooler=_has_pooler(hf_state))
    hf_qkv_names = [name for hf_names in _qkv_names(num_layers).values() for name in hf_names]
    _check_names(hf_state, expected=[*names, *hf_qkv_names], whose="BertModel")

    ours = {name: hf_state[hf_name] for hf_name, name in names.items()}
    for name, hf_names in _qkv_names(num_layers).items():
        ours[name] = torch.cat([hf_state[hf_name] for hf_name in hf_names])
    return ours


def to_hf_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames the weights of `Bert` to those of a `BertModel`; inverse of `from_hf_state_dict`.

    Query, key and value are copies, so that no two tensors share memory (safetensors asks that).

    Raises:
        LabseError: a weight is missing or unknown.
    """
    num_layers = _count_layers(state, "layers")
    names = _plain_names(num_layers, with_pooler=_has_pooler(state))
    qkv_names = _qkv_names(num_layers)
    _check_names(state, expected=[*names.values(), *qkv_names], whose="Bert")

    hf_state = {hf_name: state[name] for hf_name, name in names.items()}
    for name, hf_names in qkv_names.items():
        parts = state[name].chunk(3)
        hf_state |= {hf: part.clone() for hf, part in zip(hf_names, parts, strict=True)}
    return hf_state


def _plain_names(num_layers: int, *, with_pooler: bool) -> dict[str, str]:
    """Maps the names that need no stacking, Hugging Face's to ours."""
    modules = _EMBEDDING_NORM | (_POOLER if with_pooler else {})
    for layer in range(num_layers):
        modules |= {
            f"{_HF_LAYER}.{layer}.{hf}": f"layers.{layer}.{name}" for hf, name in _LAYER.items()
        }
    tables = {f"{hf}.weight": f"{name}.weight" for hf, name in _TABLES.items()}
    return tables | {
        f"{hf}.{kind}": f"{name}.{kind}" for hf, name in modules.items() for kind in _KINDS
    }


def _qkv_names(num_layers: int) -> dict[str, list[str]]:
    """Maps each of our stacked tensors to the three of Hugging Face, in stacking order."""
    return {
        f"layers.{layer}.attention.qkv.{kind}": [
            f"{_HF_LAYER}.{layer}.attention.self.{part}.{kind}" for part in _HF_QKV
        ]
        for layer in range(num_layers)
        for kind in _KINDS
    }


def _tidy_hf_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Takes off `bert.`, renames gamma and beta, drops the buffer and refuses heads."""
    if heads := [name for name in state if name.startswith("cls.")]:
        raise LabseError(
            f"the weights hold a head beside the encoder: {_listed(heads)}; "
            "remove these names, or save the encoder (BertModel) alone"
        )
    tidy: dict[str, Tensor] = {}
    for hf_name, tensor in state.items():
        name = re.sub(r"\.gamma$", ".weight", hf_name.removeprefix("bert."))
        name = re.sub(r"\.beta$", ".bias", name)
        if name in tidy:
            raise LabseError(f"the weights hold {name!r} twice, once as {hf_name!r}; remove one")
        if name != _BUFFER:
            tidy[name] = tensor
    return tidy


def _count_layers(state: Mapping[str, Tensor], prefix: str) -> int:
    pattern = re.compile(rf"{re.escape(prefix)}\.(\d+)\.")
    matches = (pattern.match(name) for name in state)
    return max((int(match[1]) + 1 for match in matches if match), default=0)


def _has_pooler(state: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("pooler.") for name in state)


def _check_names(state: Mapping[str, Tensor], *, expected: Sequence[str], whose: str) -> None:
    if missing := [name for name in expected if name not in state]:
        raise LabseError(f"weights of a {whose} are missing: {_listed(missing)}")
    if unknown := sorted(set(state) - set(expected)):
        raise LabseError(f"not weights of a {whose}: {_listed(unknown)}; remove these names")


def _listed(names: Sequence[str], limit: int = 5) -> str:
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")
