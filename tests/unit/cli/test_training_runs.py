import os
import signal
from pathlib import Path
from typing import Any

import pytest

from labse.cli.training_runs import run_output
from labse.errors import InterruptedRunError

COLUMNS = {"step": ",d", "loss": ".4f", "pairs_per_second": ",.0f", "share": ".1%"}
ROW = {"step": 1_000, "loss": 1.0, "pairs_per_second": 12_345.6}


def output(folder: Path, **options: Any) -> Any:  # noqa: ANN401
    defaults = {"label": "train", "rate": "pairs_per_second", "has_tensorboard": False}
    return run_output(folder, 2_000, COLUMNS, **(defaults | options))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_outside_of_the_steps_is_an_interrupted_run(
    tmp_path: Path, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(InterruptedRunError, match="same command goes on"), output(tmp_path):
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


def test_the_header_is_printed_once_with_the_columns_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with output(tmp_path) as on_metrics:
        on_metrics(ROW)
        on_metrics(ROW)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["step", "loss", "pairs_per_second"]
    assert lines[1].split() == ["1,000", "1.0000", "12,346"]


def test_an_evaluation_is_a_line_of_what_is_to_be_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"step": 5, "all_p_at_1": 0.25, "deu_p_at_1": 0.5}
    with output(tmp_path, is_shown=lambda name: name.startswith("all")) as on_metrics:
        on_metrics(row)
    assert capsys.readouterr().err.splitlines() == ["step 5: all_p_at_1 0.2500"]


def test_rows_go_to_tensorboard_only_where_it_is_asked(tmp_path: Path) -> None:
    with output(tmp_path) as on_metrics:
        on_metrics(ROW)
    assert not list(tmp_path.iterdir())
    with output(tmp_path, has_tensorboard=True) as on_metrics:
        on_metrics(ROW)
    assert len(list((tmp_path / "tensorboard").glob("events.*"))) == 1
