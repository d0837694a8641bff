from pathlib import Path

import pytest

from labse.cli import main
from labse.training.metrics import append_metrics


def test_the_picture_of_a_run_stands_in_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    append_metrics(tmp_path / "metrics.jsonl", {"step": 1, "loss": 3.0})
    assert main(["plot", str(tmp_path)]) == 0
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out == ""


def test_the_runs_below_a_folder_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [tmp_path / "one", tmp_path / "deep" / "two"]
    for run in runs:
        run.mkdir(parents=True)
        append_metrics(run / "metrics.jsonl", {"step": 1, "loss": 3.0})
    assert main(["plot", str(tmp_path)]) == 0
    assert all((run / "curves.png").exists() for run in runs)
    assert main(["plot", str(tmp_path), "--out", str(tmp_path / "o.png")]) == 2
    assert "holds 2" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["plot", str(tmp_path / "empty")]) == 3
    assert "no run in it or below" in capsys.readouterr().err


def test_a_folder_without_a_run_is_bad_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", str(tmp_path / "absent")]) == 3
    assert "no such file" in capsys.readouterr().err
