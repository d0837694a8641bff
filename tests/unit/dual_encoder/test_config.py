import pytest
from pydantic import ValidationError

from labse.bert.config import BertConfig
from labse.config import parse_config
from labse.dual_encoder.config import DualEncoderConfig, RunConfig, TrainConfig
from labse.errors import UsageError


def parse(values: dict[str, object]) -> RunConfig:
    return parse_config(RunConfig, {"data": {"pairs": ["a.tsv"]}} | values, where="run.toml")


def test_defaults_are_those_of_the_released_model() -> None:
    run = parse({})
    assert run.model.bert == BertConfig()
    assert (run.model.pooling, run.model.projection) == ("cls", "tanh")
    assert (run.train.logit_scale, run.train.logit_margin) == (100.0, 0.3)
    assert run.model.output_size == 768


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"train": {"logit_scal": 20}},
            "run.toml: unknown key 'train.logit_scal'; did you mean 'logit_scale'?",
        ),
        ({"model": {"pooling": "max"}}, "model.pooling"),
        ({"model": {"bert": {"hidden_size": 10, "num_attention_heads": 3}}}, "not a multiple"),
        ({"model": {"max_seq_length": 600}}, "exceeds max_position_embeddings 512"),
        ({"model": {"projection": "none", "embedding_size": 5}}, "needs a projection"),
        ({"data": {"pairs": []}}, "data.pairs"),
        ({"train": {"lr": 0}}, "train.lr"),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(values)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_output_size_is_the_embedding_size_if_given() -> None:
    assert DualEncoderConfig(embedding_size=256).output_size == 256


def test_a_seed_that_the_generators_cannot_take_is_refused() -> None:
    assert TrainConfig(seed=2**32 - 1).seed == 2**32 - 1  # The largest that NumPy's takes.
    with pytest.raises(ValidationError, match="seed"):
        TrainConfig(seed=2**32)
