"""What layers cost: floating-point operations and memory, from sizes alone.

Dimensions: B sentences, S tokens, H hidden, I intermediate, A heads.
Source: Chowdhery et al., arXiv 2204.02311, appendix B (the count of products); Korthikanti et al.,
arXiv 2205.05198, section 4 (what a layer keeps for the way back), of this layer's own code.
"""

from dataclasses import asdict, dataclass

from labse.network.config import BertConfig

__all__ = ["MemoryEstimate", "RunEstimate", "forward_flops", "layer_activation_bytes"]


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes of one device, at most.

    Attributes:
        weights: in float32.
        gradients: dense ones, and the rows of a sparse table that a step can touch.
        optimizer: moments and sums of squares.
        activations: what the way back needs, of as many sentences as are held at a time.
        logits: of the loss.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """The sum; programs, libraries and buffers come on top."""
        return sum(asdict(self).values())


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """A run before it is one.

    Attributes:
        parameters: by part; their sum is the model's.
        memory: of one device.
        step_tokens: of all devices, each sentence as long as the longest allowed.
        step_flops: of all devices, forward and backward, what is computed again included.
        train_steps: of the run.
    """

    parameters: dict[str, int]
    memory: MemoryEstimate
    step_tokens: int
    step_flops: float
    train_steps: int

    @property
    def num_parameters(self) -> int:
        """Of the whole model."""
        return sum(self.parameters.values())

    @property
    def run_flops(self) -> float:
        """Of all steps."""
        return self.step_flops * self.train_steps

    def seconds(self, tflops: float, *, devices: int = 1) -> float:
        """Returns how long the steps take on devices that do so many 10^12 operations a second."""
        return self.run_flops / (tflops * 1e12 * devices)


def forward_flops(bert: BertConfig, num_sentences: int, num_tokens: int) -> float:
    """Returns the operations of the layers' products for (B, S) tokens, forward.

    Two for each weight of a matrix and token; attention, two products of S by S by H. The way back
    takes twice as many. A CPU does less: no padding, and of the last layer what [CLS] needs.
    """
    hidden, inner = bert.hidden_size, bert.intermediate_size
    per_token = 2 * (4 * hidden**2 + 2 * hidden * inner) + 4 * num_tokens * hidden
    return float(bert.num_hidden_layers * num_sentences * num_tokens * per_token)


def layer_activation_bytes(
    bert: BertConfig, num_sentences: int, num_tokens: int, *, precision: str
) -> float:
    """Returns what one layer keeps of (B, S) tokens for the way back.

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
