import signal
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from labse.config import parse_config
from labse.dual_encoder.batches import PairSampler
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.model import DualEncoder
from labse.dual_encoder.pairs import TokenizedPairs
from labse.dual_encoder.train import pad, train
from labse.errors import InterruptedRunError, LabseError, UsageError
from labse.training.checkpoint import latest_checkpoint
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


def timeless_rows(run_folder: Path) -> list[dict[str, float]]:
    return [
        {name: value for name, value in row.items() if name != "pairs_per_second"}
        for row in read_metrics(run_folder / "metrics.jsonl")
        if "loss" in row
    ]


def test_a_bag_learns_a_cipher(tmp_path: Path) -> None:
    config = run_config(BAG, train_steps=150, global_batch_size=64, log_every=1)
    train(config, cipher_pairs(), tmp_path)
    rows = [row for row in read_metrics(tmp_path / "metrics.jsonl") if "loss" in row]
    # 64 candidates: guessing gives 1/64.
    assert rows[0]["in_batch_p_at_1"] < 0.5
    assert rows[-1]["in_batch_p_at_1"] > 0.95
    assert rows[-1]["loss"] < rows[0]["loss"] / 4


def test_updates_equal_those_written_out_with_torch_alone(tmp_path: Path) -> None:
    bert = BERT | {"num_hidden_layers": 1, "hidden_dropout_prob": 0.0}
    bert |= {"attention_probs_dropout_prob": 0.0}
    model_options = {"bert": bert, "pooling": "mean", "projection": "linear", "max_seq_length": 16}
    # All gradients are clipped. Adam with a small eps would blow up the rounding of tiny ones.
    options = {"train_steps": 3, "sparse_embeddings": False, "max_grad_norm": 2.0, "adam_eps": 0.1}
    config = run_config(model_options, **options)
    pairs = cipher_pairs()
    trained = train(config, pairs, tmp_path)

    torch.manual_seed(1)
    model = DualEncoder(config.model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, eps=0.1, weight_decay=0.0)
    sampler = PairSampler(pairs, batch_size=16, smoothing_exponent=0.5, seed=1)
    # 0.01 * min(1, (s + 1) / 2) * (1 - s / 3) for s = 0, 1, 2.
    for step, lr in enumerate([0.005, 0.02 / 3, 0.01 / 3]):
        optimizer.param_groups[0]["lr"] = lr
        source, target = (model(*pad(*pairs.gather(side))) for side in sampler.batch(step).T)
        logits = 20 * (source @ target.T - 0.1 * torch.eye(16))
        labels = torch.arange(16)
        cross_entropy = torch.nn.functional.cross_entropy
        (cross_entropy(logits, labels) + cross_entropy(logits.T, labels)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        optimizer.zero_grad()
    # The loop embeds both sides in one product: float32 sums in another order.
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], tensor, atol=1e-5, rtol=0)


def test_bfloat16_changes_the_arithmetic_and_not_the_type_of_the_weights(tmp_path: Path) -> None:
    wide = train(run_config(LAYERS), cipher_pairs(), tmp_path / "wide")
    narrow = train(run_config(LAYERS, precision="bfloat16"), cipher_pairs(), tmp_path / "narrow")
    weight = narrow.bert.embeddings.word.weight
    assert weight.dtype == torch.float32
    assert not torch.equal(weight, wide.bert.embeddings.word.weight)


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
    assert timeless_rows(tmp_path / "stopped") == timeless_rows(tmp_path / "straight")


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
    # The checkpoint of step 5 lies inside the window of steps 4 to 6, whose mean loss row 6 holds.
    assert timeless_rows(tmp_path / "killed") == timeless_rows(tmp_path / "straight")


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


def test_an_evaluation_that_draws_random_numbers_leaves_the_run_alone(tmp_path: Path) -> None:
    def evaluate(_: DualEncoder) -> dict[str, float]:
        return {"p_at_1": torch.rand(()).item()}

    plain = train(run_config(LAYERS), cipher_pairs(), tmp_path / "plain")
    evaluated = train(run_config(LAYERS), cipher_pairs(), tmp_path / "evaluated", evaluate=evaluate)
    assert_bitwise_equal(evaluated, plain)


def test_how_often_a_run_logs_evaluates_and_saves_may_change_when_it_goes_on(
    tmp_path: Path,
) -> None:
    def stop(_: DualEncoder) -> dict[str, float]:
        signal.raise_signal(signal.SIGTERM)
        return {}

    straight = train(run_config(LAYERS), cipher_pairs(), tmp_path / "straight")
    with pytest.raises(InterruptedRunError):
        train(run_config(LAYERS), cipher_pairs(), tmp_path / "stopped", evaluate=stop)
    changed = run_config(LAYERS, log_every=1, eval_every=2, checkpoint_every=4)
    assert_bitwise_equal(train(changed, cipher_pairs(), tmp_path / "stopped"), straight)
    steps = [row["step"] for row in timeless_rows(tmp_path / "stopped")]
    assert steps == [3, 6, 7, 8, 9, 10, 11, 12]


def test_a_second_process_on_the_folder_of_a_run_is_refused(tmp_path: Path) -> None:
    messages: list[str] = []

    def train_again(row: Mapping[str, float]) -> None:
        with pytest.raises(UsageError) as raised:
            train(run_config(BAG), cipher_pairs(), tmp_path)
        messages.append(str(raised.value))

    train(run_config(BAG), cipher_pairs(), tmp_path, report=train_again)
    assert len(messages) == 4
    assert "another process" in messages[0]
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [3, 6, 9, 12]


def test_a_changed_configuration_is_refused_with_the_differences(tmp_path: Path) -> None:
    train(run_config(BAG), cipher_pairs(), tmp_path)
    with pytest.raises(UsageError, match=r"train.lr: 0.01 -> 0.02; train.seed: 1 -> 2"):
        train(run_config(BAG, lr=0.02, seed=2), cipher_pairs(), tmp_path)


def test_a_loss_that_is_no_number_stops_the_run_with_its_step(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match=r"step \d+: the loss is (nan|inf)"):
        train(run_config(BAG, embedding_lr=1e38, warmup_steps=0), cipher_pairs(), tmp_path)


def test_a_gradient_that_is_no_number_never_reaches_the_weights_or_a_checkpoint(
    tmp_path: Path,
) -> None:
    def spoil_later_gradients(model: DualEncoder) -> dict[str, float]:
        model.dense.weight.register_hook(lambda gradient: gradient * float("nan"))
        return {}

    config = run_config(BAG, eval_every=1, checkpoint_every=1)
    with pytest.raises(LabseError, match=r"step 2: .*norm of the gradient is nan"):
        train(config, cipher_pairs(), tmp_path, evaluate=spoil_later_gradients)
    checkpoint = latest_checkpoint(tmp_path / "checkpoints")
    assert checkpoint.step == 1
    assert all(tensor.isfinite().all() for tensor in checkpoint.tensors.values())


def test_a_finished_run_returns_its_model_again(tmp_path: Path) -> None:
    first = train(run_config(BAG), cipher_pairs(), tmp_path)
    assert_bitwise_equal(train(run_config(BAG), cipher_pairs(), tmp_path), first)


def test_padding_lays_rows_out_and_masks_the_rest() -> None:
    input_ids, mask = pad(np.array([7, 8, 9], dtype=np.int32), np.array([1, 2]))
    assert input_ids.tolist() == [[7, 0], [8, 9]]
    assert mask.tolist() == [[True, False], [True, True]]
