import json
import signal
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training_data import cipher_pairs

from labse.config import parse_config
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.data.batch import Batches
from labse.dual_encoder.data.pairs import TokenizedPairs
from labse.dual_encoder.data.sampler import PairSampler
from labse.dual_encoder.gradients import pad
from labse.dual_encoder.train import train as train_on_batches
from labse.errors import InterruptedRunError, LabseError, UsageError
from labse.network.dual_encoder import DualEncoder
from labse.training.checkpoint import find_not_finite, latest_checkpoint
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


def run_config_with(config: RunConfig, **options: object) -> RunConfig:
    return config.model_copy(update={"train": config.train.model_copy(update=options)})


def train(config: RunConfig, pairs: TokenizedPairs, out: Path, **options: object) -> DualEncoder:
    return train_on_batches(config, Batches(config, pairs), out, **options)


def stop(_: DualEncoder) -> dict[str, float]:
    """Asks the run to stop; an evaluation, which comes first after step 6."""
    signal.raise_signal(signal.SIGTERM)
    return {}


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
    sampler = PairSampler(pairs, config.data, batch_size=16, seed=1)
    # 0.01 * min(1, (s + 1) / 2) * (1 - s / 3) for s = 0, 1, 2.
    for step, lr in enumerate([0.005, 0.02 / 3, 0.01 / 3]):
        optimizer.param_groups[0]["lr"] = lr
        sentences = pairs.pairs.reshape(-1)[sampler.sides(step)]
        source, target = (model(*pad(*pairs.gather(side))) for side in sentences.T)
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


@pytest.mark.parametrize("model", [BAG, LAYERS], ids=["bag", "layers with dropout"])
def test_a_run_in_chunks_and_blocks_with_repeats_goes_on_bitwise(
    tmp_path: Path, model: Mapping[str, object]
) -> None:
    few = cipher_pairs(20)
    few.pairs[10:] = few.pairs[:10]  # 16 of twenty rows, each there twice: repeats are sure.
    config = run_config(model, micro_batch_size=5, logit_block_bytes=200)
    config = config.model_copy(update={"data": config.data.model_copy(update={"repeats": "mask"})})
    straight = train(config, few, tmp_path / "straight")
    assert all(row["false_negatives"] > 0 for row in timeless_rows(tmp_path / "straight"))

    # Rows are logged every fifth step: the checkpoint of step 6 lies inside a window.
    config = run_config_with(config, log_every=5)
    with pytest.raises(InterruptedRunError, match="stopped at step 6 of 12"):
        train(config, few, tmp_path / "stopped", evaluate=stop)
    assert_bitwise_equal(train(config, few, tmp_path / "stopped"), straight)
    train(config, few, tmp_path / "again")
    assert timeless_rows(tmp_path / "stopped") == timeless_rows(tmp_path / "again")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", [BAG, LAYERS], ids=["bag", "layers with dropout"])
@pytest.mark.parametrize("is_sparse", [True, False], ids=["sparse", "dense"])
def test_an_interrupted_run_equals_an_uninterrupted_one_bitwise(
    tmp_path: Path, model: Mapping[str, object], is_sparse: bool, precision: str
) -> None:
    config = run_config(model, sparse_embeddings=is_sparse, precision=precision)
    straight = train(config, cipher_pairs(), tmp_path / "straight")

    with pytest.raises(InterruptedRunError, match="stopped at step 6 of 12"):
        train(config, cipher_pairs(), tmp_path / "stopped", evaluate=stop)
    resumed = train(config, cipher_pairs(), tmp_path / "stopped")

    assert_bitwise_equal(resumed, straight)
    assert timeless_rows(tmp_path / "stopped") == timeless_rows(tmp_path / "straight")


def test_a_run_with_lazy_adamw_goes_on_bitwise_and_decays_the_rows_it_never_touched(
    tmp_path: Path,
) -> None:
    adamw = {"embedding_optimizer": "adamw", "embedding_lr": 0.02, "weight_decay": 0.1}
    config = run_config(BAG, **adamw)
    straight = train(config, cipher_pairs(), tmp_path / "straight")

    with pytest.raises(InterruptedRunError):
        train(config, cipher_pairs(), tmp_path / "stopped", evaluate=stop)
    assert_bitwise_equal(train(config, cipher_pairs(), tmp_path / "stopped"), straight)
    # A finished run gives its settled weights again.
    assert_bitwise_equal(train(config, cipher_pairs(), tmp_path / "straight"), straight)

    still = train(run_config(BAG, **adamw | {"weight_decay": 0.0}), cipher_pairs(), tmp_path / "0")
    # Warm-up and decay of the rate sum to 0.02 * (0.5 + 11/12 + 10/12 + ... + 1/12).
    shares = [0.5] + [step / 12 for step in range(1, 12)]
    expected = np.prod([1 - 0.1 * 0.02 * share for share in shares])
    row = 119  # Of no sentence.
    ratio = straight.bert.embeddings.word.weight[row] / still.bert.embeddings.word.weight[row]
    assert ratio.tolist() == pytest.approx([expected] * 16, rel=1e-5)


