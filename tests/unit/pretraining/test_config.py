from pathlib import Path

import pytest

from labse.config import parse_config
from labse.errors import UsageError
from labse.network.config import BertConfig
from labse.pretraining.config import (
    PretrainConfig,
    PretrainTrainConfig,
    fit_to_start,
    fit_to_vocabulary,
    plan_stages,
)
from labse.vocab.tokenizer import load_tokenizer

from .conftest import BERT, build_config

TEXT = {"data": {"text": ["news.deu"]}}


def parse(**sections: object) -> PretrainConfig:
    return parse_config(PretrainConfig, TEXT | sections, where="test")


def test_the_defaults_are_those_of_the_paper() -> None:
    config = parse()
    assert (config.masking.masked_share, config.masking.max_masked) == (0.2, 80)
    assert (config.data.max_seq_length, config.train.global_batch_size) == (512, 8192)
    assert config.model.bert.num_hidden_layers == 12


def test_both_readings_of_the_steps_of_a_stage() -> None:
    steps = (400, 800, 1800)
    assert PretrainTrainConfig(stage_steps=steps).stage_ends == (400, 1200, 3000)
    cumulative = PretrainTrainConfig(stage_steps=steps, stage_steps_are="cumulative")
    assert cumulative.stage_ends == steps
    assert cumulative.train_steps == 1800


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {}}, "give text, pairs, or both"),
        ({"data": {"text": ["a"], "tlm_share": 0.5}}, "tlm_share needs text and pairs"),
        ({"data": {"text": ["a"], "segments": "on"}}, "segments are of pairs"),
        ({"data": {"pairs": ["a"], "max_seq_length": 4}}, "max_seq_length of pairs is 5 at least"),
        ({"train": {"stage_steps": [3, 0]}}, "without a step"),
        ({"train": {"stage_steps": [3, 3], "stage_steps_are": "cumulative"}}, "without a step"),
        ({"model": {"bert": {"num_hidden_layers": 6}}}, "cannot be halved 2 times"),
        ({"masking": {"mask_token_share": 0.95}}, "exceed 1"),
        ({"model": {"bert": {"max_position_embeddings": 64}}}, "max_position_embeddings 64"),
    ],
)
def test_what_cannot_apply_is_an_error(sections: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(**sections)


@pytest.mark.parametrize(
    ("reading", "bounds"),
    [
        ("per_stage", [(0, 400), (400, 1200), (1200, 3000)]),
        ("cumulative", [(0, 400), (400, 800), (800, 1800)]),
    ],
)
def test_stages_double_the_layers_in_both_readings_of_their_steps(
    reading: str, bounds: list[tuple[int, int]]
) -> None:
    train = {"stage_steps": [400, 800, 1800], "stage_steps_are": reading}
    config = PretrainConfig.model_validate({"data": {"text": ["a.eng"]}, "train": train})
    stages = plan_stages(config)
    assert [stage.num_layers for stage in stages] == [3, 6, 12]
    assert [(stage.first_step, stage.last_step) for stage in stages] == bounds


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
