"""Tasks on the machines of a Ray cluster.

Takes: tasks whose files lie in a folder that all nodes share. Gives: their results as they come.
Source: Moritz et al. 2018, Ray; docs/distributed.md. Data never pass through Ray: a task gets paths
and returns small JSON, so that a lost node costs the tasks that ran there and nothing else.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from labse import __version__
from labse.cluster import node_calls
from labse.cluster.tasks import MAX_TRIES, WINDOW, Task, lost_tasks_error
from labse.errors import LabseError, ResourceError
from labse.files.stage import Result
from labse.runtime import hold_interrupts, require

__all__ = ["RayExecutor"]

_LOGGER = logging.getLogger(__name__)

_POLL_SECONDS = 0.2  # For an interrupt that comes meanwhile.
_LOOK_SECONDS = 5.0  # Between two looks at the nodes.
_MAX_MEMORY_TRIES = 2  # Of a task that needs more memory than its node has.
_SEE_SECONDS = (
    30.0  # In which a file of another node must be seen; NFS keeps a listing for 3 to 60.
)
# Ray would set the first to the processors of a task; all are read when a process starts.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


class RayExecutor:
    """Runs tasks on a cluster that is there; nodes may come and go meanwhile.

    Attributes:
        address: of the cluster: `auto` for the one that this machine belongs to, `ray://host:10001`
            for one that it does not.
    """

    def __init__(self, address: str = "auto") -> None:
        """Connects.

        Raises:
            ResourceError: Ray is not installed, or no cluster answers.
        """
        self._ray: Any = require("ray", "cluster")
        self.address = address
        self._is_ours = not self._ray.is_initialized()
        if self._is_ours:
            _connect(self._ray, address)
        # By value, since a node may lack labse. No retries of Ray: it would not tell of them.
        require("ray.cloudpickle", "cluster").register_pickle_by_value(node_calls)
        options = {"max_retries": 0, "retry_exceptions": False, "scheduling_strategy": "SPREAD"}
        self._call = self._ray.remote(**options)(node_calls.call_step)
        self._nodes: dict[str, str] = {}
        self._cpus = 0
        self._looked = -_LOOK_SECONDS

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """Yields tasks as they end; see `Executor`."""
        waiting = iter(tasks)
        running: dict[Any, _Try] = {}
        again: list[_Try] = []
        lost: dict[str, str] = {}
        try:
            while True:
                # Hand out what the cluster can use soon, those that were lost first.
                room = max(WINDOW * self._count_cpus() - len(running), 0)
                fresh = (_Try(task) for task in islice(waiting, max(room - len(again), 0)))
                for attempt in [*again[:room], *fresh]:
                    running[self._submit(attempt.task)] = attempt
                del again[:room]
                if not running:
                    if again:  # No node is there at the moment.
                        time.sleep(_POLL_SECONDS)
                        continue
                    break

                # Take what is done; a lost worker is no error of the task.
                with hold_interrupts():
                    done, _ = self._ray.wait(list(running), timeout=_POLL_SECONDS)
                for reference in done:
                    attempt = running.pop(reference)
                    result = self._take(reference, attempt)
                    if result is not None:
                        yield attempt.task, result
                    elif attempt.num_lost < attempt.max_tries:
                        again.append(attempt)
                    else:
                        lost[attempt.task.name] = attempt.reason
        finally:
            for reference in running:
                with suppress(Exception):
                    self._ray.cancel(reference, force=True)
        if lost:
            raise lost_tasks_error(lost)

    def close(self) -> None:
        """Ends the connection, and with it what still runs."""
        if self._is_ours:
            self._ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        self.close()

    def _submit(self, task: Task) -> Any:  # noqa: ANN401 - a reference of Ray, which has no types
        threads = dict.fromkeys(_THREADS, str(task.num_cpus))
        options: dict[str, object] = {
            "name": task.name,
            "num_cpus": task.num_cpus,
            "runtime_env": {"env_vars": threads},
        }
        options |= {"num_gpus": task.num_gpus} if task.num_gpus else {}
        options |= {"memory": task.memory_bytes} if task.memory_bytes else {}
        arguments = {**task.arguments, **task.places}
        step = task.step.__module__, task.step.__qualname__
        with hold_interrupts():
            call = self._call.options(**options).remote
            return call(*step, arguments, version=__version__, folder=os.getcwd())

    def _take(self, reference: Any, attempt: "_Try") -> Result | None:  # noqa: ANN401
        """Returns the result; None if the worker was lost.

        Raises:
            ResourceError: the node is not fit for tasks.
            Exception: what the step raised.
        """
        errors = self._ray.exceptions
        try:
            kind, node, value = self._ray.get(reference)
        except errors.RayTaskError as error:
            raise LabseError(f"{attempt.task.name}: {error.cause or error}") from error
        except (errors.RuntimeEnvSetupError, errors.TaskUnschedulableError) as error:
            raise ResourceError(f"{attempt.task.name}: {error}") from None
        except errors.RayError as error:
            is_memory = isinstance(error, errors.OutOfMemoryError)
            attempt.count_loss("out of memory" if is_memory else "no memory, or a lost node?")
            _LOGGER.warning(
                "%s: its worker was lost (%s), try %d of %d",
                attempt.task.name, attempt.reason, attempt.num_lost, attempt.max_tries,
            )  # fmt: skip
            return None
        if kind == "unfit":
            raise ResourceError(f"node {node} {value}; all nodes need the same version")
        if kind == "raised":
            raise _with_node(value, node)
        _await_files(attempt.task.outputs, node)
        result: Result = value
        return result

    def _count_cpus(self) -> int:
        """Returns the processors of all nodes that are up; tells of nodes that went away."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            nodes = {n["NodeID"]: n for n in self._ray.nodes() if n["Alive"]}
            for gone in self._nodes.keys() - nodes.keys():
                _LOGGER.warning("node %s is lost; its tasks are done by others", self._nodes[gone])
            self._nodes = {key: node["NodeManagerHostname"] for key, node in nodes.items()}
            self._cpus = int(sum(node["Resources"].get("CPU", 0) for node in nodes.values()))
            self._looked = time.monotonic()
        return self._cpus


