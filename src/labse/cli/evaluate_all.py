"""The command `labse evaluate all`."""

from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import say
from labse.cli.measure import (
    BlockRowsOption,
    MeasuredModelOption,
    MemoryOption,
    measure,
    show_report,
    to_bytes,
)
from labse.cli.options import PrecisionOption, RuntimeOption, ThreadsOption
from labse.errors import UsageError
from labse.evaluation.report import check_destination, write_report
from labse.evaluation.suite import check_tasks, evaluate_task, find_tasks, summarize

__all__ = ["evaluate_all"]


def evaluate_all(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Holds folders of test sets, known by their file names.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder: a report for each set, at the end one of all scores.", show_default=False
        ),
    ],
    model: MeasuredModelOption = None,
    block_rows: BlockRowsOption = 2048,
    memory: MemoryOption = None,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """All protocols that the test sets of a folder allow, each with its defaults.

    All files are read before anything is encoded. The report of a set is written when that set is
    done and stays if a later one fails; report.json of all is there only when all are done.

    [bold]Examples[/bold]

    labse evaluate all data/eval --out reports/today
    """
    if out.suffix:
        raise UsageError(f"{out}: name a folder without a suffix")
    tasks = find_tasks(folder)
    check_tasks(tasks)
    measured = measure(model, precision, runtime, threads, out)
    out.mkdir(exist_ok=True)
    for task in tasks:
        check_destination(out / task.name)
    for name in ("report.json", "report.md"):
        (out / name).unlink(missing_ok=True)
    reports = {}
    for task in tasks:
        say(f"{task.name}: {task.folder}")
        reports[task.name] = evaluate_task(
            measured,
            task,
            max_seq_length=measured.max_seq_length,
            block_rows=block_rows,
            memory_bytes=to_bytes(memory),
        )
        show_report(reports[task.name], measured, False, out / task.name)
    write_report(out, summarize(reports))
    say(f"{out}: report of all written")
