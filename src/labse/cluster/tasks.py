"""What is run, and who runs it: the two sides that `run_tasks` brings together.

Takes: a function of a module and its arguments. Gives: a task, which any executor can run.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from labse import __version__
from labse.errors import InterruptedRunError
from labse.files.atomic import sha256_file
from labse.files.objects import within_task
from labse.files.stage import HASHES, Result

__all__ = [
    "MAX_TRIES",
    "OBJECTS",
    "PARTS",
    "WINDOW",
    "Executor",
    "Task",
    "lost_tasks_error",
    "run_step",
]

MAX_TRIES = 4  # Of a task whose worker is lost each time; an error of ours is never tried again.
WINDOW = 4  # Tasks for each worker that are handed out at a time.
OBJECTS = "objects"
"""The argument that tells a task which objects the addresses in the others stand for."""
PARTS = "parts"
"""Where a result has what the task wrote to an object store, as pins by address."""
_MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class Task:
    """One call of a step.

    Attributes:
        name: unique among the tasks of a stage.
        step: a function of a module (only its name is sent to other processes) that writes its
            outputs whole or not at all and returns small JSON.
        arguments: JSON, by name.
        inputs: what names the content of the input, such as a SHA-256: another content or other
            arguments make the task run again.
        outputs: files that the step writes; if one is missing, or one in the folder of the stage is
            not what was written, the task runs again.
        places: more arguments, which say where files lie: what is made does not depend on them.
        num_cpus: processors that it keeps busy; a cluster gives it as many, and as many threads.
        num_gpus: GPUs that it needs, or a share of one; a cluster shows it no other.
        memory_bytes: what it needs at most, if that is known; a cluster finds a node that has it.
    """

    name: str
    step: Callable[..., Result]
    arguments: Mapping[str, object]
    inputs: str = ""
    outputs: tuple[str, ...] = ()
    places: Mapping[str, object] = field(default_factory=dict)
    num_cpus: int = 1
    num_gpus: float = 0
    memory_bytes: int = 0

    def run(self) -> Result:
        """Calls the step in this process; see `run_step`."""
        return run_step(self.step, {**self.arguments, **self.places}, self.outputs)

    def fingerprint(self) -> str:
        """Returns a hash of what the result depends on, the version of labse included."""
        step = f"{self.step.__module__}.{self.step.__qualname__}"
        told = json.dumps([__version__, step, self.arguments, self.inputs], sort_keys=True)
        return hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()


def run_step(
    step: Callable[..., Result], arguments: Mapping[str, object], outputs: Sequence[str]
) -> Result:
    """Calls a step where it is to run; returns its result and, as `HASHES`, those of its outputs.

    The machine that has written a file hashes it: no other has to read it. With the argument
    `OBJECTS` the result has `PARTS`; see `within_task`.
    """
    given = dict(arguments)
    objects = given.pop(OBJECTS, None)
    if not isinstance(objects, dict):
        return {**step(**given), HASHES: {path: sha256_file(path) for path in outputs}}
    with within_task(**objects) as parts:
        result = step(**given)
        hashes = {path: sha256_file(path) for path in outputs}
    return {**result, HASHES: hashes, PARTS: parts}


class Executor(Protocol):
    """Runs tasks that are independent of one another."""

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """Yields each task with its result, as they end; takes no more of them than it can use.

        A result is that of `run_step`.

        A task whose worker is lost is tried again, `MAX_TRIES` times in all at most. If it is lost
        each time, the others are finished first. Whoever stops reading stops those that run.

        Raises:
            InterruptedRunError: tasks lost their worker each time; it names them.
            Exception: what a step raises, at once, unchanged in type.
        """
        ...


def lost_tasks_error(reasons: Mapping[str, str], *, num_waiting: int = 0) -> InterruptedRunError:
    """Returns what an executor raises at the end.

    Args:
        reasons: why the worker of each task was lost, by name of the task.
        num_waiting: other tasks that were given up.
    """
    named: Sequence[str] = [f"{name} ({reason})" for name, reason in reasons.items()]
    more = f" and {len(named) - _MAX_NAMED} more" if len(named) > _MAX_NAMED else ""
    rest = "the run was given up" if num_waiting else "all others are done"
    return InterruptedRunError(
        f"worker processes were killed each time before these were done: "
        f"{', '.join(named[:_MAX_NAMED])}{more}; {rest}; the same command goes on, and takes less "
        "memory with fewer workers or smaller shards"
    )
