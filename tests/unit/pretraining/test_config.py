import pytest

from labse.config import parse_config
from labse.errors import UsageError
from labse.pretraining.config import PretrainConfig, PretrainTrainConfig

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
