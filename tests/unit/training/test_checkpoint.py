from pathlib import Path

import pytest
import torch
from torch import nn

from labse.errors import LabseError, ResourceError
from labse.training.checkpoint import (
    Best,
    Checkpoint,
    WeightSum,
    averaged_steps,
    checkpoint_of,
    find_not_finite,
    latest_checkpoint,
    latest_config,
    load_optimizer_tensors,
    optimizer_tensors,
    save_checkpoint,
)
from labse.training.optimizer import build_optimizers


def at_step(step: int) -> Checkpoint:
    return Checkpoint(step, {"weight": torch.full((2, 3), float(step))}, {"seed": 1})


def test_a_step_that_is_asked_for_is_kept_beside_the_newest(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        save_checkpoint(tmp_path, at_step(step), keep=2, keep_step=1)
    assert [checkpoint_of(tmp_path, step).step for step in (1, 3, 4)] == [1, 3, 4]
    with pytest.raises(LabseError, match="step-000000002: damaged"):
        checkpoint_of(tmp_path, 2)


def test_the_newest_checkpoint_comes_back_whole(tmp_path: Path) -> None:
    for step in (5, 100):
        save_checkpoint(tmp_path, at_step(step))
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    assert (newest.step, newest.config) == (100, {"seed": 1})
    assert torch.equal(newest.tensors["weight"], torch.full((2, 3), 100.0))


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "absent") is None


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in range(1, 6):
        save_checkpoint(tmp_path, at_step(step), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000004", "step-000000005"]


def test_a_half_written_checkpoint_is_passed_over(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, at_step(1))
    killed = tmp_path / ".step-000000002.7-0a1b2c3d.tmp"
    killed.mkdir()
    (killed / "state.safetensors").write_bytes(b"half")
    assert latest_checkpoint(tmp_path).step == 1
    save_checkpoint(tmp_path, at_step(2))
    assert latest_checkpoint(tmp_path).step == 2


def test_what_a_killed_save_of_another_step_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".step-000000002.7-0a1b2c3d.tmp").mkdir()
    save_checkpoint(tmp_path, at_step(3))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000003"]


def test_a_save_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, at_step(1))
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path, Checkpoint(2, {}, {"no": object()}))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, name: str) -> None:
    (save_checkpoint(tmp_path, at_step(1)) / name).write_bytes(b"{")
    with pytest.raises(LabseError, match="step-000000001: damaged"):
        latest_checkpoint(tmp_path)


def test_a_state_of_the_wrong_shape_is_named(tmp_path: Path) -> None:
    (save_checkpoint(tmp_path, at_step(1)) / "state.json").write_text('{"step": 1, "config": 3}')
    with pytest.raises(LabseError, match="damaged"):
        latest_checkpoint(tmp_path)


def test_a_folder_that_is_no_checkpoint_is_passed_over(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, at_step(1))
    (tmp_path / "step-old-notes").mkdir()
    assert latest_checkpoint(tmp_path).step == 1


def test_an_unwritable_folder_is_a_resource_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(ResourceError, match="cannot be written"):
        save_checkpoint(blocked, at_step(1))


def test_optimizers_go_on_as_if_never_stopped() -> None:
    def build() -> tuple[nn.Module, list[torch.optim.Optimizer]]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Linear(3, 3))
        return model, build_optimizers(model, lr=0.1, embedding_lr=0.1, weight_decay=0.1, eps=1e-8)

    def step(model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> None:
        model(torch.tensor([1, 2])).square().sum().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    straight, optimizers = build()
    for _ in range(4):
        step(straight, optimizers)

    first, optimizers = build()
    for _ in range(2):
        step(first, optimizers)
    weights = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    moments = {
        name: tensor.clone()
        for number, optimizer in enumerate(optimizers)
        for name, tensor in optimizer_tensors(optimizer, f"o{number}").items()
    }
    second, optimizers = build()
    second.load_state_dict(weights)
    for number, optimizer in enumerate(optimizers):
        load_optimizer_tensors(optimizer, moments, f"o{number}")
    for _ in range(2):
        step(second, optimizers)

    for ours, theirs in zip(second.parameters(), straight.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_configuration_of_the_newest_is_read_without_its_tensors(tmp_path: Path) -> None:
    assert latest_config(tmp_path / "absent") is None
    save_checkpoint(tmp_path, at_step(1))
    newest = save_checkpoint(tmp_path, at_step(2))
    (newest / "state.safetensors").write_bytes(b"?")
    assert latest_config(tmp_path) == {"seed": 1}
    (newest / "state.json").write_text("{}")
    with pytest.raises(LabseError, match="step-000000002: damaged"):
        latest_config(tmp_path)


def test_all_files_of_a_checkpoint_may_be_read_by_whom_the_umask_says(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path, at_step(1))
    expected = folder.stat().st_mode & 0o666
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {expected}


def test_a_number_that_is_none_is_found_by_name() -> None:
    tensors = {"step": torch.tensor(3), "a": torch.ones(2), "b": torch.zeros(0)}
    assert find_not_finite(tensors) == ""
    assert find_not_finite(tensors | {"c": torch.tensor([0.0, torch.nan])}) == "c"
    assert find_not_finite(tensors | {"c": torch.tensor(-torch.inf)}) == "c"


@pytest.mark.parametrize(
    ("number", "every", "total", "expected"),
    [
        (2, 5, 12, [10, 12]),
        (3, 5, 12, [5, 10, 12]),
        (2, 6, 12, [6, 12]),
        (1, 50, 12, []),
    ],
)
def test_the_last_due_steps_and_the_end_of_the_run_are_averaged(
    number: int, every: int, total: int, expected: list[int]
) -> None:
    assert averaged_steps(number, checkpoint_every=every, train_steps=total) == expected


def test_more_checkpoints_than_a_run_has_are_refused() -> None:
    with pytest.raises(ValueError, match="4 checkpoints, but the run has 3"):
        averaged_steps(4, checkpoint_every=5, train_steps=12)


def test_the_mean_is_that_of_the_weights_as_they_were() -> None:
    model, summed = nn.Linear(2, 1), WeightSum()
    for value in (1.0, 2.0, 6.0):
        nn.init.constant_(model.weight, value)
        nn.init.constant_(model.bias, -value)
        summed.add(model)
    mean = summed.mean(3)
    assert mean["weight"].tolist() == [[3.0, 3.0]]
    assert mean["bias"].tolist() == [-3.0]


def test_a_sum_goes_on_from_its_tensors() -> None:
    model, first = nn.Linear(1, 1), WeightSum()
    nn.init.constant_(model.weight, 2.0)
    first.add(model)
    second = WeightSum(first.tensors)
    nn.init.constant_(model.weight, 4.0)
    second.add(model)
    assert second.mean(2)["weight"].item() == 3.0


def test_a_higher_score_is_the_best_and_others_count_what_has_passed_since() -> None:
    best = Best().after(10, 0.5)
    assert best == Best(10, 0.5, 0)
    assert best.after(20, 0.4).after(30, 0.5) == Best(10, 0.5, 2)
    assert best.after(20, 0.4).after(30, 0.6) == Best(30, 0.6, 0)


def test_a_score_that_is_no_number_is_never_the_best() -> None:
    assert Best().after(10, float("nan")) == Best(num_since=1)
