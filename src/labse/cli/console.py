"""What all commands print with: messages, a progress bar, tables, JSON."""

import contextlib
import json
import logging
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from labse.errors import UsageError
from labse.files.object_store import restore_urls

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Progress",
    "count",
    "fail",
    "is_verbose",
    "mute_all_but_main",
    "parse_size",
    "print_json",
    "print_lines",
    "print_table",
    "progress",
    "say",
    "set_verbosity",
    "show_log_messages",
]

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?)(?:I?B)?", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LONGEST_MESSAGE = 1000
_PIPED_WIDTH = 100_000  # A table that goes to a file or a pipe is never wrapped.


class Progress(Protocol):
    """What a library call takes as `on_progress`; a note stands in place of the speed."""

    def __call__(self, done: int, total: int | None = None, /, *, note: str = "") -> None:
        """Draws how much is done, of how much if that is known."""


def count(number: int, noun: str) -> str:
    """Returns `1 pair`, `2,000 pairs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def say(message: str) -> None:
    """Prints one line on standard error, above the progress bar if there is one."""
    _stderr().print(
        restore_urls(message), markup=False, highlight=False, emoji=False, soft_wrap=True
    )


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
    """Prints the one line that tells what is wrong and returns the code.

    The message may hold what was given or read: its middle goes if it is long, and a character that
    would command the terminal is shown as Python writes it.
    """
    line = " ".join(restore_urls(message).split())
    if len(line) > _LONGEST_MESSAGE:
        line = f"{line[: _LONGEST_MESSAGE // 2]} ... {line[-_LONGEST_MESSAGE // 4 :]}"
    line = _CONTROL.sub(lambda match: ascii(match[0])[1:-1], line)
    print(f"labse: error: {line}", file=sys.stderr)
    return exit_code


def print_json(value: Mapping[str, object]) -> None:
    """Prints one JSON object on one line of standard output."""
    print(json.dumps(value, ensure_ascii=False))


def print_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    align: str = "",
    title: str | None = None,
) -> None:
    """Prints a table on standard output; only a terminal that is too narrow wraps its cells.

    Args:
        headers: the names of the columns.
        rows: the cells of each row; an empty row draws a line.
        align: a letter for each column, `l` or `r`; without it all are `l`.
        title: a line above the table.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for header, letter in zip(headers, align or "l" * len(headers), strict=True):
        table.add_column(header, justify="right" if letter == "r" else "left")
    for row in rows:
        if row:
            table.add_row(*row)
        else:
            table.add_section()
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    if title is not None:
        console.print(title)
    console.print(table)


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
def progress(label: str, total: int | None = None, *, unit: str = "") -> Iterator[Progress]:
    """Gives what draws a progress bar if standard error is a terminal, and else does nothing.

    A bar stops when all is done, and a call with less done than before begins another. Its first
    call says where the work begins: resumed work does not count as fast. With a unit such as
    `rows`, the bar shows the speed since that call.
    """
    if not sys.stderr.isatty() or _stderr().quiet:
        yield _draw_nothing
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
    bar: rich_progress.Progress | None = None
    task = rich_progress.TaskID(0)
    start, first, last = 0.0, 0, -1

    def update(done: int, known_total: int | None = None, /, *, note: str = "") -> None:
        nonlocal bar, task, start, first, last
        shown_total = total if known_total is None else known_total
        if bar is None and done == last:
            return  # This bar has stopped.
        if bar is None or done < last:
            stop()
            # Data on standard output must not come out above the bar, on standard error.
            bar = rich_progress.Progress(*columns, console=_stderr(), redirect_stdout=False)
            bar.start()
            task = bar.add_task(label, total=shown_total, completed=done, speed=note)
            start, first = time.monotonic(), done
        else:
            speed = (done - first) / max(time.monotonic() - start, 1e-3)
            shown_speed = f"{speed:,.0f} {unit}/s" if unit else ""
            bar.update(task, total=shown_total, completed=done, speed=note or shown_speed)
        last = done
        if shown_total is not None and done >= shown_total:
            stop()

    def stop() -> None:
        nonlocal bar
        if bar is not None:
            bar.stop()
        bar = None

    try:
        yield update
    finally:
        stop()


def _draw_nothing(done: int, total: int | None = None, /, *, note: str = "") -> None:
    """Stands for a bar where there is no terminal."""


def show_log_messages() -> None:
    """Sends what the library logs, from INFO up, to `say`."""
    logger = logging.getLogger("labse")
    if not any(isinstance(handler, _SayHandler) for handler in logger.handlers):
        logger.addHandler(_SayHandler())
    logger.setLevel(logging.INFO)


class _SayHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        where = ""
        if is_verbose():
            where = f"{record.relativeCreated / 1000:.1f} s, {record.name}: "
        say(where + record.getMessage())


def set_verbosity(*, quiet: bool, verbose: bool) -> None:
    """Sets how much is told beside data and errors: nothing, the usual, or also what is for us."""
    logging.getLogger("labse").setLevel(logging.DEBUG if verbose else logging.INFO)
    if quiet or _stderr.cache_info().currsize:  # Else it is not there yet, and not quiet.
        _stderr().quiet = quiet


def is_verbose() -> bool:
    """Says whether all that can be told is wanted."""
    return logging.getLogger("labse").isEnabledFor(logging.DEBUG)


@cache
def _stderr() -> "Console":
    from rich.console import Console

    return Console(stderr=True)


def parse_size(size: str, option: str = "--memory") -> int:
    """Returns the bytes of a size such as `800M` or `2GB`; units are powers of 1024.

    Raises:
        UsageError: it is none, or below 1M.
    """
    match = _SIZE.fullmatch(size.strip())
    if match is None:
        raise UsageError(f"{option} {size}: give a size such as 800M or 2GB")
    num_bytes = int(float(match[1]) * _UNITS[match[2].upper()])
    if num_bytes < 1 << 20:
        raise UsageError(f"{option} {size}: give at least 1M")
    return num_bytes