@dataclass(slots=True)
class _Try:
    """A task and what became of its workers so far."""

    task: Task
    num_lost: int = 0
    reason: str = ""
    max_tries: int = MAX_TRIES

    def count_loss(self, reason: str) -> None:
        self.num_lost += 1
        self.reason = reason
        if reason == "out of memory":
            self.max_tries = _MAX_MEMORY_TRIES


def _connect(ray: Any, address: str) -> None:  # noqa: ANN401 - a module without types
    """Connects to a cluster; nothing is printed, and nobody else's handler is changed.

    Raises:
        ResourceError: no cluster answers there.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    is_main = threading.current_thread() is threading.main_thread()
    handler: Callable[..., object] | int | None = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, namespace="labse")
    except (ConnectionError, TimeoutError, ValueError, RuntimeError) as error:
        told = " ".join(str(error).split())
        raise ResourceError(
            f"--cluster {address}: no Ray cluster answers ({told[:200]}); start one with: ray "
            "start --head"
        ) from None
    finally:
        if is_main:  # Ray sets one of its own.
            signal.signal(signal.SIGTERM, handler)


def _with_node(error: Exception, node: str) -> Exception:
    """Returns an error of ours with the node in its line; it may tell of that node's disk."""
    if isinstance(error, LabseError):
        told = type(error)(f"{error} (on node {node})")
        told.__notes__ = getattr(error, "__notes__", [])
        return told
    return error


def _await_files(paths: Iterable[str], node: str) -> None:
    """Waits until files of another node are seen here, as on a network file system.

    Raises:
        ResourceError: they are not: the folder is another one there.
    """
    stop = time.monotonic() + _SEE_SECONDS
    for path in paths:
        while not Path(path).is_file():
            if time.monotonic() > stop:
                raise ResourceError(
                    f"node {node} has written {path}, and it is not seen here: the folder must be "
                    "one that all nodes share; labse cluster check tells which nodes see it"
                )
            with suppress(OSError):
                os.listdir(Path(path).parent)  # Makes NFS look again.
            time.sleep(_POLL_SECONDS)
