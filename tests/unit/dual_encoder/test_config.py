import pytest
from pydantic import ValidationError

from labse.config import parse_config
from labse.dual_encoder.config import RunConfig, TrainConfig
from labse.errors import UsageError
from labse.network.config import BertConfig, DualEncoderConfig


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
        (
            {"train": {"micro_batch_size": 64, "global_batch_size": 16}},
            "micro_batch_size 64 exceeds global_batch_size 16",
        ),
        ({"train": {"char_ngrams": [3]}}, "char_ngrams is for sparse_embeddings = true"),
        (
            {"train": {"char_ngrams": [3], "sparse_embeddings": True, "shard": "full"}},
            "char_ngrams adds to the table",
        ),
        ({"train": {"char_ngrams": [0], "sparse_embeddings": True}}, "train.char_ngrams"),
        ({"train": {"embedding_optimizer": "adamw"}}, "is for sparse_embeddings = true"),
        (
            {"train": {"embedding_optimizer": "adamw", "sparse_embeddings": True}},
            "state embedding_lr too",
        ),
        ({"train": {"embedding_lr": 0}}, "it needs sparse_embeddings"),
        (
            {"train": {"embedding_lr": 0, "sparse_embeddings": True, "round_rows_after": 5}},
            "round_rows_after is for a table that learns",
        ),
        ({"train": {"patience": 3}}, "patience needs keep_best = true"),
        ({"train": {"best_by": "p_at_1"}}, "best_by needs keep_best = true"),
        ({"train": {"keep_best": True, "average_checkpoints": 2}}, "exclude each other"),
        (
            {"train": {"train_steps": 10, "checkpoint_every": 4, "average_checkpoints": 4}},
            "average_checkpoints is 4, but 3 are due in 10 steps",
        ),
        ({"train": {"max_negative_excess": 2.5}}, "train.max_negative_excess"),
        ({"data": {"pairs": ["a.tsv"], "repeats": "keep"}}, "data.repeats"),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(values)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_order_of_ngram_lengths_makes_no_other_configuration() -> None:
    config = parse({"train": {"char_ngrams": [4, 3, 4], "sparse_embeddings": True}})
    assert config.train.char_ngrams == (3, 4)


def test_output_size_is_the_embedding_size_if_given() -> None:
    assert DualEncoderConfig(embedding_size=256).output_size == 256


def test_a_seed_that_the_generators_cannot_take_is_refused() -> None:
    assert TrainConfig(seed=2**32 - 1).seed == 2**32 - 1  # The largest that NumPy's takes.
    with pytest.raises(ValidationError, match="seed"):
        TrainConfig(seed=2**32)


def test_an_average_of_cut_weights_is_refused() -> None:
    with pytest.raises(ValidationError, match="average_checkpoints sums whole weights"):
        TrainConfig(average_checkpoints=2, shard="full")


def test_a_margin_of_hard_negatives_needs_some() -> None:
    values: dict[str, object] = {"train": {"negative_margin": 0.1}}
    with pytest.raises(UsageError, match="negative_margin is for data"):
        parse(values)
    data = {"pairs": ["a.tsv"], "hard_negatives": 1}
    assert parse(values | {"data": data}).train.negative_margin == 0.1
