import subprocess
import sys

import pytest

from labse.config import parse_config
from labse.errors import UsageError
from labse.network.config import BertConfig


def test_the_defaults_are_bert_base_with_the_vocabulary_of_labse() -> None:
    config = BertConfig()
    assert (config.num_hidden_layers, config.num_attention_heads, config.hidden_size) == (
        12,
        12,
        768,
    )
    assert (config.intermediate_size, config.max_position_embeddings) == (3072, 512)
    assert config.vocab_size == 501_153


def test_heads_must_divide_the_hidden_size() -> None:
    with pytest.raises(UsageError, match="hidden_size 10 is not a multiple of num_attention_heads"):
        parse_config(BertConfig, {"hidden_size": 10, "num_attention_heads": 4}, where="run.toml")


@pytest.mark.parametrize(
    ("key", "value"),
    [("vocab_size", 0), ("hidden_dropout_prob", 1.0), ("hidden_act", "relu"), ("pad_token_id", -1)],
)
def test_impossible_values_are_refused_with_their_key(key: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"config.json: {key}"):
        parse_config(BertConfig, {key: value}, where="config.json")


def test_the_configuration_loads_no_torch() -> None:
    program = "import sys, labse.network.config; sys.exit('torch' in sys.modules)"
    path = ":".join(sys.path)
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": path})
