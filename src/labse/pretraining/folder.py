"""The folder of a BERT with its head, as transformers' `BertForMaskedLM` reads it.

Takes: weights by our names, the files of a vocabulary. Gives: a folder and back.
Source: transformers, `BertForMaskedLM.state_dict()`.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

import labse
from labse.config import parse_config
from labse.errors import LabseError, UsageError
from labse.files.atomic import MANIFEST_NAME, read_json, replace_folder, sha256_file, write_json
from labse.network.config import BertConfig
from labse.network.names import from_hf_state_dict, to_hf_state_dict
from labse.pretraining.model import MaskedLm
from labse.training.checkpoint import find_not_finite

__all__ = ["BertFolder", "read_bert_folder", "read_start", "vocabulary_files", "write_bert_folder"]

_WEIGHTS_NAME = "model.safetensors"
_TOKENIZER_FILES = (
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
# Our names of the head and Hugging Face's. Its decoder is the word table, which it ties itself.
_HEAD = {
    "head.dense.weight": "cls.predictions.transform.dense.weight",
    "head.dense.bias": "cls.predictions.transform.dense.bias",
    "head.norm.weight": "cls.predictions.transform.LayerNorm.weight",
    "head.norm.bias": "cls.predictions.transform.LayerNorm.bias",
    "head.bias": "cls.predictions.bias",
}
_BERT = "bert."


@dataclass(frozen=True, slots=True)
class BertFolder:
    """A BERT with its head.

    Attributes:
        state: weights by the names of `MaskedLm`; a pooler as `bert.pooler.*` if there is one.
    """

    config: BertConfig
    state: Mapping[str, Tensor]


def write_bert_folder(
    folder: Path,
    bert: BertFolder,
    *,
    files: Mapping[str, Path],
    manifest: Mapping[str, object] | None = None,
) -> None:
    """Writes weights, config.json, the files of a vocabulary and a manifest; replaces `folder`.

    Args:
        files: files to copy into it, by the name that they get; see `vocabulary_files`.
        manifest: facts of its making, to which hashes are added.

    Raises:
        ResourceError: the disk is full or cannot be written.
    """
    # Weights and sizes under the names of Hugging Face.
    encoder = {name: t for name, t in bert.state.items() if name.startswith(_BERT)}
    hf_encoder = to_hf_state_dict({n.removeprefix(_BERT): t for n, t in encoder.items()})
    tensors = {f"{_BERT}{name}": tensor for name, tensor in hf_encoder.items()}
    tensors |= {hf: bert.state[name] for name, hf in _HEAD.items()}
    config = {"architectures": ["BertForMaskedLM"], "model_type": "bert"}
    config |= {"position_embedding_type": "absolute", **bert.config.model_dump()}
    with replace_folder(folder) as temporary:
        for name, path in files.items():
            shutil.copyfile(path, temporary / name)
        write_json(temporary / "config.json", config)
        save_file(
            {name: tensor.detach().float().cpu().contiguous() for name, tensor in tensors.items()},
            temporary / _WEIGHTS_NAME,
            metadata={"format": "pt"},
        )
        hashes = {path.name: sha256_file(path) for path in sorted(temporary.iterdir())}
        made_by = {"kind": "model", "labse_version": labse.__version__, **(manifest or {})}
        write_json(temporary / MANIFEST_NAME, made_by | {"files": hashes})


def vocabulary_files(folder: Path) -> dict[str, Path]:
    """Returns the files of a vocabulary folder that belong to a model, by name."""
    return {name: folder / name for name in _TOKENIZER_FILES if (folder / name).is_file()}


def read_bert_folder(folder: Path) -> BertFolder:
    """Reads what `write_bert_folder` wrote; a pooler is left out.

    Raises:
        LabseError: a file is missing or damaged, sizes and weights do not match, a weight is not
            finite, or there is no head (then it was not made by `labse pretrain`).
    """
    if not folder.is_dir():
        raise LabseError(f"{folder}: no such folder")
    # Sizes first, then weights, of which the head must be there.
    values = read_json(folder / "config.json")
    known = {name: values[name] for name in BertConfig.model_fields if name in values}
    config = parse_config(BertConfig, known, where=str(folder / "config.json"))
    path = folder / _WEIGHTS_NAME
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise LabseError(f"{path}: cannot be read as weights ({error}); copy it again") from None
    if missing := [hf for hf in _HEAD.values() if hf not in tensors]:
        raise LabseError(
            f"{path}: there is no {missing[0]!r}; only a model of `labse pretrain`, with its head, "
            "can be grown"
        )

    # Our names, and a check of values and shapes.
    state = {name: tensors.pop(hf) for name, hf in _HEAD.items()}
    tensors = {name: t for name, t in tensors.items() if not name.startswith("bert.pooler.")}
    encoder = from_hf_state_dict(tensors)
    state |= {f"{_BERT}{name}": tensor for name, tensor in encoder.items()}
    if name := find_not_finite(state):
        raise LabseError(f"{path}: the weight {name!r} holds NaN or infinite values")
    _check_shapes(config, state, path)
    return BertFolder(config, state)


def read_start(folder: Path, vocab_folder: Path) -> BertFolder:
    """Reads the model to grow.

    Raises:
        LabseError: the folder is missing or damaged.
        UsageError: it has another vocabulary than `vocab_folder`.
    """
    start = read_bert_folder(folder)
    names = [path / "vocab.txt" for path in (folder, vocab_folder)]
    if sha256_file(names[0]) != sha256_file(names[1]):
        raise UsageError(
            f"{folder}: has another vocabulary than --vocab; leave --vocab out to take the model's"
        )
    return start


def _check_shapes(config: BertConfig, state: Mapping[str, Tensor], path: Path) -> None:
    with torch.device("meta"):
        expected = {name: tuple(t.shape) for name, t in MaskedLm(config).state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise LabseError(
                f"{path}: the weight {name!r} is {found.get(name, 'missing')}, by config.json "
                f"{expected.get(name, 'not there')}; the files belong to different models"
            )
