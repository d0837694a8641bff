"""Models of others that are no folder of sentence-transformers: a plain BERT, or Google's own.

Takes: a folder with config.json and weights, or with a checkpoint of TensorFlow. Gives: what a
model folder holds.
Source: `setu4993/LaBSE`, whose sentence vector is BERT's pooled output; google-research/bert;
LaBSE on TensorFlow Hub.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from labse.errors import LabseError
from labse.files.atomic import read_json
from labse.files.text import read_lines
from labse.model_folder.formats.tf_bundle import read_tf_bundle
from labse.model_folder.int8 import StoredWeights
from labse.model_folder.layout import parse_model_config, read_bert_config, read_max_seq_length
from labse.model_folder.weights import read_bert_weights
from labse.network.config import BertConfig, DualEncoderConfig
from labse.network.names import from_tf_variables
from labse.vocab.tokenizer import SPECIAL_TOKENS, build_tokenizer, load_tokenizer_file

__all__ = [
    "PlainModel",
    "find_weights",
    "is_plain_model",
    "load_foreign_tokenizer",
    "read_plain_model",
]

_logger = logging.getLogger(__name__)
_WEIGHTS_NAMES = (
    "model.safetensors",
    "model.int8.safetensors",
    "model.int4.safetensors",
    "pytorch_model.bin",
)
_TOKENIZER_NAME = "tokenizer.json"
_TF_CONFIG_NAME = "bert_config.json"
_LAYER = re.compile(r"encoder\.layer\.(\d+)")
_BERT_WORD_CHARS = 100  # A longer word is [UNK], as it was when Google trained.


@dataclass(frozen=True, slots=True)
class PlainModel:
    """A model whose folder says nothing of pooling."""

    config: DualEncoderConfig
    weights: StoredWeights


def is_plain_model(folder: Path) -> bool:
    """Says whether a folder holds a BERT in one of the two ways that this module reads."""
    return (folder / "config.json").is_file() or _find_checkpoint(folder) is not None


def read_plain_model(folder: Path) -> PlainModel:
    """Reads the weights; a pooler makes it LaBSE's tanh(Dense([CLS])), without one it is the mean.

    The choice is logged, for sentence-transformers would take the mean in both.

    Raises:
        LabseError: a file is missing, damaged or not supported.
    """
    if (folder / "1_Pooling").is_dir():
        raise LabseError(
            f"{folder}: there is a 1_Pooling but no modules.json, which says how the vector is "
            "made; copy the folder again"
        )
    checkpoint = _find_checkpoint(folder)
    if checkpoint is None:
        bert, first = read_bert_config(folder / "config.json")
        weights = read_bert_weights(find_weights(folder), with_pooler=True, first_position=first)
        length = read_max_seq_length(folder, bert)
    else:
        variables = read_tf_bundle(checkpoint)
        weights = StoredWeights(_pooler_as_dense(from_tf_variables(variables)))
        bert = _read_tf_config(folder, checkpoint, variables, weights)
        length = bert.max_position_embeddings
    has_pooler = "dense.weight" in weights
    _logger.info(
        "%s: no modules.json; the vector is %s",
        folder,
        "BERT's pooled output, as in LaBSE" if has_pooler else "the mean of the last states",
    )
    values = {
        "bert": bert,
        "pooling": "cls" if has_pooler else "mean",
        "projection": "tanh" if has_pooler else "none",
        "max_seq_length": length,
    }
    return PlainModel(parse_model_config(DualEncoderConfig, values, where=str(folder)), weights)


def find_weights(folder: Path) -> Path:
    """Returns the file of weights, safetensors if there is one.

    Raises:
        LabseError: there is none.
    """
    for name in _WEIGHTS_NAMES:
        if (folder / name).is_file():
            return folder / name
    raise LabseError(f"{folder}: there is no {_WEIGHTS_NAMES[0]}")


def load_foreign_tokenizer(folder: Path) -> Tokenizer:
    """Loads tokenizer.json, or builds BERT's tokenizer on vocab.txt.

    Raises:
        LabseError: neither is there, one is broken, or the files disagree on lower-casing.
    """
    path = folder / _TOKENIZER_NAME
    if not path.is_file():
        return _build_from_vocab(folder)
    tokenizer = load_tokenizer_file(path)
    _check_case(folder, tokenizer)
    return tokenizer


def _build_from_vocab(folder: Path) -> Tokenizer:
    paths = [folder / "vocab.txt", *sorted((folder / "assets").glob("*vocab*.txt"))]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise LabseError(
            f"{folder}: there is no {_TOKENIZER_NAME} and no vocab.txt; "
            "SentenceTransformer(path).save(...) makes the first"
        )
    vocab = list(read_lines(path))
    config_path = folder / "tokenizer_config.json"
    config = read_json(config_path) if config_path.is_file() else {}
    is_cased = any(piece != piece.lower() for piece in vocab if piece not in SPECIAL_TOKENS)
    if config.get("do_lower_case", not is_cased):
        raise LabseError(
            f"{path}: a vocabulary of lower-cased text, and no {_TOKENIZER_NAME} says how it was "
            "lowered; save the tokenizer with transformers, which writes that file"
        )
    return build_tokenizer(vocab, max_word_chars=_BERT_WORD_CHARS)


def _check_case(folder: Path, tokenizer: Tokenizer) -> None:
    """Refuses two files of which one lowers text and the other does not."""
    path = folder / "tokenizer_config.json"
    said = read_json(path).get("do_lower_case") if path.is_file() else None
    if not isinstance(said, bool) or tokenizer.normalizer is None:
        return
    state = json.loads(tokenizer.normalizer.__getstate__())
    if state.get("type") == "BertNormalizer" and state.get("lowercase") != said:
        raise LabseError(
            f"{path}: do_lower_case is {said}, but {_TOKENIZER_NAME} says the opposite; save the "
            "tokenizer again with transformers"
        )


def _find_checkpoint(folder: Path) -> Path | None:
    """Returns the prefix of a checkpoint of TensorFlow: its files less `.index`."""
    found = sorted([*folder.glob("*.index"), *folder.glob("variables/variables.index")])
    if len(found) > 1:
        raise LabseError(f"{folder}: holds {len(found)} checkpoints; leave only one of them there")
    return found[0].with_suffix("") if found else None


def _pooler_as_dense(weights: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    return {name.replace("pooler.dense.", "dense.", 1): array for name, array in weights.items()}


def _read_tf_config(
    folder: Path,
    checkpoint: Path,
    variables: Mapping[str, NDArray[np.float32]],
    weights: StoredWeights,
) -> BertConfig:
    """Reads bert_config.json; without it the sizes are those of the arrays.

    What Google's files call "gelu" is its form by tanh, with which all of them were trained
    (google-research/bert, modeling.py, `gelu`; tensorflow/models, official/modeling/activations).
    """
    for name in (_TF_CONFIG_NAME, "config.json"):
        if (folder / name).is_file():
            bert = read_bert_config(folder / name)[0]
            return bert.model_copy(update={"hidden_act": "gelu_tanh"})
    # Kernels of tensorflow/models are (hidden, heads, width); those of google-research/bert have
    # two dimensions and come with bert_config.json. 64 is the width of a head in every BERT.
    heads = {
        array.shape[1] for name, array in variables.items() if array.ndim == 3 and "query" in name
    }
    layers = {match[1] for name in weights if (match := _LAYER.match(name))}
    try:
        vocab_size, hidden_size = weights["embeddings.word_embeddings.weight"].shape
        sizes = {
            "vocab_size": vocab_size,
            "hidden_size": hidden_size,
            "num_hidden_layers": len(layers),
            "num_attention_heads": max(heads, default=max(hidden_size // 64, 1)),
            "intermediate_size": len(weights["encoder.layer.0.intermediate.dense.bias"]),
            "max_position_embeddings": len(weights["embeddings.position_embeddings.weight"]),
            "type_vocab_size": len(weights["embeddings.token_type_embeddings.weight"]),
            "hidden_act": "gelu_tanh",
        }
        return parse_model_config(BertConfig, sizes, where=f"{checkpoint}.index")
    except KeyError as error:
        raise LabseError(
            f"{checkpoint}.index: no variable of a BERT stands for {error}; its names are neither "
            "those of google-research/bert nor of tensorflow/models"
        ) from None
