"""Where a run starts that does not start from random weights: a trained model's folder.

Takes: a model folder, a run's configuration. Gives: the configuration and the module to train.
Source: progressive stacking (Gong et al. 2019), continued down to zero layers.
"""

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from labse.config import Config
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.grow import grow_from_bag
from labse.errors import UsageError
from labse.files.atomic import MANIFEST_NAME, read_json, sha256_file
from labse.model_folder.folder import ModelFolder, read_model_folder
from labse.model_folder.formats.foreign import is_plain_model, load_foreign_tokenizer
from labse.model_folder.layout import MODULES_NAME, read_layout
from labse.model_folder.torch_model import to_dual_encoder
from labse.network.config import DualEncoderConfig
from labse.network.dual_encoder import DualEncoder
from labse.vocab.tokenizer import load_tokenizer

__all__ = [
    "fit_to_start",
    "read_start",
    "read_start_config",
    "read_tokenizer",
    "start_lineage",
    "start_model",
]

# No shape of a weight depends on these, so a run may state others than the folder's.
_MAY_DIFFER = (
    "max_seq_length",
    "bert.hidden_dropout_prob",
    "bert.attention_probs_dropout_prob",
)
# A model without layers has none of these yet.
_NUM_LAYERS = "bert.num_hidden_layers"
_OF_LAYERS = (_NUM_LAYERS, "bert.num_attention_heads", "bert.intermediate_size")


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    stated: object
    found: object


def read_tokenizer(folder: Path) -> Tokenizer:
    """Reads the tokenizer of a vocabulary folder or of a model folder of any kind.

    Raises:
        LabseError: there is none, or it is damaged.
    """
    if (folder / MODULES_NAME).is_file():
        return load_foreign_tokenizer(read_layout(folder).transformer)
    if (folder / "tokenizer.json").is_file() or not is_plain_model(folder):
        return load_tokenizer(folder)
    return load_foreign_tokenizer(folder)


def read_start_config(folder: Path) -> DualEncoderConfig:
    """Reads the sizes of a model, without its weights where its folder allows.

    Raises:
        LabseError: the folder is none of a model, or damaged.
    """
    if (folder / MODULES_NAME).is_file():
        return read_layout(folder).config
    return read_model_folder(folder).config


def read_start(path: Path, tokenizer: Tokenizer) -> ModelFolder:
    """Reads the model that a run starts from.

    Raises:
        LabseError: the folder is damaged.
        UsageError: its vocabulary is not that of `tokenizer`, so rows would change their pieces.
    """
    folder = read_model_folder(path)
    if folder.tokenizer.get_vocab() != tokenizer.get_vocab():
        raise UsageError(
            f"{path}: has another vocabulary than --vocab; leave --vocab out to take the model's"
        )
    return folder


def fit_to_start(config: RunConfig, found: DualEncoderConfig) -> RunConfig:
    """Completes `model` with the sizes of the one to start from; lengths and dropout may differ.

    More layers than a model without any has are grown on top of it.

    Raises:
        UsageError: the configuration states another value than the model's.
    """
    is_bag = found.bert.num_hidden_layers == 0
    changes: dict[str, object] = {}
    for key in _stated_keys(config.model, found):
        is_free = key.name in _MAY_DIFFER or (is_bag and key.name in _OF_LAYERS)
        if key.stated != key.found and not is_free:
            raise UsageError(
                f"model.{key.name} is {key.stated}, the model to start from has {key.found}; "
                "leave the key out"
            )
        changes[key.name] = key.stated
    bert = {name.removeprefix("bert."): changes.pop(name) for name in list(changes) if "." in name}
    values = found.model_dump() | changes | {"bert": found.bert.model_dump() | bert}
    return config.model_copy(update={"model": DualEncoderConfig.model_validate(values)})


def start_model(
    folder: ModelFolder, config: DualEncoderConfig, *, sparse_embeddings: bool
) -> DualEncoder:
    """Builds the folder's module in the shape of `config`; new layers draw their weights now.

    Raises:
        UsageError: layers cannot grow on this model.
    """
    model = to_dual_encoder(folder)
    if config.bert.num_hidden_layers != folder.config.bert.num_hidden_layers:
        try:
            return grow_from_bag(model, config, sparse_embeddings=sparse_embeddings)
        except ValueError as error:
            raise UsageError(f"model.{_NUM_LAYERS}: {error}") from None
    started = DualEncoder(config, sparse_embeddings=sparse_embeddings)
    started.load_state_dict(model.state_dict())
    return started


def start_lineage(path: Path) -> dict[str, object]:
    """Returns the hash of a model folder's weights and, where it is known, how they were made."""
    manifest = read_json(path / MANIFEST_NAME) if (path / MANIFEST_NAME).is_file() else {}
    weights = sorted(path.glob("*.safetensors"))
    keep = ("kind", "step", "seed", "run_config", "inputs", "vocabulary", "start")
    lineage: dict[str, object] = {key: manifest[key] for key in keep if key in manifest}
    return {"sha256": [sha256_file(file) for file in weights], **lineage}


def _stated_keys(stated: Config, found: Config, prefix: str = "") -> list[_Key]:
    keys: list[_Key] = []
    for name in sorted(stated.model_fields_set):
        value, there = getattr(stated, name), getattr(found, name)
        if isinstance(value, Config):
            keys += _stated_keys(value, there, f"{prefix}{name}.")
        else:
            keys.append(_Key(f"{prefix}{name}", value, there))
    return keys