def test_a_table_at_rate_0_stays_as_it_is_while_layers_learn_and_the_run_goes_on_bitwise(
    tmp_path: Path,
) -> None:
    config = run_config(LAYERS, embedding_lr=0)
    torch.manual_seed(1)  # The seed of the run, from which weights are drawn first.
    before = weights(DualEncoder(config.model))

    straight = train(config, cipher_pairs(), tmp_path / "straight")
    moved = {
        name for name, value in weights(straight).items() if not torch.equal(value, before[name])
    }
    assert set(before) - moved == {"bert.embeddings.word.weight"}

    with pytest.raises(InterruptedRunError):
        train(config, cipher_pairs(), tmp_path / "stopped", evaluate=stop)
    assert_bitwise_equal(train(config, cipher_pairs(), tmp_path / "stopped"), straight)


class Scores:
    """An evaluation that gives the scores it was told, one after the other, and keeps weights."""

    def __init__(self, *scores: float, stop_at: int | None = None) -> None:
        self.scores = list(scores)
        self.seen: list[dict[str, torch.Tensor]] = []
        self._stop_at = stop_at

    def __call__(self, model: DualEncoder) -> dict[str, float]:
        self.seen.append(weights(model))
        if len(self.seen) == self._stop_at:
            signal.raise_signal(signal.SIGTERM)
        return {"other": 0.0, "p_at_1": self.scores[len(self.seen) - 1]}


KEEP_BEST = {"keep_best": True, "best_by": "p_at_1", "eval_every": 2}


def test_the_model_is_that_of_the_best_evaluation(tmp_path: Path) -> None:
    scores = Scores(0.1, 0.5, 0.3, 0.5, 0.2, 0.1)
    config = run_config(LAYERS, **KEEP_BEST)
    model = train(config, cipher_pairs(), tmp_path, evaluate=scores)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, scores.seen[1][name]), name
    assert json.loads((tmp_path / "best.json").read_text()) == {"step": 4, "score": 0.5}
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-000000004", "step-000000010", "step-000000012"]
    # A finished run gives it again, without another evaluation.
    assert_bitwise_equal(train(config, cipher_pairs(), tmp_path, evaluate=Scores()), model)


def test_a_run_without_a_better_evaluation_ends_early_and_may_be_given_more_patience(
    tmp_path: Path,
) -> None:
    scores = Scores(0.1, 0.5, 0.3, 0.5)
    config = run_config(LAYERS, **KEEP_BEST, patience=2)
    model = train(config, cipher_pairs(), tmp_path / "short", evaluate=scores)
    assert len(scores.seen) == 4
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, scores.seen[1][name]), name
    again = train(config, cipher_pairs(), tmp_path / "short", evaluate=Scores())
    assert_bitwise_equal(again, model)

    patient = run_config(LAYERS, **KEEP_BEST, patience=3)
    longer = train(patient, cipher_pairs(), tmp_path / "short", evaluate=Scores(0.6, 0.7))
    straight = train(run_config(LAYERS, eval_every=2), cipher_pairs(), tmp_path / "straight")
    assert_bitwise_equal(longer, straight)  # The last is the best.


@pytest.mark.parametrize("stop_at", [1, 2, 3, 4])
def test_a_stopped_run_finds_the_best_that_it_had(tmp_path: Path, stop_at: int) -> None:
    values = (0.1, 0.5, 0.3, 0.4, 0.2, 0.45)
    config = run_config(LAYERS, **KEEP_BEST, patience=4)
    straight = train(config, cipher_pairs(), tmp_path / "straight", evaluate=Scores(*values))
    stopped = Scores(*values, stop_at=stop_at)
    with pytest.raises(InterruptedRunError):
        train(config, cipher_pairs(), tmp_path / "stopped", evaluate=stopped)
    rest = Scores(*values[stop_at:])
    resumed = train(config, cipher_pairs(), tmp_path / "stopped", evaluate=rest)
    assert_bitwise_equal(resumed, straight)
    assert timeless_rows(tmp_path / "stopped") == timeless_rows(tmp_path / "straight")


def test_the_best_needs_evaluations_that_give_the_measure(tmp_path: Path) -> None:
    config = run_config(LAYERS, **KEEP_BEST | {"best_by": "p_at_2"})
    with pytest.raises(UsageError, match="needs evaluations"):
        train(config, cipher_pairs(), tmp_path)
    with pytest.raises(UsageError, match="gives no 'p_at_2'; it gives other, p_at_1"):
        train(config, cipher_pairs(), tmp_path, evaluate=Scores(0.1))


