"""What a run costs and what machines can do: operations, memory and time, from sizes alone.

Dimensions: B sentences, S tokens, H hidden, I intermediate, A heads.
Source: Chowdhery et al., arXiv 2204.02311, appendix B (the count of products); Korthikanti et al.,
arXiv 2205.05198, section 4 (what a layer keeps for the backward pass), of this layer's own code.
Peaks are those of the makers' data sheets, dense products without sparsity: NVIDIA H100 SXM, A100
and V100; Google Cloud, "TPU v3", per chip. A run reaches a part of the peak only.
"""

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np

from labse.errors import UsageError
from labse.network.config import BertConfig

__all__ = [
    "HARDWARE",
    "THIS_CPU",
    "Cut",
    "Hardware",
    "Machine",
    "MemoryEstimate",
    "RunEstimate",
    "choose_machine",
    "cut_weights",
    "find_hardware",
    "forward_flops",
    "layer_activation_bytes",
    "log_assumed_vocabulary",
]

Precision = Literal["float32", "bfloat16"]

THIS_CPU = "this-cpu"
_LOGGER = logging.getLogger(__name__)
_GIB = 1 << 30
_PROBE_SIZE = 1024
_PROBE_SECONDS = 0.3
_USUAL_SHARE = 0.4  # Of a peak; what well-tuned runs reach.


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes on one device, at most.

    Attributes:
        weights: all in float32.
        gradients: dense ones, and the rows of a sparse table that a step can touch.
        optimizer: moments and sums of squares.
        activations: what the backward pass needs, of as many sentences as are held at a time.
        logits: those that exist at once.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """Their sum, without programs, libraries and buffers."""
        return sum(asdict(self).values())


@dataclass(frozen=True, slots=True)
class Cut:
    """Weights of one device: those it holds, and those it has beside while they compute."""

    held: int
    gathered: int


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """What a run costs.

    Attributes:
        parameters: numbers of weights by part of the model.
        memory: need of one device.
        step_tokens: tokens of a step on all devices, each sentence as long as allowed.
        step_flops: operations of a step on all devices, forward and backward, with what is
            computed twice.
    """

    parameters: dict[str, int]
    memory: MemoryEstimate
    step_tokens: int
    step_flops: float
    train_steps: int

    @property
    def num_parameters(self) -> int:
        """Weights of the whole model."""
        return sum(self.parameters.values())

    @property
    def run_flops(self) -> float:
        """Operations of all steps."""
        return self.step_flops * self.train_steps

    @property
    def has_time(self) -> bool:
        """Whether operations tell the time: a model without layers waits for memory instead."""
        return self.parameters.get("layers", 0) > 0


def log_assumed_vocabulary(bert: BertConfig) -> None:
    """Says that nobody has told the size of the vocabulary, if so: it is most of the parameters."""
    if "vocab_size" not in bert.model_fields_set:
        _LOGGER.info(
            "assumed: %s pieces, as LaBSE has; --vocab or --set model.bert.vocab_size=N says how "
            "many there are",
            f"{bert.vocab_size:,}",
        )


def forward_flops(bert: BertConfig, num_sentences: int, num_tokens: int) -> float:
    """Returns the operations of the layers' products for (B, S) tokens, forward.

    Two for each weight of a matrix and token; attention, two products of S by S by H. The
    backward pass takes twice as many. A CPU does less: no padding, and of the last layer what
    [CLS] needs.
    """
    hidden, inner = bert.hidden_size, bert.intermediate_size
    per_token = 2 * (4 * hidden**2 + 2 * hidden * inner) + 4 * num_tokens * hidden
    return float(bert.num_hidden_layers * num_sentences * num_tokens * per_token)


def cut_weights(num_weights: int, bert: BertConfig, num_of_layers: int, *, devices: int) -> Cut:
    """Returns what a device holds of weights that are cut over devices (FSDP2).

    Args:
        num_weights: that are cut.
        bert: whose layers are gathered one after the other.
        num_of_layers: weights in all layers.
        devices: over which they are cut; 1 keeps all of them.
    """
    if devices == 1:
        return Cut(num_weights, 0)
    # Whole while they compute: all but the layers, and of these two.
    two_layers = 2 * num_of_layers // max(1, bert.num_hidden_layers)
    gathered = num_weights - num_of_layers + min(two_layers, num_of_layers)
    return Cut(math.ceil(num_weights / devices), gathered)


