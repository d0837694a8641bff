"""Sizes that a configuration leaves open: those of its vocabulary, and of a model to start from."""

from collections.abc import Collection
from typing import TypeVar

from tokenizers import Tokenizer

from labse.config import Config
from labse.errors import UsageError
from labse.network.config import BertConfig

__all__ = ["fit_bert", "keep_stated"]

ConfigT = TypeVar("ConfigT", bound=Config)


def fit_bert(bert: BertConfig, tokenizer: Tokenizer) -> BertConfig:
    """Sets `vocab_size` and `pad_token_id` to those of the tokenizer.

    Raises:
        UsageError: the configuration states another value.
    """
    actual = {
        "vocab_size": tokenizer.get_vocab_size(),
        "pad_token_id": tokenizer.token_to_id("[PAD]"),
    }
    for name, value in actual.items():
        stated = getattr(bert, name)
        if name in bert.model_fields_set and stated != value:
            raise UsageError(
                f"model.bert.{name} is {stated}, the vocabulary says {value}; "
                "leave the key out or take the other vocabulary"
            )
    return bert.model_copy(update=actual)


def keep_stated(
    stated: ConfigT, found: ConfigT, *, may_differ: Collection[str], whose: str, prefix: str
) -> ConfigT:
    """Returns the sizes of a model, with the values that a configuration states for itself.

    Args:
        may_differ: keys, with their prefix, that the configuration may state otherwise.
        whose: name of the model in the error.
        prefix: of the keys, such as `model.bert.`.

    Raises:
        UsageError: the configuration states another value of another key.
    """
    values = {name: getattr(found, name) for name in type(found).model_fields}
    for name in sorted(stated.model_fields_set):
        value, key = getattr(stated, name), f"{prefix}{name}"
        if isinstance(value, Config):
            value = keep_stated(
                value, values[name], may_differ=may_differ, whose=whose, prefix=f"{key}."
            )
        elif value != values[name] and key not in may_differ:
            raise UsageError(f"{key} is {value}, {whose} has {values[name]}; leave the key out")
        values[name] = value
    return type(found).model_validate(values)
