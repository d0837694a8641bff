import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.run_state import RunState, load_run_state, load_weights, save_run_state
from labse.errors import LabseError, UsageError
from labse.network.dual_encoder import DualEncoder
from labse.training.checkpoint import Best, Checkpoint, latest_checkpoint, save_checkpoint
from labse.training.optimizer import build_optimizers

Optimizers = Sequence[torch.optim.Optimizer]


def change(config: RunConfig, **options: object) -> RunConfig:
    return config.model_copy(update={"train": config.train.model_copy(update=options)})


@pytest.fixture
def small_config(run_config: RunConfig) -> RunConfig:
    bert = run_config.model.bert.model_copy(update={"vocab_size": 30})
    model = run_config.model.model_copy(update={"bert": bert})
    return run_config.model_copy(update={"model": model})


def build(config: RunConfig) -> tuple[DualEncoder, Optimizers]:
    model = DualEncoder(config.model, sparse_embeddings=True)
    optimizers = build_optimizers(model, lr=0.1, embedding_lr=0.1, weight_decay=0.0, eps=1e-8)
    return model, optimizers


def update(model: DualEncoder, optimizers: Optimizers) -> None:
    vectors = model(torch.tensor([[2, 7, 3]]), torch.ones(1, 3))
    (vectors * torch.rand_like(vectors)).sum().backward()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("losses", [[], [0.1, 2.5]])
def test_all_that_the_next_update_depends_on_comes_back(
    tmp_path: Path, small_config: RunConfig, losses: list[float]
) -> None:
    model, optimizers = build(small_config)
    update(model, optimizers)
    save_run_state(tmp_path, small_config, model, optimizers, RunState(7, losses))
    update(model, optimizers)

    other, other_optimizers = build(small_config)
    state = load_run_state(tmp_path, small_config, other, other_optimizers)
    assert state == RunState(7, losses)
    update(other, other_optimizers)
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_a_folder_without_a_checkpoint_starts_at_step_0(
    tmp_path: Path, small_config: RunConfig
) -> None:
    assert load_run_state(tmp_path, small_config, *build(small_config)) == RunState(0, [])


def test_a_checkpoint_from_before_losses_were_kept_still_loads(
    tmp_path: Path, small_config: RunConfig
) -> None:
    model, optimizers = build(small_config)
    save_run_state(tmp_path, small_config, model, optimizers, RunState(7, [0.5]))
    saved = latest_checkpoint(tmp_path / "checkpoints")
    del saved.tensors["metrics.losses"]
    save_checkpoint(tmp_path / "checkpoints", Checkpoint(8, saved.tensors, saved.config))
    assert load_run_state(tmp_path, small_config, model, optimizers) == RunState(8, [])


def test_what_moves_the_weights_must_stay_and_what_only_tells_of_them_may_change(
    tmp_path: Path, small_config: RunConfig
) -> None:
    model, optimizers = build(small_config)
    save_run_state(tmp_path, small_config, model, optimizers, RunState(7, []))
    told = change(small_config, log_every=9, eval_every=9, checkpoint_every=9)
    told = change(told, micro_batch_size=2, logit_block_bytes=100)  # The device was too small.
    assert load_run_state(tmp_path, told, model, optimizers).step == 7

    moved = change(told, lr=0.5)
    with pytest.raises(UsageError, match=r"configuration \(train\.lr: 0\.01 -> 0\.5\); use"):
        load_run_state(tmp_path, moved, model, optimizers)


def test_the_best_the_sums_and_the_counts_come_back(
    tmp_path: Path, small_config: RunConfig
) -> None:
    model, optimizers = build(small_config)
    sums = {"dense.bias": torch.tensor([1.5, 2.5])}
    state = RunState(7, [0.5], (3,), Best(6, 0.25, 1), sums)
    save_run_state(tmp_path, small_config, model, optimizers, state)
    loaded = load_run_state(tmp_path, small_config, model, optimizers)
    assert (loaded.false_negatives, loaded.best) == ((3,), Best(6, 0.25, 1))
    assert loaded.weight_sums["dense.bias"].tolist() == [1.5, 2.5]


