"""What all commands print with: messages, a progress bar, tables, JSON."""

import contextlib
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = [
    "check_out",
    "fail",
    "mute_all_but_main",
    "print_json",
    "print_lines",
    "print_table",
    "progress",
    "say",
    "show_log_messages",
]

_PIPED_WIDTH = 100  # Columns of a table that goes to a file or a pipe.


def say(message: str) -> None:
    """Prints one line on standard error, above the progress bar if there is one."""
    _stderr().print(message, markup=False, highlight=False, emoji=False, soft_wrap=True)


def mute_all_but_main() -> bool:
    """Silences `say` and `progress` in all processes that torchrun started, except the first.

    Errors are still told. Returns whether this is the first, or the only one.
    """
    from labse.runtime import is_main_process

    is_main = is_main_process()
    if not is_main:
        _stderr().quiet = True
    return is_main


def fail(message: str, exit_code: int) -> int:
    """Prints the one line that tells what is wrong and returns the code."""
    print(f"labse: error: {' '.join(message.split())}", file=sys.stderr)
    return exit_code


def print_json(value: Mapping[str, object]) -> None:
    """Prints one JSON object on one line of standard output."""
    print(json.dumps(value, ensure_ascii=False))


def print_table(table: "RenderableType") -> None:
    """Prints something rich can draw on standard output."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    Console(width=width).print(table)


def check_out(out: Path | None) -> None:
    """Tells before the work that its result could not be written."""
    from labse.files.atomic import check_writable

    if out is not None:
        check_writable(out)


def print_lines(lines: Iterable[str], out: Path | None) -> None:
    """Prints lines on standard output, or writes them to `out`, whole or not at all."""
    if out is None:
        for line in lines:
            print(line)
        return
    from labse.files.atomic import write_atomic

    with write_atomic(out) as stream:
        stream.writelines(f"{line}\n".encode() for line in lines)


@contextlib.contextmanager
def progress(
    label: str, total: int | None = None, *, unit: str = ""
) -> Iterator[Callable[..., None]]:
    """Gives a function to call with the number done; draws if standard error is a terminal.

    The first call says where the work begins: a resumed run does not count as fast. With a unit
    (`rows`) the speed is shown, since that call; a call may give another text in its place.
    """
    if not sys.stderr.isatty() or _stderr().quiet:
        yield lambda *_: None
        return
    from rich import progress as rich_progress

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TimeRemainingColumn(),
        rich_progress.TextColumn("{task.fields[speed]}"),
    )
    begun: list[tuple[float, int]] = []
    with rich_progress.Progress(*columns, console=_stderr()) as bar:
        tasks: list[rich_progress.TaskID] = []

        def update(done: int, note: str = "") -> None:
            if tasks:
                start, first = begun[0]
                speed = (done - first) / max(time.monotonic() - start, 1e-3)
                shown = f"{speed:,.0f} {unit}/s" if unit else ""
                bar.update(tasks[0], completed=done, speed=note or shown)
            else:
                begun.append((time.monotonic(), done))
                tasks.append(bar.add_task(label, total=total, completed=done, speed=note))

        yield update


def show_log_messages() -> None:
    """Sends what the library logs, from INFO up, to `say`."""
    logger = logging.getLogger("labse")
    if not any(isinstance(handler, _SayHandler) for handler in logger.handlers):
        logger.addHandler(_SayHandler())
    logger.setLevel(logging.INFO)


class _SayHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


@cache
def _stderr() -> "Console":
    from rich.console import Console

    return Console(stderr=True)
