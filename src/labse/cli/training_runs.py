"""What `labse pretrain` and `labse train` share: options, lines of metrics, a clean stop."""

import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from labse.cli.console import progress, say
from labse.errors import InterruptedRunError
from labse.training.metrics import open_tensorboard

__all__ = [
    "ConfigArgument",
    "RunOption",
    "SetOption",
    "TensorBoardOption",
    "report_lines",
    "stop_as_error",
    "tensorboard_reports",
]

Report = Callable[[Mapping[str, float]], None]

ConfigArgument = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG.toml",
        help="Sections of the run; relative paths in it start at its folder.",
        show_default=False,
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Folder of the run. One that was stopped goes on where it was.",
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Change a key of the configuration; may be given often.",
        show_default=False,
    ),
]
TensorBoardOption = Annotated[
    bool,
    typer.Option(
        "--tensorboard",
        help="Write the metrics for TensorBoard too, into the folder tensorboard inside --out "
        "(needs tensorboard: the extra track).",
    ),
]


@contextlib.contextmanager
def report_lines(
    label: str,
    train_steps: int,
    columns: Mapping[str, str],
    *,
    rate: str,
    is_shown: Callable[[str], bool] = lambda _: True,
) -> Iterator[Report]:
    """Gives a function that prints a row of metrics as a line of fixed columns.

    Args:
        label: of the progress bar.
        train_steps: of the whole run.
        columns: names of metrics and their formats; one that the first row lacks is left out.
        rate: the metric that the bar shows, such as `tokens_per_second`.
        is_shown: which measures of an evaluation are printed; all are in metrics.jsonl.
    """
    formats: dict[str, str] = {}
    with progress(label, total=train_steps) as update:

        def report(row: Mapping[str, float]) -> None:
            if "loss" not in row:
                shown = [name for name in row if name != "step" and is_shown(name)]
                say(f"step {row['step']:,}: " + "  ".join(f"{n} {row[n]:.4f}" for n in shown))
                return
            if not formats:
                formats.update({name: style for name, style in columns.items() if name in row})
                say(" ".join(f"{name:>{_width(name)}}" for name in formats))
            say(" ".join(f"{row[name]:>{_width(name)}{style}}" for name, style in formats.items()))
            speed = f"{row[rate]:,.0f} {rate.replace('_per_second', '/s')}"
            update(int(row["step"]), note=speed)

        yield report


def _width(name: str) -> int:
    return max(10, len(name))


@contextlib.contextmanager
def tensorboard_reports(run_folder: Path, report: Report, *, is_asked: bool) -> Iterator[Report]:
    """Gives `report` or, if asked, a function that writes each row for TensorBoard as well.

    Raises:
        ResourceError: tensorboard is not installed.
    """
    if not is_asked:
        yield report
        return

    with open_tensorboard(run_folder / "tensorboard") as write:

        def report_both(row: Mapping[str, float]) -> None:
            report(row)
            write(row)

        yield report_both


@contextlib.contextmanager
def stop_as_error() -> Iterator[None]:
    """Makes SIGTERM and Ctrl-C, before and after the steps, end the command cleanly.

    The loop of the steps handles both itself: it writes a checkpoint first.
    """

    def stop(signal_number: int, frame: FrameType | None) -> None:
        raise InterruptedRunError("stopped outside of the steps; the same command goes on")

    signals = (signal.SIGTERM, signal.SIGINT)
    previous = [signal.signal(number, stop) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)
