"""Steps over shards, each done once.

Takes: tasks, each a plain function with plain arguments, free of what runs it.
Gives: their results, in order; a `Stage` knows them, so that after a kill only the rest run.
Source: docs/design.md. The marks are written here, in the process that was started by the user.
"""

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import cast

from labse.cluster.local import LocalExecutor
from labse.cluster.tasks import OBJECTS, PARTS, Executor, Task
from labse.errors import UsageError
from labse.files.object_store import find_url
from labse.files.objects import Pins, find_missing, find_pins, iter_texts, keep_pins
from labse.files.stage import HASHES, Result, Stage
from labse.runtime import OnProgress

__all__ = ["OnProgress", "count_rows", "find_parts", "find_result", "name_run", "run_tasks"]

_RUN = "objects/run"


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
    missing = find_missing(find_parts(stage))
    for task in tasks:
        if task.name in unfinished or task.name in results:
            raise UsageError(f"two inputs are named {task.name}; rename one")
        result = find_result(task, stage, missing)
        if result is None:
            unfinished[task.name] = task
        else:
            results[task.name] = result
            on_result(result)

    if isinstance(workers, int):
        # One task needs no other process, whose start takes longer than a small file.
        workers = LocalExecutor(min(workers, len(unfinished)))
    pinned = (_pin_objects(task, stage) for task in unfinished.values())
    for task, result in workers.run(pinned):
        told = dict(result)
        parts = cast("Pins", told.pop(PARTS, {}))
        keep_pins(parts)
        hashes = cast("Mapping[str, str]", told.pop(HASHES)).items()
        files = {Path(path): sha256 for path, sha256 in hashes}
        files = {path: files[path] for path in files if path.is_relative_to(stage.folder)}
        marked = {**told, PARTS: parts} if parts else told
        stage.add(task.name, marked, task.fingerprint(), files=files)
        results[task.name] = told
        on_result(told)
    return [results[task.name] for task in tasks]


def find_result(task: Task, stage: Stage, missing: Collection[str] = ()) -> Result | None:
    """Returns the result of a task that is done and whose files are what it wrote; else None.

    Args:
        task: the task.
        stage: where the work is.
        missing: addresses of objects that are not what was written.
    """
    files = [output for output in task.outputs if not find_url(output)]
    if not all(Path(output).is_file() for output in files):
        return None
    result = stage.result(task.name, task.fingerprint())
    if result is None:
        return None
    told = dict(result)
    parts = cast("Pins", told.pop(PARTS, {}))
    if lost := next((url for url in parts if url in missing), None):
        stage.tell_damaged(lost)
        return None
    keep_pins(parts)
    return told


def find_parts(stage: Stage) -> Pins:
    """Returns the pins of all that tasks have written to an object store, by address."""
    parts = (cast("Pins", result.get(PARTS, {})) for result in stage.results.values())
    return dict(chain.from_iterable(part.items() for part in parts))


def name_run(stage: Stage) -> str:
    """Returns what the names of all objects have in them that are written for a stage."""
    found = stage.result(_RUN)
    if found is None:
        found = {"name": secrets.token_hex(4)}
        stage.add(_RUN, found)
    return str(found["name"])


def _pin_objects(task: Task, stage: Stage) -> Task:
    """Returns the task with the pins of its addresses, if there are any."""
    values = [*task.arguments.values(), *task.places.values()]
    if not any(map(find_url, iter_texts(values))):
        return task
    objects = {"run": name_run(stage), "pins": find_pins(values)}
    outputs = tuple(output for output in task.outputs if not find_url(output))
    return replace(task, places={**task.places, OBJECTS: objects}, outputs=outputs)


def count_rows(on_progress: OnProgress, total: int | None = None) -> Callable[[Result], None]:
    """Returns an `on_result` that adds up the `num_rows` of results and tells the sum."""
    num_rows = 0

    def add(result: Result) -> None:
        nonlocal num_rows
        num_rows += cast("int", result["num_rows"])
        on_progress(num_rows, total)

    return add
