"""Where a run starts: sizes of the vocabulary, and the model of an earlier run to grow.

Takes: a configuration, a BERT folder. Gives: the configuration completed, the first stage's model.
"""

from pathlib import Path

from tokenizers import Tokenizer

from labse.bert.config import BertConfig
from labse.errors import UsageError
from labse.files import sha256_file
from labse.pretraining.config import PretrainConfig
from labse.pretraining.folder import BertFolder, read_bert_folder
from labse.pretraining.model import MaskedLm
from labse.pretraining.stacking import Stage, plan_stages, stack_layers

__all__ = ["build_grown", "fit_to_start", "fit_to_vocabulary", "read_start"]

_MAY_DIFFER = ("num_hidden_layers", "hidden_dropout_prob", "attention_probs_dropout_prob")


def build_grown(config: PretrainConfig, start: BertFolder, stage: Stage) -> MaskedLm:
    """Returns the model of the first stage: that of the folder, its layers stacked twice."""
    bert = config.model.bert.model_copy(update={"num_hidden_layers": stage.num_layers // 2})
    model = MaskedLm(bert, max_logits_bytes=config.train.max_logits_bytes)
    model.load_state_dict(dict(start.state))
    return stack_layers(model)


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


def fit_to_start(config: PretrainConfig, start: BertFolder) -> PretrainConfig:
    """Completes the sizes with those of the model to grow; dropout may be stated anew.

    Raises:
        UsageError: a stated size is another, or the first stage has not twice the layers.
    """
    stated = config.model.bert
    first = plan_stages(config)[0].num_layers
    if "num_hidden_layers" not in stated.model_fields_set:
        num_layers = 2 * start.config.num_hidden_layers * 2 ** (len(config.train.stage_steps) - 1)
    elif first == 2 * start.config.num_hidden_layers:
        num_layers = stated.num_hidden_layers
    else:
        raise UsageError(
            f"model.bert.num_hidden_layers: the first stage has {first} layers, and the model to "
            f"grow has {start.config.num_hidden_layers}; it must be twice as many"
        )
    for name in sorted(stated.model_fields_set - {*_MAY_DIFFER}):
        if getattr(stated, name) != getattr(start.config, name):
            raise UsageError(
                f"model.bert.{name} is {getattr(stated, name)}, the model to grow has "
                f"{getattr(start.config, name)}; leave the key out"
            )
    kept = {name: getattr(stated, name) for name in _MAY_DIFFER if name in stated.model_fields_set}
    values = start.config.model_dump() | kept | {"num_hidden_layers": num_layers}
    bert = BertConfig.model_validate(values)
    return _with_bert(config, bert)


def fit_to_vocabulary(config: PretrainConfig, tokenizer: Tokenizer) -> PretrainConfig:
    """Sets `vocab_size` and `pad_token_id` to those of the tokenizer.

    Raises:
        UsageError: the configuration states another value.
    """
    ids = tokenizer.get_vocab()
    actual = {"vocab_size": len(ids), "pad_token_id": ids["[PAD]"]}
    bert = config.model.bert
    for name, value in actual.items():
        if name in bert.model_fields_set and getattr(bert, name) != value:
            raise UsageError(
                f"model.bert.{name} is {getattr(bert, name)}, the vocabulary says {value}; "
                "leave the key out or take the other vocabulary"
            )
    return _with_bert(config, bert.model_copy(update=actual))


def _with_bert(config: PretrainConfig, bert: BertConfig) -> PretrainConfig:
    model = config.model.model_copy(update={"bert": bert})
    return config.model_copy(update={"model": model})
