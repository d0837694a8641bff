import pytest

from labse.errors import UsageError
from labse.training.hardware import HARDWARE, THIS_CPU, find_hardware


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
