from pathlib import Path

import pytest

from labse.errors import UsageError
from labse.network.config import BertConfig
from labse.pretraining.sizes import fit_to_start, fit_to_vocabulary
from labse.vocab.tokenizer import load_tokenizer

from .conftest import BERT, build_config


def start(**sizes: object) -> BertConfig:
    return BertConfig.model_validate(BERT | {"vocab_size": 45, "num_hidden_layers": 1} | sizes)


def test_sizes_that_are_not_stated_are_those_of_the_model_to_grow() -> None:
    config = build_config(model={"bert": {}}, train={"stage_steps": [1, 1]})
    bert = fit_to_start(config, start()).model.bert
    assert (bert.hidden_size, bert.vocab_size, bert.num_hidden_layers) == (16, 45, 4)


def test_dropout_may_be_stated_anew_and_a_size_may_not() -> None:
    dropout = {"hidden_dropout_prob": 0.3}
    config = build_config(model={"bert": BERT | dropout}, train={"stage_steps": [1]})
    assert fit_to_start(config, start()).model.bert.hidden_dropout_prob == 0.3
    with pytest.raises(UsageError, match=r"hidden_size is 16, the model to grow has 32"):
        fit_to_start(config, start(hidden_size=32))
    with pytest.raises(UsageError, match="first stage has 2 layers, and the model to grow has 2"):
        fit_to_start(config, start(num_hidden_layers=2))


def test_a_model_without_layers_or_with_too_few_positions_cannot_be_grown() -> None:
    config = build_config(model={"bert": {}}, train={"stage_steps": [1]})
    with pytest.raises(UsageError, match="has no layers"):
        fit_to_start(config, start(num_hidden_layers=0))
    with pytest.raises(UsageError, match="max_seq_length 20 exceeds max_position_embeddings 16"):
        fit_to_start(config, start(max_position_embeddings=16))


def test_a_rule_of_stated_keys_is_not_applied_to_keys_that_are_not_stated() -> None:
    data = {"pairs": []}  # Without pairs, `positions` may not be stated.
    config = build_config(data=data, model={"bert": {}}, train={"stage_steps": [1]})
    assert fit_to_start(config, start()).data == config.data


def test_the_vocabulary_gives_its_size_and_must_be_the_stated_one(run_folder: Path) -> None:
    tokenizer = load_tokenizer(run_folder / "vocab")
    fitted = fit_to_vocabulary(build_config(), tokenizer)
    assert fitted.model.bert.vocab_size == tokenizer.get_vocab_size()
    with pytest.raises(UsageError, match="vocab_size is 7, the vocabulary says"):
        fit_to_vocabulary(build_config(model={"bert": BERT | {"vocab_size": 7}}), tokenizer)
