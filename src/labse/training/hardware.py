"""What machines can do, to say how long a run would take on them.

Source: the makers' data sheets, dense products without sparsity: NVIDIA H100 SXM, A100 and V100;
Google Cloud, "TPU v3", per chip. A run reaches a part of the peak only.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from labse.errors import UsageError

__all__ = ["HARDWARE", "THIS_CPU", "Hardware", "find_hardware"]

THIS_CPU = "this-cpu"
_GIB = 1 << 30
_PROBE_SIZE = 1024
_PROBE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Hardware:
    """One device.

    Attributes:
        name: as it is asked for.
        tflops: peak of matrix products, 10^12 floating-point operations a second, by precision.
        memory_bytes: of the device; None where it is not known.
    """

    name: str
    tflops: Mapping[str, float]
    memory_bytes: int | None


HARDWARE: Mapping[str, Hardware] = MappingProxyType(
    {
        # float32 is TF32 on the first two, as PyTorch runs it when told to.
        "h100": Hardware("h100", {"bfloat16": 989.0, "float32": 495.0}, 80 * _GIB),
        "a100": Hardware("a100", {"bfloat16": 312.0, "float32": 156.0}, 80 * _GIB),
        "v100": Hardware("v100", {"float32": 15.7}, 32 * _GIB),
        "tpu-v3": Hardware("tpu-v3", {"bfloat16": 123.0}, 32 * _GIB),
    }
)


def find_hardware(name: str, precision: Literal["float32", "bfloat16"]) -> Hardware:
    """Returns a device by its name; `this-cpu` is measured, in float32.

    Raises:
        UsageError: unknown, or it has no such arithmetic.
    """
    if name == THIS_CPU:
        if precision != "float32":
            raise UsageError(
                f"--hardware {THIS_CPU} measures float32; give --tflops for {precision}"
            )
        return Hardware(THIS_CPU, {"float32": _measure_tflops()}, None)
    hardware = HARDWARE.get(name)
    if hardware is None:
        known = ", ".join([*HARDWARE, THIS_CPU])
        raise UsageError(f"--hardware {name}: unknown; known: {known}; or give --tflops")
    if precision not in hardware.tflops:
        raise UsageError(f"--hardware {name}: no peak of {precision} is known; give --tflops")
    return hardware


def _measure_tflops() -> float:
    """Returns what products of two square matrices reach here, the best of some."""
    generator = np.random.default_rng(0)
    factors = generator.standard_normal((2, _PROBE_SIZE, _PROBE_SIZE), dtype=np.float32)
    best = float("inf")
    deadline = time.perf_counter() + _PROBE_SECONDS
    while time.perf_counter() < deadline or best == float("inf"):
        started = time.perf_counter()
        np.matmul(factors[0], factors[1])
        best = min(best, time.perf_counter() - started)
    return 2 * _PROBE_SIZE**3 / best / 1e12
