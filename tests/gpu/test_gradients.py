"""Chunks and blocks on a GPU: the gradients of one batch, memory that the batch does not grow."""

import numpy as np
import pytest
import torch
from tests.training_data import pairs_of, small_model, whole_batch

from labse.dual_encoder.config import TrainConfig
from labse.dual_encoder.data.batch import Batch
from labse.dual_encoder.data.pairs import TokenizedPairs, sides_of
from labse.dual_encoder.gradients import add_gradients
from labse.dual_encoder.loss import additive_margin_softmax
from labse.dual_encoder.ranking import ranking_loss
from labse.network.dual_encoder import DualEncoder

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def some_pairs(num_pairs: int, length: int = 12) -> TokenizedPairs:
    input_ids = np.random.default_rng(0).integers(5, 200, 2 * num_pairs * length)
    return pairs_of(input_ids, [length] * (2 * num_pairs))


def build(dropout: float, dtype: torch.dtype = torch.float32) -> DualEncoder:
    sizes = {"vocab_size": 200, "hidden_size": 64, "num_attention_heads": 4} | {
        "intermediate_size": 256,
        "initializer_range": 0.02,
    }
    options = {"bert": sizes, "pooling": "cls", "projection": "tanh"}
    return small_model(4, dropout=dropout, dtype=dtype, is_sparse=False, **options).cuda()


def options(batch: int, **changes: object) -> TrainConfig:
    return TrainConfig.model_validate({"global_batch_size": batch} | changes)


def test_chunks_and_blocks_give_the_gradients_of_one_batch() -> None:
    pairs, whole, chunked = some_pairs(50), build(0, torch.float64), build(0, torch.float64)
    expected = add_gradients(whole, whole_batch(pairs), options(50))
    found = add_gradients(
        chunked, whole_batch(pairs), options(50, micro_batch_size=7, logit_block_bytes=4000)
    )
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=1e-10)
    for ours, theirs in zip(chunked.parameters(), whole.parameters(), strict=True):
        if theirs.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-10)


def test_the_second_pass_sees_the_dropout_of_the_first() -> None:
    # With its own seed for each call, the vectors of both passes must agree.
    pairs, model = some_pairs(32), build(0.3, torch.float64)
    seen: list[torch.Tensor] = []
    model.register_forward_hook(lambda _module, _inputs, output: seen.append(output.detach()))
    add_gradients(model, whole_batch(pairs), options(32, micro_batch_size=8))
    assert len(seen) == 8
    for first, second in zip(seen[:4], seen[4:], strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(seen[0], seen[1])


def peak_bytes(batch: int, **changes: object) -> int:
    pairs, model = some_pairs(batch), build(0.1)
    add_gradients(
        model, Batch.gather(pairs, sides_of(np.arange(64))), options(64)
    )  # What libraries take once.
    model.zero_grad()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    add_gradients(model, whole_batch(pairs), options(batch, precision="bfloat16", **changes))
    return torch.cuda.max_memory_allocated() - before


def test_memory_grows_with_the_vectors_of_a_batch_alone() -> None:
    bounds = {"micro_batch_size": 128, "logit_block_bytes": 2**20}
    small, large = peak_bytes(1024, **bounds), peak_bytes(16384, **bounds)
    # 15,360 more pairs of two vectors of 64 floats, held a few times over.
    vectors = 15360 * 2 * 64 * 4
    assert large - small < 8 * vectors
    assert peak_bytes(4096) > 4 * large


def test_a_batch_of_65536_of_width_768_fits_in_4_gib() -> None:
    torch.manual_seed(0)
    sides = [
        torch.nn.functional.normalize(torch.randn(65536, 768, device="cuda"), dim=-1)
        for _ in range(2)
    ]
    torch.cuda.reset_peak_memory_stats()
    for side in sides:
        side.requires_grad_()
    # The loss asks a batch for nothing but its keys, all different here.
    empty = np.zeros(0, np.int32)
    keys = np.arange(2 * 65536, dtype=np.uint64)
    batch = Batch(empty, np.ones(2 * 65536, np.int64), keys, sides_of(np.arange(65536)))
    result = ranking_loss(*sides, None, batch, options(65536, logit_block_bytes=2**28))
    result.loss.backward()
    assert torch.cuda.max_memory_allocated() < 4 * 2**30
    with torch.no_grad():
        plain = additive_margin_softmax(*sides, logit_scale=100.0, logit_margin=0.3)
    assert result.loss.item() == pytest.approx(plain.item(), rel=1e-5)
