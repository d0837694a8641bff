"""Sizes that a configuration leaves open: of the vocabulary, and of the model to grow.

Takes: a configuration, a tokenizer or the sizes of a model. Gives: the configuration completed.
"""

from tokenizers import Tokenizer

from labse.config import parse_config
from labse.errors import UsageError
from labse.network.config import BertConfig
from labse.pretraining.config import PretrainConfig
from labse.pretraining.stages import plan_stages
from labse.training.vocabulary import fit_bert

__all__ = ["fit_to_start", "fit_to_vocabulary"]

_MAY_DIFFER = ("num_hidden_layers", "hidden_dropout_prob", "attention_probs_dropout_prob")


def fit_to_vocabulary(config: PretrainConfig, tokenizer: Tokenizer) -> PretrainConfig:
    """Sets `vocab_size` and `pad_token_id` to those of the tokenizer.

    Raises:
        UsageError: the configuration states another value.
    """
    return _with_bert(config, fit_bert(config.model.bert, tokenizer))


def fit_to_start(config: PretrainConfig, start: BertConfig) -> PretrainConfig:
    """Completes the sizes with those of the model to grow; dropout may be stated anew.

    Raises:
        UsageError: a stated size is another, the first stage has not twice the layers, the model
            has none, or is too small for what is asked.
    """
    if not start.num_hidden_layers:
        raise UsageError("the model to grow has no layers, and twice none is none")
    stated = config.model.bert
    first = plan_stages(config)[0].num_layers
    if "num_hidden_layers" not in stated.model_fields_set:
        num_layers = 2 * start.num_hidden_layers * 2 ** (len(config.train.stage_steps) - 1)
    elif first == 2 * start.num_hidden_layers:
        num_layers = stated.num_hidden_layers
    else:
        raise UsageError(
            f"model.bert.num_hidden_layers: the first stage has {first} layers, and the model to "
            f"grow has {start.num_hidden_layers}; it must be twice as many"
        )
    for name in sorted(stated.model_fields_set - {*_MAY_DIFFER}):
        if getattr(stated, name) != getattr(start, name):
            raise UsageError(
                f"model.bert.{name} is {getattr(stated, name)}, the model to grow has "
                f"{getattr(start, name)}; leave the key out"
            )
    kept = {name: getattr(stated, name) for name in _MAY_DIFFER if name in stated.model_fields_set}
    values = start.model_dump() | kept | {"num_hidden_layers": num_layers}
    fitted = _with_bert(config, BertConfig.model_validate(values))
    # Once more: a rule between keys may not hold with these sizes.
    return parse_config(
        PretrainConfig,
        fitted.model_dump(exclude_unset=True),
        where="with the sizes of the model to grow",
    )


def _with_bert(config: PretrainConfig, bert: BertConfig) -> PretrainConfig:
    model = config.model.model_copy(update={"bert": bert})
    return config.model_copy(update={"model": model})
