"""Tasks in processes of this machine.

Takes: tasks. Gives: their results as they come; a worker that dies takes no other task with it.
"""

import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from labse.cluster.tasks import WINDOW, Task, lost_tasks_error
from labse.files.stage import Result
from labse.runtime import hold_interrupts, start_worker

__all__ = ["LocalExecutor"]

_POLL_SECONDS = 0.2  # For an interrupt that comes meanwhile.
_LOST = (BrokenProcessPool, MemoryError)  # What comes of a worker without memory.
_MAX_FRUITLESS = 4  # Tasks lost before a single one was done: no worker starts here.


class LocalExecutor:
    """Runs tasks in processes.

    Attributes:
        workers: processes; 1 runs in this one.
    """

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """Yields tasks as they end; see `Executor`."""
        if self.workers > 1:
            yield from _run_in_processes(tasks, self.workers)
            return
        for task in tasks:
            yield task, task.run()


def _run_in_processes(tasks: Iterable[Task], workers: int) -> Iterator[tuple[Task, Result]]:
    waiting = iter(tasks)
    lost: dict[str, str] = {}
    is_fruitless = True
    while True:
        running: dict[Future[Result], Task] = {}
        try:
            for done in _run_pool(waiting, workers, running):
                is_fruitless = False
                yield done
            break
        except _LOST:
            pass

        # One of those that were handed out has killed its worker; alone, each tells for itself.
        for task in running.values():
            result = _run_alone(task)
            if result is not None:
                is_fruitless = False
                yield task, result
                continue
            lost[task.name] = "no memory?"
            if is_fruitless and len(lost) >= _MAX_FRUITLESS:
                raise lost_tasks_error(lost, num_waiting=1)
    if lost:
        raise lost_tasks_error(lost)


def _run_alone(task: Task) -> Result | None:
    """Returns the result of a task that has a process for itself; None if that dies too."""
    try:
        return next(_run_pool(iter([task]), 1, {}))[1]
    except _LOST:
        return None


def _run_pool(
    tasks: Iterator[Task], workers: int, running: dict[Future[Result], Task]
) -> Iterator[tuple[Task, Result]]:
    """Yields tasks as they end; those that are handed out stand in `running` meanwhile."""
    # A forked process would inherit locks that threads of this one hold.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker)
    try:
        while True:
            for task in islice(tasks, WINDOW * workers - len(running)):
                with hold_interrupts():
                    running[pool.submit(task.run)] = task
            if not running:
                break
            with hold_interrupts():
                done, _ = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                result = future.result()  # First: a task whose worker died stays in `running`.
                yield running.pop(future), result
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        raise
    finally:
        pool.shutdown()
