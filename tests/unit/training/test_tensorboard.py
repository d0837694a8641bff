from pathlib import Path

import pytest

from labse.training.tensorboard import open_tensorboard

accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def read_curve(folder: Path, name: str) -> list[tuple[int, float]]:
    events = accumulators.EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_each_number_of_a_row_is_a_point_of_its_curve(tmp_path: Path) -> None:
    with open_tensorboard(tmp_path) as write:
        write({"step": 1, "loss": 3.0, "accuracy": 0.25})
        write({"step": 2, "loss": 2.5})
        assert read_curve(tmp_path, "loss") == [(1, 3.0), (2, 2.5)]  # Before the end of the block.
    assert read_curve(tmp_path, "accuracy") == [(1, 0.25)]


def test_a_run_that_goes_on_replaces_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    for steps, loss in ((range(1, 6), 3.0), (range(4, 7), 2.0)):
        with open_tensorboard(tmp_path) as write:
            for step in steps:
                write({"step": step, "loss": loss})
    expected = [(1, 3.0), (2, 3.0), (3, 3.0), (4, 2.0), (5, 2.0), (6, 2.0)]
    assert read_curve(tmp_path, "loss") == expected


def test_without_a_row_nothing_is_written(tmp_path: Path) -> None:
    with open_tensorboard(tmp_path / "tensorboard"):
        pass
    assert not list(tmp_path.iterdir())
