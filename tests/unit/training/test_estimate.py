from dataclasses import replace

import pytest

from labse.errors import UsageError
from labse.network.config import BertConfig
from labse.training.estimate import (
    HARDWARE,
    THIS_CPU,
    MemoryEstimate,
    RunEstimate,
    choose_machine,
    find_hardware,
    forward_flops,
    layer_activation_bytes,
)

SIZES = {"vocab_size": 10, "hidden_size": 4, "num_attention_heads": 2, "intermediate_size": 6}


def test_operations_are_those_counted_by_hand() -> None:
    bert = BertConfig(**SIZES, num_hidden_layers=3)
    # A layer and token: 4 maps of 4 x 4 and 2 of 4 x 6, and 2 products of 5 x 4 in attention.
    per_token = 2 * (4 * 16 + 2 * 24) + 2 * 2 * 5 * 4
    assert forward_flops(bert, num_sentences=7, num_tokens=5) == 3 * 7 * 5 * per_token


def test_without_dropout_and_in_bfloat16_less_is_kept() -> None:
    dropped = BertConfig(**SIZES, num_hidden_layers=1)
    plain = BertConfig(
        **SIZES, num_hidden_layers=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    sizes = [
        layer_activation_bytes(bert, 2, 3, precision=precision)
        for bert, precision in [(dropped, "float32"), (plain, "float32"), (plain, "bfloat16")]
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[1] == 4 * (8 * 4 + 2 * 6) * 2 * 3


def test_time_is_work_over_speed() -> None:
    memory = MemoryEstimate(1, 2, 3, 4, 5)
    estimate = RunEstimate({"a": 1, "layers": 2}, memory, 10, 3e12, 1000)
    assert memory.total == 15
    assert estimate.num_parameters == 3
    machine = choose_machine("float32", tflops=1.5, hardware="v100", devices=2)
    assert machine.seconds(estimate) == {
        "at 1.5 TFLOP/s": pytest.approx(1000),
        "at the peak of v100, 15.7 TFLOP/s in float32": pytest.approx(1000 * 1.5 / 15.7),
        "at 40% of it": pytest.approx(1000 * 1.5 / 15.7 / 0.4),
    }
    assert machine.seconds(replace(estimate, parameters={"a": 1, "layers": 0})) == {}


def test_a_named_device_has_its_peak_by_precision() -> None:
    assert find_hardware("tpu-v3", "bfloat16").tflops["bfloat16"] == 123.0
    assert all(hardware.memory_bytes for hardware in HARDWARE.values())


def test_this_cpu_is_measured() -> None:
    # Between a slow core and a large server.
    assert 1e-4 < find_hardware(THIS_CPU, "float32").tflops["float32"] < 100


@pytest.mark.parametrize(
    ("name", "precision", "message"),
    [
        ("h200x", "bfloat16", "unknown; known: h100, a100, v100, tpu-v3, this-cpu"),
        ("v100", "bfloat16", "no peak of bfloat16"),
        (THIS_CPU, "bfloat16", "measures float32"),
    ],
)
def test_what_is_not_known_says_so(name: str, precision: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_hardware(name, precision)  # type: ignore[arg-type]
