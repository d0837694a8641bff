"""Training on one GPU without NCCL: runs in bfloat16, sparse optimizers, a compiled encoder."""

import signal
from pathlib import Path

import pytest
import torch
from tests.training_data import cipher_pairs
from torch import nn

from labse.config import parse_config
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.data.batch import Batches
from labse.dual_encoder.gradients import pad
from labse.dual_encoder.loss import additive_margin_softmax
from labse.dual_encoder.train import train
from labse.errors import InterruptedRunError
from labse.network.dual_encoder import DualEncoder
from labse.training.lazy_adamw import LazyAdamW
from labse.training.metrics import read_metrics
from labse.training.optimizer import RowwiseAdagrad

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DEVICE = "cuda"
BERT = {
    "vocab_size": 120,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 16,
}
MODEL = {"bert": BERT, "pooling": "mean", "projection": "linear", "max_seq_length": 16}


def configure(**options: object) -> RunConfig:
    defaults = {"train_steps": 200, "global_batch_size": 64, "micro_batch_size": 16}
    defaults |= {"logit_scale": 20.0, "logit_margin": 0.1, "lr": 2e-3, "warmup_steps": 10}
    defaults |= {"precision": "bfloat16", "log_every": 10, "checkpoint_every": 50}
    values = {"data": {"pairs": ["x"]}, "model": MODEL, "train": defaults | options}
    return parse_config(RunConfig, values, where="test")


@pytest.mark.parametrize(
    "embeddings", [{}, {"sparse_embeddings": True, "embedding_lr": 0.05}], ids=["dense", "sparse"]
)
def test_a_run_in_bfloat16_learns_and_goes_on_after_a_stop(
    tmp_path: Path, embeddings: dict[str, object]
) -> None:
    config = configure(**embeddings, eval_every=100)
    model = train(config, Batches(config, cipher_pairs()), tmp_path / "straight")
    assert next(model.parameters()).device.type == DEVICE
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    straight = losses(tmp_path / "straight")
    assert straight[-1] < straight[0] / 3

    def stop(_: DualEncoder) -> dict[str, float]:
        signal.raise_signal(signal.SIGTERM)
        return {}

    with pytest.raises(InterruptedRunError, match="stopped at step 100 of 200"):
        train(config, Batches(config, cipher_pairs()), tmp_path / "stopped", evaluate=stop)
    train(config, Batches(config, cipher_pairs()), tmp_path / "stopped")
    found = losses(tmp_path / "stopped")
    assert len(found) == len(straight)
    # CUDA adds gradients in any order, and AdamW lifts what that changes. With other dropout masks
    # or moments the row behind the stop would differ by far more than a tenth.
    assert found[10] == pytest.approx(straight[10], rel=0.1)


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(run / "metrics.jsonl") if "loss" in row]


@pytest.mark.parametrize("kind", ["adagrad", "adamw"])
def test_sparse_optimizers_make_the_updates_that_they_make_on_the_cpu(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(50, 8, generator=generator)
    batches = [torch.randint(50, (12,), generator=generator) for _ in range(6)]
    found = []
    for device in ("cpu", DEVICE):
        table = nn.Embedding(50, 8, sparse=True, device=device)
        table.weight.data.copy_(start)
        optimizer = (
            RowwiseAdagrad(table.parameters(), lr=0.1)
            if kind == "adagrad"
            else LazyAdamW(table.parameters(), lr=0.1, eps=1e-3, weight_decay=0.1)
        )
        for rows in batches:
            optimizer.zero_grad()
            table(rows.to(device)).square().sum().backward()
            optimizer.step()
        if isinstance(optimizer, LazyAdamW):
            optimizer.settle()
        found.append(table.weight.detach().cpu())
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-6)


def test_a_compiled_encoder_has_the_gradients_of_the_plain_one() -> None:
    pairs, config = cipher_pairs(24), configure().model
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = config.model_copy(update={"bert": config.bert.model_copy(update=no_dropout)})
    gradients = []
    for is_compiled in (False, True):
        torch.manual_seed(0)
        model = DualEncoder(config).to(DEVICE).train()
        encode = torch.compile(model) if is_compiled else model
        sides = [pad(*pairs.gather(side)) for side in pairs.pairs.T]
        source, target = (encode(ids.to(DEVICE), mask.to(DEVICE)) for ids, mask in sides)
        additive_margin_softmax(source, target, logit_scale=20.0, logit_margin=0.1).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    plain, compiled = gradients
    assert plain.keys() == compiled.keys()
    for name, gradient in plain.items():
        size = gradient.abs().max().item()
        # Fused kernels of float32 sum in another order.
        torch.testing.assert_close(compiled[name], gradient, rtol=1e-3, atol=1e-4 * max(size, 1))
