from pathlib import Path

import pytest

from labse.training.metrics import append_metrics, open_tensorboard, read_metrics, truncate_metrics


def test_rows_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for step in (1, 2, 3):
        append_metrics(path, {"step": step, "loss": step / 2})
    assert read_metrics(path) == [{"step": s, "loss": s / 2} for s in (1, 2, 3)]


@pytest.mark.parametrize("last", ['{"step": 2, "lo', "2", '{"loss": 1}'])
def test_a_last_line_that_is_no_row_is_left_out(tmp_path: Path, last: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n' + last)
    assert read_metrics(path) == [{"step": 1}]


def test_resuming_drops_the_rows_after_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for step in (10, 20, 30):
        append_metrics(path, {"step": step})
    truncate_metrics(path, 20)
    assert read_metrics(path) == [{"step": 10}, {"step": 20}]


def test_a_run_without_metrics_has_nothing_to_truncate(tmp_path: Path) -> None:
    truncate_metrics(tmp_path / "metrics.jsonl", 5)
    assert not (tmp_path / "metrics.jsonl").exists()


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