def test_the_weights_of_the_best_step_are_kept_and_come_back(
    tmp_path: Path, small_config: RunConfig
) -> None:
    model, optimizers = build(small_config)
    before = model.bert.embeddings.word.weight.detach().clone()
    for step in (2, 4, 6, 8):
        save_run_state(tmp_path, small_config, model, optimizers, RunState(step, [], best=Best(2)))
        update(model, optimizers)
    load_weights(tmp_path, 2, model, optimizers)
    assert torch.equal(model.bert.embeddings.word.weight, before)


def test_checkpoints_that_a_kill_has_left_go_when_the_run_goes_on(
    tmp_path: Path, small_config: RunConfig
) -> None:
    model, optimizers = build(small_config)
    for step in (1, 3, 5, 7):
        state = RunState(step, [], best=Best(1))
        save_run_state(tmp_path, small_config, model, optimizers, state)
    saved = latest_checkpoint(tmp_path / "checkpoints")
    killed = Checkpoint(9, saved.tensors, saved.config)
    save_checkpoint(tmp_path / "checkpoints", killed, keep=9)  # Killed before older ones went.
    assert load_run_state(tmp_path, small_config, model, optimizers).step == 9
    left = sorted(path.name[-1] for path in (tmp_path / "checkpoints").iterdir())
    assert left == ["1", "7", "9"]


def test_keys_that_have_come_or_gone_since_a_checkpoint_are_defaults_or_told(
    tmp_path: Path, small_config: RunConfig
) -> None:
    model, optimizers = build(small_config)
    save_run_state(tmp_path, small_config, model, optimizers, RunState(7, []))
    saved = latest_checkpoint(tmp_path / "checkpoints")
    assert saved is not None
    del saved.config["train"]["max_negative_excess"]
    save_checkpoint(tmp_path / "checkpoints", Checkpoint(8, saved.tensors, saved.config))
    assert load_run_state(tmp_path, small_config, model, optimizers).step == 8
    with pytest.raises(UsageError, match=r"train\.max_negative_excess: None -> 0.1"):
        load_run_state(tmp_path, change(small_config, max_negative_excess=0.1), model, optimizers)

    saved.config["train"]["gone"] = 3
    save_checkpoint(tmp_path / "checkpoints", Checkpoint(9, saved.tensors, saved.config))
    with pytest.raises(UsageError, match=r"train\.gone: 3 -> None"):
        load_run_state(tmp_path, small_config, model, optimizers)


def test_a_checkpoint_with_a_number_that_is_none_is_refused_by_name(
    tmp_path: Path, small_config: RunConfig
) -> None:
    model, optimizers = build(small_config)
    save_run_state(
        tmp_path, small_config, model, optimizers, RunState(7, [], best=Best(0, -math.inf, 1))
    )
    assert load_run_state(tmp_path, small_config, model, optimizers).best.num_since == 1
    saved = latest_checkpoint(tmp_path / "checkpoints")
    assert saved is not None
    saved.tensors["model.dense.bias"][0] = math.nan
    save_checkpoint(tmp_path / "checkpoints", Checkpoint(8, saved.tensors, saved.config))
    with pytest.raises(LabseError, match=r"step 8 \('model\.dense\.bias' holds NaN"):
        load_run_state(tmp_path, small_config, model, optimizers)


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_checkpoint_without_a_whole_weight_is_damaged(
    tmp_path: Path, small_config: RunConfig, *, is_cut: bool
) -> None:
    model, optimizers = build(small_config)
    save_run_state(tmp_path, small_config, model, optimizers, RunState(7, []))
    saved = latest_checkpoint(tmp_path / "checkpoints")
    assert saved is not None
    bias = saved.tensors.pop("model.dense.bias")
    if is_cut:
        saved.tensors["model.dense.bias"] = bias[1:].clone()
    save_checkpoint(tmp_path / "checkpoints", saved)
    with pytest.raises(
        LabseError, match=r"damaged checkpoint of step 7 \('model\.dense\.bias' is missing"
    ):
        load_run_state(tmp_path, small_config, model, optimizers)
