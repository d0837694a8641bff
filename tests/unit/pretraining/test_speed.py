import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from labse.network.config import BertConfig
from labse.pretraining.batches import MicroBatch
from labse.pretraining.model import MaskedLm
from labse.pretraining.speed import estimate_flops


def test_the_estimate_equals_what_torch_counts() -> None:
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=16,
        hidden_dropout_prob=0, attention_probs_dropout_prob=0,
    )  # fmt: skip
    model = MaskedLm(config)
    # All are masked: for other tokens a CPU leaves out what follows attention in the last layer.
    batch = MicroBatch(
        torch.randint(5, 50, (3, 10)), None, None, None, torch.arange(30), torch.arange(30)
    )
    # The math kernel is made of products that the counter knows.
    with (
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        model(batch).loss_sum.backward()
    in_place = 2 * 30 * 16 * 50  # The table's gradient, by addmm_, which the counter does not know.
    assert counter.get_total_flops() + in_place == estimate_flops(config, np.full(3, 10), 30)
