from pathlib import Path

import pytest

from labse.errors import LabseError
from labse.training.metrics import append_metrics
from labse.training.plot import plot_metrics


def test_a_run_becomes_a_picture(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    for step in (1, 2, 3):
        append_metrics(metrics, {"step": step, "loss": 3.0 / step, "in_batch_p_at_1": step / 4})
    append_metrics(metrics, {"step": 3, "tatoeba_p_at_1": 0.5})
    plot_metrics(metrics, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_without_a_loss_yet_says_so(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("")
    with pytest.raises(LabseError, match="no row with a loss"):
        plot_metrics(metrics, tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