@pytest.mark.parametrize("embeddings", [{}, {"embedding_optimizer": "adamw", "weight_decay": 0.1}])
def test_the_mean_of_the_last_checkpoints_is_the_same_after_a_stop(
    tmp_path: Path, embeddings: Mapping[str, object]
) -> None:
    options = {"average_checkpoints": 3, "checkpoint_every": 5, **embeddings}
    config = run_config(LAYERS, **options)
    straight = train(config, cipher_pairs(), tmp_path / "straight")
    # Stopped at step 8, whose weights are none of those of steps 5, 10 and 12.
    stops = run_config_with(config, eval_every=8)
    with pytest.raises(InterruptedRunError):
        train(stops, cipher_pairs(), tmp_path / "stopped", evaluate=Scores(0.0, stop_at=1))
    assert_bitwise_equal(train(config, cipher_pairs(), tmp_path / "stopped"), straight)
    # A finished run gives it again.
    assert_bitwise_equal(train(config, cipher_pairs(), tmp_path / "straight"), straight)
    with pytest.raises(UsageError, match=r"train.checkpoint_every: 5 -> 4"):
        train(run_config_with(config, checkpoint_every=4), cipher_pairs(), tmp_path / "straight")


def test_the_mean_is_that_of_the_weights_at_the_due_steps(tmp_path: Path) -> None:
    scores = Scores(0.0, 0.0, 0.0)
    config = run_config(LAYERS, average_checkpoints=2, checkpoint_every=5, eval_every=5)
    model = train(config, cipher_pairs(), tmp_path, evaluate=scores)
    for name, tensor in model.state_dict().items():
        expected = (scores.seen[1][name] + scores.seen[2][name]) / 2
        torch.testing.assert_close(tensor, expected, rtol=1e-6, atol=1e-7)


def test_a_kill_between_checkpoints_loses_only_the_steps_since_the_last(tmp_path: Path) -> None:
    config = run_config(LAYERS)
    straight = train(config, cipher_pairs(), tmp_path / "straight")

    class Kill(BaseException):
        """Stands for kill -9: nothing of the loop runs after it."""

    def die(row: Mapping[str, float]) -> None:
        if row["step"] == 9:
            raise Kill

    with pytest.raises(Kill):
        train(config, cipher_pairs(), tmp_path / "killed", on_metrics=die)
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
    straight = train(run_config(LAYERS), cipher_pairs(), tmp_path / "straight")
    with pytest.raises(InterruptedRunError):
        train(run_config(LAYERS), cipher_pairs(), tmp_path / "stopped", evaluate=stop)
    changed = run_config(LAYERS, log_every=1, eval_every=2, checkpoint_every=4)
    assert_bitwise_equal(train(changed, cipher_pairs(), tmp_path / "stopped"), straight)
    steps = [row["step"] for row in timeless_rows(tmp_path / "stopped")]
    assert steps == [3, 6, 7, 8, 9, 10, 11, 12]


def test_a_changed_configuration_is_refused_with_the_differences(tmp_path: Path) -> None:
    train(run_config(BAG), cipher_pairs(), tmp_path)
    with pytest.raises(UsageError, match=r"train.lr: 0.01 -> 0.02; train.seed: 1 -> 2"):
        train(run_config(BAG, lr=0.02, seed=2), cipher_pairs(), tmp_path)


def test_a_model_that_cannot_tell_sentences_apart_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    same = cipher_pairs(1)
    config = run_config(BAG, global_batch_size=4)
    config = config.model_copy(update={"data": config.data.model_copy(update={"repeats": "mask"})})
    train(config, same, tmp_path / "same")
    assert caplog.text.count("vectors of the batch are alike") == 1
    caplog.clear()
    train(run_config(BAG), cipher_pairs(), tmp_path / "healthy")
    assert "alike" not in caplog.text


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


def test_an_update_that_overflows_leaves_the_last_good_checkpoint_the_newest(
    tmp_path: Path,
) -> None:
    # A finite gradient and a rate beyond float32: the first update is infinite already.
    config = run_config(BAG, lr=1e39, warmup_steps=0, checkpoint_every=1)
    with pytest.raises(LabseError, match=r"step 1: the update left .* in model\."):
        train(config, cipher_pairs(), tmp_path / "at-once")
    assert latest_checkpoint(tmp_path / "at-once" / "checkpoints") is None

    def overflow_at_step_3(model: DualEncoder) -> dict[str, float]:
        if len(list((tmp_path / "later/checkpoints").glob("step-*"))) == 2:
            model.bert.embeddings.word.weight.data[7] *= torch.inf
        return {}

    config = run_config(BAG, eval_every=1, checkpoint_every=1)
    with pytest.raises(LabseError, match=r"the last checkpoint is .*step-0{8}2; start anew"):
        train(config, cipher_pairs(), tmp_path / "later", evaluate=overflow_at_step_3)
    kept = latest_checkpoint(tmp_path / "later" / "checkpoints")
    assert kept.step == 2
    assert not find_not_finite(kept.tensors)
    assert not (tmp_path / "later" / "model").exists()


def test_a_finished_run_returns_its_model_again(tmp_path: Path) -> None:
    first = train(run_config(BAG), cipher_pairs(), tmp_path)
    assert_bitwise_equal(train(run_config(BAG), cipher_pairs(), tmp_path), first)


def test_weights_of_one_process_are_not_cut(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="shard full needs several processes"):
        train(run_config(BAG, shard="full"), cipher_pairs(), tmp_path)
