"""The local runner: steps over shards in processes, each done once.

Takes: tasks, each a plain function with plain arguments, free of this runner.
Gives: their results, in order; a `Stage` knows them, so that after a kill only the rest run.
Source: docs/design.md: a cluster runner calls the same functions.
"""

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from labse import __version__
from labse.errors import InterruptedRunError, UsageError
from labse.files.stage import Result, Stage
from labse.runtime import hold_interrupts, start_worker

__all__ = ["OnProgress", "Task", "count_rows", "run_tasks"]

OnProgress = Callable[[int, int | None], None]
"""Called with the rows done and their number, None if that is not known."""

_POLL_SECONDS = 0.2  # For an interrupt that comes meanwhile.
_MAX_FRUITLESS_POOLS = 2  # That lost a worker before a single task was done.


@dataclass(frozen=True, slots=True)
class Task:
    """One call of a step.

    Attributes:
        name: unique among the tasks of a stage.
        step: a function of a module (it is sent to processes) that writes its outputs whole or not
            at all and returns JSON.
        arguments: JSON, by name.
        inputs: what names the content of the input, such as a SHA-256: another content or other
            arguments make the task run again.
        outputs: files that the step writes; if one is missing, the task runs again.
        places: more arguments, which say where files lie: what is made does not depend on them.
    """

    name: str
    step: Callable[..., Result]
    arguments: Mapping[str, object]
    inputs: str = ""
    outputs: tuple[str, ...] = ()
    places: Mapping[str, object] = field(default_factory=dict)

    def run(self) -> Result:
        """Calls the step."""
        return self.step(**self.arguments, **self.places)

    def fingerprint(self) -> str:
        """Returns a hash of what the result depends on, the version of labse included."""
        step = f"{self.step.__module__}.{self.step.__qualname__}"
        told = json.dumps([__version__, step, self.arguments, self.inputs], sort_keys=True)
        return hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()


def run_tasks(
    tasks: Sequence[Task],
    stage: Stage,
    *,
    workers: int = 1,
    on_result: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Runs the tasks that are not done yet; returns all results in the order of the tasks.

    Args:
        tasks: independent of one another.
        stage: knows which of them are done.
        workers: processes; 1 runs in this one.
        on_result: called for each result as it comes, in this process, for known ones first.

    Raises:
        InterruptedRunError: workers were killed again and again, as a machine out of memory does.
        UsageError: two tasks of one name.
        Exception: what a step raises; finished tasks stay done.
    """
    results: dict[str, Result] = {}
    unfinished: dict[str, Task] = {}
    for task in tasks:
        if task.name in unfinished or task.name in results:
            raise UsageError(f"two inputs are named {task.name}; rename one")
        result = stage.result(task.name, task.fingerprint())
        if result is None or not all(Path(output).is_file() for output in task.outputs):
            unfinished[task.name] = task
        else:
            results[task.name] = result
            on_result(result)

    finish = _run_here if workers == 1 else _run_in_processes
    for task, result in finish(list(unfinished.values()), min(workers, len(unfinished))):
        stage.add(task.name, result, task.fingerprint())
        results[task.name] = result
        on_result(result)
    return [results[task.name] for task in tasks]


def count_rows(on_progress: OnProgress, total: int | None = None) -> Callable[[Result], None]:
    """Returns an `on_result` that adds up the `num_rows` of results and tells the sum."""
    num_rows = 0

    def add(result: Result) -> None:
        nonlocal num_rows
        num_rows += cast("int", result["num_rows"])
        on_progress(num_rows, total)

    return add


def _run_here(tasks: Sequence[Task], workers: int) -> Iterator[tuple[Task, Result]]:
    for task in tasks:
        yield task, task.run()


def _run_in_processes(tasks: Sequence[Task], workers: int) -> Iterator[tuple[Task, Result]]:
    """Yields tasks as they end; a pool that lost a worker is replaced."""
    waiting = list(tasks)
    num_fruitless = 0
    while waiting:
        before = len(waiting)
        try:
            for task, result in _run_pool(waiting, workers):
                waiting = [other for other in waiting if other is not task]
                yield task, result
        except BrokenProcessPool:
            num_fruitless = num_fruitless + 1 if len(waiting) == before else 0
            if num_fruitless >= _MAX_FRUITLESS_POOLS:
                raise InterruptedRunError(
                    f"worker processes were killed before {waiting[0].name} was done (no memory?); "
                    "the same command goes on, and takes less memory with fewer --workers"
                ) from None


def _run_pool(tasks: Sequence[Task], workers: int) -> Iterator[tuple[Task, Result]]:
    # A forked process would inherit locks that threads of this one hold.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker)
    try:
        running: dict[Future[Result], Task] = {}
        for task in tasks:
            with hold_interrupts():
                running[pool.submit(task.step, **task.arguments, **task.places)] = task
        while running:
            with hold_interrupts():
                done, _ = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        raise
    finally:
        pool.shutdown()
