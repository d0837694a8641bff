"""Steps over shards, each done once.

Takes: tasks, each a plain function with plain arguments, free of what runs it.
Gives: their results, in order; a `Stage` knows them, so that after a kill only the rest run.
Source: docs/design.md. The marks are written here, in the process that was started by the user.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from labse.cluster.local import LocalExecutor
from labse.cluster.tasks import Executor, Task
from labse.errors import UsageError
from labse.files.stage import HASHES, Result, Stage
from labse.runtime import OnProgress

__all__ = ["OnProgress", "count_rows", "find_result", "run_tasks"]


def run_tasks(
    tasks: Sequence[Task],
    stage: Stage,
    *,
    workers: int | Executor = 1,
    on_result: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Runs the tasks that are not done yet; returns all results in the order of the tasks.

    Args:
        tasks: independent of one another.
        stage: knows which of them are done.
        workers: processes, where 1 is this one, which also does what is one task alone; or an
            executor, such as `RayExecutor`.
        on_result: called for each result as it comes, in this process, for known ones first.

    Raises:
        InterruptedRunError: a task's workers were killed each time, as for want of memory.
        UsageError: two tasks of one name.
        Exception: what a step raises; finished tasks stay done.
    """
    results: dict[str, Result] = {}
    unfinished: dict[str, Task] = {}
    for task in tasks:
        if task.name in unfinished or task.name in results:
            raise UsageError(f"two inputs are named {task.name}; rename one")
        result = find_result(task, stage)
        if result is None:
            unfinished[task.name] = task
        else:
            results[task.name] = result
            on_result(result)

    if isinstance(workers, int):
        # One task needs no other process, whose start takes longer than a small file.
        workers = LocalExecutor(min(workers, len(unfinished)))
    for task, result in workers.run(unfinished.values()):
        told = dict(result)
        hashes = cast("Mapping[str, str]", told.pop(HASHES)).items()
        files = {Path(path): sha256 for path, sha256 in hashes}
        files = {path: files[path] for path in files if path.is_relative_to(stage.folder)}
        stage.add(task.name, told, task.fingerprint(), files=files)
        results[task.name] = told
        on_result(told)
    return [results[task.name] for task in tasks]


def find_result(task: Task, stage: Stage) -> Result | None:
    """Returns the result of a task that is done and whose files are what it wrote; else None."""
    if not all(Path(output).is_file() for output in task.outputs):
        return None
    return stage.result(task.name, task.fingerprint())


def count_rows(on_progress: OnProgress, total: int | None = None) -> Callable[[Result], None]:
    """Returns an `on_result` that adds up the `num_rows` of results and tells the sum."""
    num_rows = 0

    def add(result: Result) -> None:
        nonlocal num_rows
        num_rows += cast("int", result["num_rows"])
        on_progress(num_rows, total)

    return add
