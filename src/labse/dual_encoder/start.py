"""What a run takes from the model that it starts from: sizes, vocabulary and, to tune it, settings.

Takes: a model folder, a configuration or files of pairs. Gives: the configuration of the run.
Source: docs/training.md.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from labse.config import load_config, override_config
from labse.corpus.readers import read_pairs
from labse.corpus.shards import expand_folders, list_shards
from labse.dual_encoder.config import RunConfig, TeacherSide
from labse.dual_encoder.tuning import tuning_config
from labse.errors import LabseError, UsageError
from labse.files.atomic import MANIFEST_NAME, read_json, sha256_file
from labse.files.text import as_list
from labse.model_folder.folder import ModelFolder, read_model_folder
from labse.model_folder.formats.foreign import is_plain_model, load_foreign_tokenizer
from labse.model_folder.hub import DEFAULT_FOLDER, DEFAULT_NAME, locate_model
from labse.model_folder.layout import MODULES_NAME, read_layout
from labse.network.config import DualEncoderConfig
from labse.training.sizes import fit_bert, keep_stated
from labse.vocab.tokenizer import load_tokenizer

__all__ = [
    "expand_pair_folders",
    "fit_to_start",
    "fit_to_vocabulary",
    "load_run_config",
    "read_start",
    "read_start_config",
    "read_tokenizer",
    "start_lineage",
]

_BEST_KNOWN = {"eng"}  # All multilingual models are trained on more English than else.
_LOGGER = logging.getLogger(__name__)

# No shape of a weight depends on these, so a run may state others than the folder's.
_MAY_DIFFER = (
    "model.max_seq_length",
    "model.bert.hidden_dropout_prob",
    "model.bert.attention_probs_dropout_prob",
)
# A model without layers has none of these yet.
_OF_LAYERS = (
    "model.bert.num_hidden_layers",
    "model.bert.num_attention_heads",
    "model.bert.intermediate_size",
)


def load_run_config(
    path: str | Path | None = None,
    overrides: str | Sequence[str] = (),
    *,
    pairs: str | Path | Sequence[str | Path] = (),
    start: str | Path | None = None,
    source_lang: str | None = None,
    target_lang: str | None = None,
    held_out: float | None = None,
) -> RunConfig:
    """Reads the configuration of a run, or makes one to tune a model on some pairs.

    Args:
        path: TOML file of the run; None with `pairs`.
        overrides: `section.key=value`, over all else.
        pairs: files of pairs to tune `start` on.
        start: folder of the model to tune, or its name, such as `default`.
        source_lang: language of the sources, where no column tells.
        target_lang: language of the targets, where no column tells.
        held_out: see `data.held_out`; None: as the file says, or 5 % of the pairs to tune on.

    Raises:
        UsageError: neither or both of a file and pairs, pairs without a model, or a broken file.
        LabseError: the files of pairs or the model are broken, or there are no rows.
    """
    if (path is None) == (not pairs):
        raise UsageError("give CONFIG.toml, or --pairs with the files to tune a model on")
    # A file says all of it.
    if path is not None:
        config = load_config(RunConfig, Path(path), as_list(overrides))
        return _with_data(config, source_lang, target_lang, held_out)
    if start is None:
        raise UsageError("--pairs needs --init, the model to tune, such as --init default")
    start = locate_model(start)
    # Without one, the settings follow from the number of pairs and the model to tune.
    files = expand_folders(pairs)
    num_pairs, teacher_side = _survey_pairs(files, source_lang, target_lang)
    name = DEFAULT_NAME if start == DEFAULT_FOLDER else str(start)
    config = tuning_config(
        files,
        num_pairs,
        read_start_config(start),
        start=name,
        teacher_side=teacher_side,
        held_out=held_out,
    )
    config = override_config(_with_data(config, source_lang, target_lang, None), as_list(overrides))
    amount = config.data.held_out or 0
    num_held_out = round(amount * num_pairs if amount < 1 else amount)
    _LOGGER.info(
        "tuning on %s pairs%s: %s steps of %d; --set train.train_steps=N changes that",
        f"{num_pairs - num_held_out:,}",
        f", {num_held_out:,} held out" if num_held_out else "",
        f"{config.train.train_steps:,}",
        config.train.global_batch_size,
    )
    return config


def expand_pair_folders(config: RunConfig, data_folder: Path) -> RunConfig:
    """Returns the configuration with the shards of each folder of `data.pairs` in its place.

    Raises:
        LabseError: a folder without shards.
    """
    files: list[str] = []
    for name in config.data.pairs:
        folder = data_folder / name
        shards = list_shards(folder) if folder.is_dir() else []
        files += [str(Path(name) / shard.relative_to(folder)) for shard in shards] or [name]
    data = config.data.model_copy(update={"pairs": tuple(files)})
    return config.model_copy(update={"data": data})


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


def fit_to_vocabulary(config: RunConfig, tokenizer: Tokenizer) -> RunConfig:
    """Completes `model.bert` with what the tokenizer says.

    Raises:
        UsageError: the configuration states another value.
    """
    bert = fit_bert(config.model.bert, tokenizer)
    return config.model_copy(update={"model": config.model.model_copy(update={"bert": bert})})


def fit_to_start(config: RunConfig, found: DualEncoderConfig) -> RunConfig:
    """Completes `model` with the sizes of the one to start from; lengths and dropout may differ.

    More layers than a model without any has are grown on top of it.

    Raises:
        UsageError: the configuration states another value than the model's.
    """
    is_bag = found.bert.num_hidden_layers == 0
    model = keep_stated(
        config.model,
        found,
        may_differ=_MAY_DIFFER + (_OF_LAYERS if is_bag else ()),
        whose="the model to start from",
        prefix="model.",
    )
    return config.model_copy(update={"model": model})


def start_lineage(path: Path) -> dict[str, object]:
    """Returns the hash of a model folder's weights and, where it is known, how they were made."""
    manifest = read_json(path / MANIFEST_NAME) if (path / MANIFEST_NAME).is_file() else {}
    weights = sorted(path.glob("*.safetensors"))
    keep = ("kind", "step", "seed", "run_config", "inputs", "vocabulary", "start")
    lineage: dict[str, object] = {key: manifest[key] for key in keep if key in manifest}
    return {"sha256": [sha256_file(file) for file in weights], **lineage}


def _survey_pairs(
    files: Sequence[str], source_lang: str | None, target_lang: str | None
) -> tuple[int, TeacherSide]:
    """Returns the number of pairs, and the side that is English in all of them, else `own`."""
    num_pairs = 0
    langs: tuple[set[str], set[str]] = (set(), set())
    for file in files:
        for pair in read_pairs(Path(file), source_lang=source_lang, target_lang=target_lang):
            num_pairs += 1
            langs[0].add(pair.source_lang)
            langs[1].add(pair.target_lang)
    if not num_pairs:
        raise LabseError(f"{', '.join(files)}: empty, there are no rows")
    if langs[0] == _BEST_KNOWN:
        return num_pairs, "source"
    return num_pairs, "target" if langs[1] == _BEST_KNOWN else "own"


def _with_data(
    config: RunConfig, source_lang: str | None, target_lang: str | None, held_out: float | None
) -> RunConfig:
    values = {"source_lang": source_lang, "target_lang": target_lang, "held_out": held_out}
    stated = {key: value for key, value in values.items() if value is not None}
    return config.model_copy(update={"data": config.data.model_copy(update=stated)})
