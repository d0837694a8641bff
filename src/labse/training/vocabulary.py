"""The sizes of a model that its vocabulary says."""

from tokenizers import Tokenizer

from labse.errors import UsageError
from labse.network.config import BertConfig

__all__ = ["fit_bert"]


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
