"""The JSON files of a sentence-transformers folder, as a `DualEncoderConfig` and back.

Takes: a folder, or a configuration. Gives: a checked layout, or the files to write.
Source: sentence-transformers 2 to 6, `modules.json` and the modules' own `config.json`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, TypeVar

from labse.config import parse_config
from labse.errors import LabseError, UsageError
from labse.files.atomic import read_json
from labse.files.text import read_whole
from labse.network.config import BertConfig, DualEncoderConfig

__all__ = [
    "MODULES_NAME",
    "PROMPTS_NAME",
    "Layout",
    "Prompts",
    "build_layout_files",
    "build_prompts_file",
    "parse_model_config",
    "read_bert_config",
    "read_layout",
    "read_max_seq_length",
]

ConfigT = TypeVar("ConfigT", BertConfig, DualEncoderConfig)

MODULES_NAME = "modules.json"
_TRANSFORMER_CONFIG = "sentence_bert_config.json"
PROMPTS_NAME = "config_sentence_transformers.json"
_ORDER = ("Transformer", "Pooling", "Dense", "Normalize")
_ROBERTAS = ("roberta", "xlm-roberta", "camembert")
_REQUIRED_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)
# Ours, and what transformers calls the same; it has several names for each.
_HIDDEN_ACTS = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh"}
_GELUS = {
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
}
_ACTIVATIONS = {
    "tanh": "torch.nn.modules.activation.Tanh",
    "linear": "torch.nn.modules.linear.Identity",
}
# Names up to version 5, which later versions read as well; version 6 writes `pooling_mode`.
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True, slots=True)
class Prompts:
    """Words that a model wants before a text, such as "query: ".

    Attributes:
        texts: each prompt by its name.
        default_name: name of the one that stands before every text that comes without; None: none.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    default_name: str | None = None

    def put_before(
        self, texts: Iterable[str], prompt: str | None = None, name: str | None = None
    ) -> Iterable[str]:
        """Returns the texts behind `prompt`, else behind the one of that name or the default.

        Raises:
            ValueError: there is none of that name.
        """
        if prompt is None:
            if name is not None and name not in self.texts:
                known = ", ".join(self.texts) or "none"
                raise ValueError(f"prompt_name {name!r}: the model has {known}")
            name = name or self.default_name
            prompt = "" if name is None else self.texts[name]
        return (f"{prompt}{text}" for text in texts) if prompt else texts


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of a model lie and what they say.

    Attributes:
        config: sizes and pooling; `embedding_size` is None where it equals `hidden_size`.
        first_position: row of the position table that the first token takes.
        transformer: folder of the encoder and, as a rule, of the tokenizer.
        dense: folder of the dense layer; None if there is none.
        prompts: what stands before a text.
    """

    config: DualEncoderConfig
    first_position: int
    transformer: Path
    dense: Path | None
    prompts: Prompts


def read_layout(folder: Path) -> Layout:
    """Reads the modules of a folder: Transformer, Pooling, then Dense and Normalize if there.

    Raises:
        LabseError: a module, file or setting is missing or not supported.
    """
    modules = _read_modules(folder)
    transformer, dense = modules["Transformer"], modules.get("Dense")
    bert, first_position = read_bert_config(transformer / "config.json")
    prompts = _read_prompts(folder / PROMPTS_NAME)
    pooling = _read_pooling(modules["Pooling"] / "config.json", bert.hidden_size, prompts)
    projection, output_size = "none", bert.hidden_size
    if dense is not None:
        projection, output_size = _read_dense(dense / "config.json", bert.hidden_size)
    values = {
        "bert": bert,
        "pooling": pooling,
        "projection": projection,
        "embedding_size": None if output_size == bert.hidden_size else output_size,
        "max_seq_length": read_max_seq_length(transformer, bert),
    }
    config = parse_model_config(DualEncoderConfig, values, where=str(folder))
    return Layout(config, first_position, transformer, dense, prompts)


def build_layout_files(config: DualEncoderConfig) -> dict[str, str]:
    """Returns the JSON files to write, by path: those that sentence-transformers 2 to 6 read.

    The module names are those of version 2 to 5, which 6 still maps to its own.
    """
    # The files of the modules ...
    hidden_size = config.bert.hidden_size
    files: dict[str, object] = {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "position_embedding_type": "absolute",
            **config.bert.model_dump(),
            "hidden_act": _HIDDEN_ACTS[config.bert.hidden_act],
        },
        _TRANSFORMER_CONFIG: {"max_seq_length": config.max_seq_length, "do_lower_case": False},
        "1_Pooling/config.json": {
            "word_embedding_dimension": hidden_size,
            **{flag: mode == config.pooling for flag, mode in _POOLING_FLAGS.items()},
        },
    }
    if config.projection != "none":
        files["2_Dense/config.json"] = {
            "in_features": hidden_size,
            "out_features": config.output_size,
            "bias": True,
            "activation_function": _ACTIVATIONS[config.projection],
        }

    # ... and the list of these, in their order.
    names = [name for name in _ORDER if name != "Dense" or config.projection != "none"]
    paths = ["" if index == 0 else f"{index}_{name}" for index, name in enumerate(names)]
    files[f"{paths[-1]}/config.json"] = {}
    files[MODULES_NAME] = [
        {
            "idx": index,
            "name": str(index),
            "path": path,
            "type": f"sentence_transformers.models.{name}",
        }
        for index, (name, path) in enumerate(zip(names, paths, strict=True))
    ]
    return {path: json.dumps(value, indent=2) + "\n" for path, value in files.items()}


def _read_modules(folder: Path) -> dict[str, Path]:
    """Returns the folder of each module by its class name, in the order they are applied."""
    path = folder / MODULES_NAME
    modules: dict[str, Path] = {}
    for module_type, subfolder in _read_module_entries(folder):
        name = module_type.rpartition(".")[2]
        if name not in _ORDER or not module_type.startswith("sentence_transformers."):
            raise LabseError(
                f"{path}: the module {module_type!r} is not supported; a model is made of "
                f"{', '.join(_ORDER)}"
            )
        inside = PurePosixPath(subfolder)
        if inside.is_absolute() or ".." in inside.parts:
            raise LabseError(f"{path}: the module path {subfolder!r} leads out of the folder")
        if name in modules:
            raise LabseError(f"{path}: more than one {name} module is not supported")
        modules[name] = folder / inside

    if list(modules) != [name for name in _ORDER if name in modules]:
        raise LabseError(f"{path}: the modules must come in the order {', '.join(_ORDER)}")
    for name in ("Transformer", "Pooling"):
        if name not in modules:
            raise LabseError(f"{path}: there is no {name} module")
    return modules


def _read_module_entries(folder: Path) -> list[tuple[str, str]]:
    """Returns the type and the path of each module as they stand in the file."""
    path = folder / MODULES_NAME
    if not folder.is_dir():
        raise LabseError(
            f"{folder}: no such model folder; models are read from the disk, none is downloaded"
        )
    if not path.is_file():
        raise LabseError(
            f"{folder}: not a model folder, it has no {MODULES_NAME}, config.json or checkpoint"
        )
    try:
        return [(str(entry["type"]), str(entry["path"])) for entry in json.loads(read_whole(path))]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise LabseError(f"{path}: not a list of modules ({error!r})") from None


def build_prompts_file(prompts: Prompts) -> str:
    """Returns the text of `PROMPTS_NAME`."""
    value = {"prompts": dict(prompts.texts), "default_prompt_name": prompts.default_name}
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def read_bert_config(path: Path) -> tuple[BertConfig, int]:
    """Reads the sizes in the config.json of a BERT, and the row of the first token's position.

    RoBERTa and XLM-R are BERTs whose positions start behind that of padding: with the first
    `pad_token_id + 1` rows of the table left out, they start at 0 (fairseq, `make_positions`).

    Raises:
        LabseError: a size is missing, or it is none of the BERTs that labse computes.
    """
    values = read_json(path)
    model_type = values.get("model_type", "bert")
    unsupported: dict[str, object] = {
        "model_type": model_type not in ("bert", *_ROBERTAS),
        "position_embedding_type": values.get("position_embedding_type", "absolute") != "absolute",
        "is_decoder": bool(values.get("is_decoder", False)),
    }
    for key, is_unsupported in unsupported.items():
        if is_unsupported:
            raise LabseError(
                f"{path}: {key} {values[key]!r} is not supported; a BERT or XLM-R is needed"
            )
    if missing := [key for key in _REQUIRED_SIZES if values.get(key) is None]:
        raise LabseError(f"{path}: {missing[0]} is missing")
    known = {key: values[key] for key in BertConfig.model_fields if values.get(key) is not None}
    if isinstance(act := known.get("hidden_act"), str):
        known["hidden_act"] = _GELUS.get(act, act)
    if model_type not in _ROBERTAS:
        return parse_model_config(BertConfig, known, where=str(path)), 0
    stated = parse_model_config(BertConfig, {"pad_token_id": 1, **known}, where=str(path))
    first_position = stated.pad_token_id + 1
    num_positions = stated.max_position_embeddings - first_position
    sizes = {**dict(stated), "max_position_embeddings": num_positions}
    return parse_model_config(BertConfig, sizes, where=str(path)), first_position


def _read_prompts(path: Path) -> Prompts:
    values = read_json(path) if path.is_file() else {}
    texts, default_name = values.get("prompts") or {}, values.get("default_prompt_name")
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise LabseError(f"{path}: 'prompts' is not an object of texts")
    if default_name is not None and str(default_name) not in texts:
        raise LabseError(f"{path}: default_prompt_name {default_name!r} is none of its prompts")
    # sentence-transformers writes the two that nobody set as empty texts.
    kept = {name: text for name, text in texts.items() if text}
    return Prompts(kept, str(default_name) if str(default_name) in kept else None)


def _read_pooling(path: Path, hidden_size: int, prompts: Prompts) -> Literal["cls", "mean"]:
    values = read_json(path)
    if prompts.texts and values.get("include_prompt") is False:
        raise LabseError(f"{path}: include_prompt false, with prompts, is not supported")
    size = values.get("word_embedding_dimension", values.get("embedding_dimension"))
    if size != hidden_size:
        raise LabseError(f"{path}: pools {size} values, the encoder gives {hidden_size}")

    modes = values.get("pooling_mode")
    if modes is None:
        modes = [mode for flag, mode in _POOLING_FLAGS.items() if values.get(flag)] or ["mean"]
    elif isinstance(modes, str):
        modes = [modes]
    if modes == ["cls"]:
        return "cls"
    if modes == ["mean"]:
        return "mean"
    raise LabseError(f"{path}: pooling {modes} is not supported; it must be cls or mean alone")


def _read_dense(path: Path, hidden_size: int) -> tuple[str, int]:
    """Returns the projection and D."""
    values = read_json(path)
    if values.get("in_features") != hidden_size:
        raise LabseError(
            f"{path}: in_features is {values.get('in_features')}, the encoder gives {hidden_size}"
        )
    keys = ("module_input_name", "module_output_name")
    if values.get("use_residual") or any(
        values.get(key) not in (None, "sentence_embedding") for key in keys
    ):
        raise LabseError(f"{path}: use_residual and named inputs or outputs are not supported")

    output_size = values.get("out_features")
    activation = str(values.get("activation_function", _ACTIVATIONS["tanh"]))
    projections = {full.rpartition(".")[2]: name for name, full in _ACTIVATIONS.items()}
    projection = projections.get(activation.rpartition(".")[2])
    if projection is None or not activation.startswith("torch.nn."):
        raise LabseError(f"{path}: activation {activation!r} is not supported; use Tanh, Identity")
    if not isinstance(output_size, int):
        raise LabseError(f"{path}: out_features is {output_size!r}, not a number")
    return projection, output_size


def read_max_seq_length(transformer: Path, bert: BertConfig) -> int:
    """Returns the smallest limit stated: version 6 states it in the tokenizer's file alone."""
    path = transformer / _TRANSFORMER_CONFIG
    values = read_json(path) if path.is_file() else {}
    if values.get("do_lower_case"):
        raise LabseError(f"{path}: do_lower_case is not supported; LaBSE's vocabulary is cased")

    length = values.get("max_seq_length")
    tokenizer_path = transformer / "tokenizer_config.json"
    if length is None and tokenizer_path.is_file():
        length = read_json(tokenizer_path).get("model_max_length")
    if length is None:
        return bert.max_position_embeddings
    # Infinity stands for no limit of its own, and is written by transformers as 1e30.
    if not isinstance(length, int | float) or length is True or not length >= 1:  # NaN neither.
        raise LabseError(f"{transformer}: max_seq_length is {length!r}, not a number of tokens")
    return int(min(length, bert.max_position_embeddings))


def parse_model_config(
    config_type: type[ConfigT], values: Mapping[str, object], *, where: str
) -> ConfigT:
    """Validates values read from a model: what is wrong with them is bad data, not bad usage.

    Raises:
        LabseError: a value is not supported; `where` names the file.
    """
    try:
        return parse_config(config_type, values, where=where)
    except UsageError as error:
        raise LabseError(str(error)) from None