def layer_activation_bytes(
    bert: BertConfig, num_sentences: int, num_tokens: int, *, precision: str
) -> float:
    """Returns the bytes that one layer keeps of (B, S) tokens for the backward pass.

    In float32, in units of H: the input, Q, K and V, the context, the sum that each norm reads, the
    input of the feed-forward part; and both sides of gelu, I each. In bfloat16 what linear maps
    read and write is half as large. Dropout keeps its mask of 16 bits, and attention with dropout
    three tables of S by S a head, as it is computed on a CPU; the fused kernels of GPUs keep less.
    """
    hidden, inner = bert.hidden_size, bert.intermediate_size
    if precision == "bfloat16":
        floats = 0.5 * (6 * hidden + 2 * inner) + 2.0 * hidden
    else:
        floats = 8.0 * hidden + 2 * inner
    if bert.hidden_dropout_prob:
        floats += hidden
    if bert.attention_probs_dropout_prob:
        floats += (2.0 if precision == "bfloat16" else 2.5) * bert.num_attention_heads * num_tokens
    return 4.0 * floats * num_sentences * num_tokens


@dataclass(frozen=True, slots=True)
class Hardware:
    """One device.

    Attributes:
        name: what the user calls it.
        tflops: peak of matrix products, 10^12 floating-point operations a second, by precision.
        memory_bytes: its memory; None where it is not known.
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


@dataclass(frozen=True, slots=True)
class Machine:
    """The devices that a run would be on.

    Attributes:
        tflops: speeds of one device, 10^12 operations a second, by the words that say which.
        hardware: what the devices are; None where they are not named.
    """

    devices: int = 1
    tflops: Mapping[str, float] = field(default_factory=dict)
    hardware: Hardware | None = None

    def seconds(self, *estimates: RunEstimate) -> dict[str, float]:
        """Returns how long runs take one after the other at each speed; nothing if no one knows."""
        if not all(estimate.has_time for estimate in estimates):
            return {}
        run_flops = sum(estimate.run_flops for estimate in estimates)
        return {
            told: run_flops / (tflops * 1e12 * self.devices) for told, tflops in self.tflops.items()
        }


def choose_machine(
    precision: Precision, *, tflops: float | None, hardware: str | None, devices: int
) -> Machine:
    """Returns a machine with the speed stated, and with the peak and the usual speed of a device.

    Args:
        precision: arithmetic of the run.
        tflops: what one device reaches, 10^12 operations a second; None leaves it out.
        hardware: name of a device, see `find_hardware`; None leaves it out.
        devices: number of devices that divide a batch.

    Raises:
        UsageError: unknown hardware, or no such arithmetic on it.
    """
    speeds = {} if tflops is None else {f"at {tflops:g} TFLOP/s": tflops}
    if hardware is None:
        return Machine(devices, speeds)
    found = find_hardware(hardware, precision)
    peak = found.tflops[precision]
    speeds[f"at the peak of {found.name}, {peak:.3g} TFLOP/s in {precision}"] = peak
    speeds[f"at {_USUAL_SHARE:.0%} of it"] = _USUAL_SHARE * peak
    return Machine(devices, speeds, found)


def find_hardware(name: str, precision: Precision) -> Hardware:
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
    """Returns the best speed of some products of two square matrices on this machine."""
    generator = np.random.default_rng(0)
    factors = generator.standard_normal((2, _PROBE_SIZE, _PROBE_SIZE), dtype=np.float32)
    best = float("inf")
    deadline = time.perf_counter() + _PROBE_SECONDS
    while time.perf_counter() < deadline or best == float("inf"):
        started = time.perf_counter()
        np.matmul(factors[0], factors[1])
        best = min(best, time.perf_counter() - started)
    return 2 * _PROBE_SIZE**3 / best / 1e12
