from pathlib import Path

import pytest

from labse.training.metrics import append_metrics, read_metrics, truncate_metrics


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
