import signal
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from labse.errors import InterruptedRunError, LabseError, UsageError
from labse.pretraining.config import PretrainConfig, Stage
from labse.pretraining.model import MaskedLm, build_model
from labse.pretraining.train import train
from labse.training.checkpoint import latest_checkpoint
from labse.training.metrics import read_metrics

from .conftest import build_small_config, build_small_data

TIMES = ("tokens_per_second", "tflops", "flops_utilisation")


def run(config: PretrainConfig, folder: Path, **options: object) -> MaskedLm:
    return train(config, build_small_data(config), folder, **options)  # type: ignore[arg-type]


def timeless(folder: Path) -> list[dict[str, float]]:
    rows = read_metrics(folder / "metrics.jsonl")
    return [{name: row[name] for name in row if name not in TIMES} for row in rows]


def assert_bitwise_equal(ours: MaskedLm, theirs: MaskedLm) -> None:
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name]), name


def test_a_model_learns_to_restore_what_its_neighbours_tell(tmp_path: Path) -> None:
    options = {"stage_steps": [120, 120], "global_batch_size": 32, "micro_batch_size": 32}
    config = build_small_config(
        {"hidden_dropout_prob": 0.0}, **options, log_every=40, eval_every=120
    )
    run(config, tmp_path)
    rows = [row for row in timeless(tmp_path) if "loss" in row]
    scores = [row for row in timeless(tmp_path) if "mlm_accuracy" in row]
    assert [row["num_layers"] for row in rows] == [1, 1, 1, 2, 2, 2]
    assert rows[-1]["loss"] < rows[0]["loss"] / 2
    # Guessing the commonest of 55 pieces is right about once in twenty. Held out are twelve
    # examples with some twenty masks.
    assert rows[-1]["accuracy"] > 0.3
    assert scores[-1]["mlm_accuracy"] > 0.15
    assert scores[-1]["tlm_perplexity"] < 15


def test_the_loss_after_growth_is_nearer_to_the_one_before_than_to_the_start(
    tmp_path: Path,
) -> None:
    options = {"stage_steps": [120, 20], "global_batch_size": 32, "micro_batch_size": 32}
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    run(build_small_config(still, **options, log_every=5, lr=0.005), tmp_path)
    losses = [row["loss"] for row in timeless(tmp_path) if "loss" in row]
    start, before, after = losses[0], losses[23], losses[24]
    assert abs(after - before) < (start - before) / 3


@pytest.mark.parametrize("options", [{}, {"optimizer": "lamb"}, {"precision": "bfloat16"}], ids=str)
@pytest.mark.parametrize("stop_at", [4, 6, 8])
def test_an_interrupted_run_equals_an_uninterrupted_one_bitwise(
    tmp_path: Path, options: dict[str, object], stop_at: int
) -> None:
    config = build_small_config(**options, log_every=2)
    straight = run(config, tmp_path / "straight")

    def stop(row: Mapping[str, float]) -> None:
        if row["step"] == stop_at:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(InterruptedRunError, match=f"stopped at step {stop_at} of 12"):
        run(config, tmp_path / "stopped", on_metrics=stop)
    resumed = run(config, tmp_path / "stopped")
    assert_bitwise_equal(resumed, straight)
    assert timeless(tmp_path / "stopped") == timeless(tmp_path / "straight")


def test_a_stage_ends_in_a_checkpoint_and_the_rate_goes_on(tmp_path: Path) -> None:
    seen: list[tuple[Stage, int, int]] = []

    def finish(stage: Stage, model: MaskedLm) -> None:
        checkpoint = latest_checkpoint(tmp_path / "checkpoints")
        assert checkpoint is not None
        seen.append((stage, len(model.bert.layers), checkpoint.step))

    run(build_small_config(log_every=1), tmp_path, finish_stage=finish)
    assert [(stage.number, layers, step) for stage, layers, step in seen] == [(1, 1, 6), (2, 2, 12)]
    rates = [row["lr"] for row in timeless(tmp_path) if "loss" in row]
    # Warm-up of 2, then 0.01 * (1 - step / 12) with no break at step 6.
    expected = [0.005, *(0.01 * (1 - step / 12) for step in range(1, 12))]
    np.testing.assert_allclose(rates, expected)


def test_a_stage_may_warm_up_again(tmp_path: Path) -> None:
    run(build_small_config(log_every=1, stage_warmup_steps=4), tmp_path)
    rates = [row["lr"] for row in timeless(tmp_path) if "loss" in row]
    np.testing.assert_allclose(rates[6:8], [0.01 * 0.5 * 0.25, 0.01 * (1 - 7 / 12) * 0.5])


def test_the_share_of_the_peak_is_told_where_the_peak_is(tmp_path: Path) -> None:
    run(build_small_config(stage_steps=[2], peak_tflops=0.5), tmp_path)
    row = read_metrics(tmp_path / "metrics.jsonl")[0]
    assert row["flops_utilisation"] == pytest.approx(row["tflops"] / 0.5)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    def build(num_layers: int) -> MaskedLm:
        model = build_model(build_small_config(), num_layers)
        model.head.bias.data[7] = torch.nan
        return model

    with pytest.raises(LabseError, match="step 1: the loss is nan"):
        run(build_small_config(), tmp_path, build=build)
    assert latest_checkpoint(tmp_path / "checkpoints") is None


def test_a_changed_configuration_is_refused_with_its_differences(tmp_path: Path) -> None:
    run(build_small_config(), tmp_path)
    with pytest.raises(UsageError, match=r"train.lr: 0.01 -> 0.5; train.seed: 1 -> 2"):
        run(build_small_config(lr=0.5, seed=2, log_every=1), tmp_path)


@pytest.mark.parametrize("name", ["model.head.bias", "optimizer.3.exp_avg", "metrics.history"])
def test_a_checkpoint_without_a_tensor_is_damaged(tmp_path: Path, name: str) -> None:
    run(build_small_config(), tmp_path)
    path = tmp_path / "checkpoints" / "step-000000012" / "state.safetensors"
    tensors = load_file(path)
    removed = tensors.pop(name)
    if name == "model.head.bias":
        tensors[name] = removed[1:].clone()
    save_file(tensors, path)
    with pytest.raises(
        LabseError, match=rf"damaged checkpoint of step 12 \('{name}' is missing or"
    ):
        run(build_small_config(), tmp_path)
