"""What `labse pretrain` and `labse train` share: options, lines of metrics, a clean stop."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labse.cli.console import mute_all_but_main, print_json, progress, say
from labse.errors import InterruptedRunError
from labse.runtime import answer_signals, is_main_process, require
from labse.training.metrics import open_tensorboard

if TYPE_CHECKING:
    from labse.dual_encoder.run import RunSummary
    from labse.pretraining.run import PretrainSummary
    from labse.training.metrics import OnMetrics

__all__ = [
    "ConfigArgument",
    "RunOption",
    "SetOption",
    "TensorBoardOption",
    "print_summary",
    "run_output",
]

ConfigArgument = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG.toml",
        help="Sections of the run; relative paths in it start at its folder.",
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Folder of the run. One that was stopped goes on where it was.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Change a key of the configuration; may be given often.",
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
def run_output(
    out: Path,
    train_steps: int,
    columns: Mapping[str, str],
    *,
    label: str,
    rate: str,
    has_tensorboard: bool,
    is_shown: Callable[[str], bool] = lambda _: True,
) -> "Iterator[OnMetrics]":
    """Gives a function that prints a row of metrics as a line of fixed columns.

    Of several processes only the main one prints. SIGTERM and Ctrl-C before and after the steps end
    the command cleanly; the loop of the steps handles both itself, for it writes a checkpoint.

    Args:
        out: folder of the run, which receives `tensorboard/` if asked.
        train_steps: of the whole run.
        columns: names of metrics and their formats; one that the first row lacks is left out.
        label: of the progress bar.
        rate: the metric that the bar shows, such as `tokens_per_second`.
        has_tensorboard: whether each row is written for TensorBoard as well.
        is_shown: which measures of an evaluation are printed; all are in metrics.jsonl.

    Raises:
        InterruptedRunError: a signal arrived outside of the steps.
        ResourceError: torch or tensorboard is not installed.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(answer_signals(_stop_as_error))
        require("torch", "train")
        is_main = mute_all_but_main()
        on_metrics = stack.enter_context(
            _print_lines(label, train_steps, columns, rate=rate, is_shown=is_shown)
        )
        if not (has_tensorboard and is_main):
            yield on_metrics
            return
        write = stack.enter_context(open_tensorboard(out / "tensorboard"))

        def print_and_write(row: Mapping[str, float]) -> None:
            on_metrics(row)
            write(row)

        yield print_and_write


@contextlib.contextmanager
def _print_lines(
    label: str,
    train_steps: int,
    columns: Mapping[str, str],
    *,
    rate: str,
    is_shown: Callable[[str], bool],
) -> "Iterator[OnMetrics]":
    formats: dict[str, str] = {}
    with progress(label, total=train_steps) as update:

        def print_row(row: Mapping[str, float]) -> None:
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

        yield print_row


def _width(name: str) -> int:
    return max(10, len(name))


def _stop_as_error(_: int) -> None:
    raise InterruptedRunError("stopped outside of the steps; the same command goes on")


def print_summary(summary: "RunSummary | PretrainSummary", told: str, *, json: bool) -> None:
    """Prints where the model of a finished run is; as JSON, all of the summary."""
    say(f"{summary.model_folder}: {told}, step {summary.step:,}")
    if json and is_main_process():
        print_json({**asdict(summary), "model_folder": str(summary.model_folder)})
