import signal
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from labse.config import parse_config
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.model import DualEncoder
from labse.dual_encoder.pairs import TokenizedPairs
from labse.dual_encoder.train import pad, train
from labse.errors import InterruptedRunError, LabseError, UsageError
from labse.training.metrics import read_metrics

BERT = {
    "vocab_size": 120,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 16,
}
BAG = {"bert": BERT | {"num_hidden_layers": 0, "hidden_dropout_prob": 0.0}}
BAG |= {"pooling": "mean", "projection": "linear", "max_seq_length": 16}
LAYERS = {"bert": BERT | {"num_hidden_layers": 1}, "max_seq_length": 16}


def cipher_pairs(num_pairs: int = 400) -> TokenizedPairs:
    """Sentences over pieces 5 to 59 and their word-for-word translations over 60 to 114."""
    generator = np.random.default_rng(0)
    sources = [generator.integers(5, 60, generator.integers(3, 8)) for _ in range(num_pairs)]
    sides = [side for source in sources for side in (source, source[::-1] + 55)]
    sentences = [np.concatenate([[2], side, [3]]) for side in sides]
    lengths = [len(sentence) for sentence in sentences]
    return TokenizedPairs(
        input_ids=np.concatenate(sentences).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        pairs=np.arange(2 * num_pairs, dtype=np.int32).reshape(-1, 2),
        pair_langs=np.zeros(num_pairs, dtype=np.int16),
        lang_pairs=("eng-zzz",),
        pair_corpora=np.zeros(num_pairs, dtype=np.int16),
        corpora=("cipher",),
        num_truncated=0,
    )


def run_config(model: Mapping[str, object], **options: object) -> RunConfig:
    defaults = {
        "seed": 1,
        "train_steps": 12,
        "global_batch_size": 16,
        "logit_scale": 20.0,
        "logit_margin": 0.1,
        "lr": 0.01,
        "warmup_steps": 2,
        "log_every": 3,
        "eval_every": 6,
        "checkpoint_every": 5,
        "sparse_embeddings": True,
        "embedding_lr": 0.1,
    }
    values = {"data": {"pairs": ["x"]}, "model": model, "train": defaults | options}
    return parse_config(RunConfig, values, where="test")


def weights(model: DualEncoder) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_bitwise_equal(ours: DualEncoder, theirs: DualEncoder) -> None:
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name]), name


def test_a_bag_learns_a_cipher(tmp_path: Path) -> None:
    config = run_config(BAG, train_steps=150, global_batch_size=64, log_every=1)
    train(config, cipher_pairs(), tmp_path)
    rows = [row for row in read_metrics(tmp_path / "metrics.jsonl") if "loss" in row]
    # 64 candidates: guessing gives 1/64.
    assert rows[0]["in_batch_p_at_1"] < 0.5
    assert rows[-1]["in_batch_p_at_1"] > 0.95
    assert rows[-1]["loss"] < rows[0]["loss"] / 4


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", [BAG, LAYERS], ids=["bag", "layers with dropout"])
@pytest.mark.parametrize("is_sparse", [True, False], ids=["sparse", "dense"])
def test_an_interrupted_run_equals_an_uninterrupted_one_bitwise(
    tmp_path: Path, model: Mapping[str, object], is_sparse: bool, precision: str
) -> None:
    config = run_config(model, sparse_embeddings=is_sparse, precision=precision)
    straight = train(config, cipher_pairs(), tmp_path / "straight")

    def stop_at_step_6(_: DualEncoder) -> dict[str, float]:
        signal.raise_signal(signal.SIGTERM)
        return {}

    with pytest.raises(InterruptedRunError, match="stopped at step 6 of 12"):
        train(config, cipher_pairs(), tmp_path / "stopped", evaluate=stop_at_step_6)
    resumed = train(config, cipher_pairs(), tmp_path / "stopped")

    assert_bitwise_equal(resumed, straight)
    timeless = [
        [
            {k: v for k, v in row.items() if k != "pairs_per_second"}
            for row in read_metrics(path)
            if "loss" in row
        ]
        for path in (
            tmp_path / "stopped" / "metrics.jsonl",
            tmp_path / "straight" / "metrics.jsonl",
        )
    ]
    assert timeless[0] == timeless[1]


def test_a_kill_between_checkpoints_loses_only_the_steps_since_the_last(tmp_path: Path) -> None:
    config = run_config(LAYERS)
    straight = train(config, cipher_pairs(), tmp_path / "straight")

    class Kill(BaseException):
        """Stands for kill -9: nothing of the loop runs after it."""

    def die(row: Mapping[str, float]) -> None:
        if row["step"] == 9:
            raise Kill

    with pytest.raises(Kill):
        train(config, cipher_pairs(), tmp_path / "killed", report=die)
    resumed = train(config, cipher_pairs(), tmp_path / "killed")
    assert_bitwise_equal(resumed, straight)
    steps = [row["step"] for row in read_metrics(tmp_path / "killed" / "metrics.jsonl")]
    assert steps == [3, 6, 9, 12]


def test_evaluation_joins_the_metrics_and_leaves_the_run_alone(tmp_path: Path) -> None:
    config = run_config(LAYERS)
    plain = train(config, cipher_pairs(), tmp_path / "plain")
    seen: list[bool] = []

    def evaluate(model: DualEncoder) -> dict[str, float]:
        seen.append(model.training)
        return {"p_at_1": 0.5}

    evaluated = train(config, cipher_pairs(), tmp_path / "evaluated", evaluate=evaluate)
    assert seen == [False, False]
    assert_bitwise_equal(evaluated, plain)
    rows = read_metrics(tmp_path / "evaluated" / "metrics.jsonl")
    assert [row["step"] for row in rows if "p_at_1" in row] == [6, 12]


def test_a_changed_configuration_is_refused_with_the_differences(tmp_path: Path) -> None:
    train(run_config(BAG), cipher_pairs(), tmp_path)
    with pytest.raises(UsageError, match=r"train.lr: 0.01 -> 0.02; train.seed: 1 -> 2"):
        train(run_config(BAG, lr=0.02, seed=2), cipher_pairs(), tmp_path)


def test_a_loss_that_is_no_number_stops_the_run_with_its_step(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match=r"step \d+: the loss is (nan|inf)"):
        train(run_config(BAG, embedding_lr=1e38, warmup_steps=0), cipher_pairs(), tmp_path)


def test_a_finished_run_returns_its_model_again(tmp_path: Path) -> None:
    first = train(run_config(BAG), cipher_pairs(), tmp_path)
    assert_bitwise_equal(train(run_config(BAG), cipher_pairs(), tmp_path), first)


def test_padding_lays_rows_out_and_masks_the_rest() -> None:
    input_ids, mask = pad(np.array([7, 8, 9], dtype=np.int32), np.array([1, 2]))
    assert input_ids.tolist() == [[7, 0], [8, 9]]
    assert mask.tolist() == [[True, False], [True, True]]
