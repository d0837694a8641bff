"""Tasks on the machines of a Ray cluster.

Takes: tasks whose files lie in a folder that all nodes share. Gives: their results as they come.
Source: Moritz et al. 2018, Ray; docs/distributed.md. Data never pass through Ray: a task gets paths
and returns small JSON, so that a lost node costs the tasks that ran there and nothing else.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from labse import __version__
from labse.cluster import node_calls
from labse.cluster.tasks import MAX_TRIES, WINDOW, Task, lost_tasks_error
from labse.errors import InterruptedRunError, LabseError, ResourceError, UsageError
from labse.files.stage import Result
from labse.files.system import find_seen
from labse.runtime import hold_interrupts, require

__all__ = ["NodeAnswer", "RayExecutor"]

_LOGGER = logging.getLogger(__name__)

_POLL_SECONDS = 0.2  # For an interrupt that comes meanwhile.
_LOOK_SECONDS = 5.0  # Between two looks at the nodes.
_NO_MEMORY = "out of memory"
_MAX_MEMORY_TRIES = 2  # Of a task that needs more memory than its node has.
_CONNECT_SECONDS = 10.0
_SEE_SECONDS = (
    30.0  # In which a file of another node must be seen; NFS keeps a listing for 3 to 60.
)
# Ray would set the first to the processors of a task; all are read when a process starts.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What a node is, and what it answered.

    Attributes:
        node: its host name and address.
        num_cpus: processors that it gives to tasks.
        num_gpus: GPUs likewise.
        memory_bytes: memory likewise.
        result: what the function returned; None if it did not run.
        problem: why it did not.
    """

    node: str
    num_cpus: int
    num_gpus: int
    memory_bytes: int
    result: Result | None
    problem: str


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
        self._calls: dict[object, Any] = {}
        self._nodes: dict[str, str] = {}
        self._resources: list[Mapping[str, float]] = []
        self._looked = -_LOOK_SECONDS
        self._is_lost = False

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """Yields tasks as they end; see `Executor`."""
        waiting = iter(tasks)
        running: dict[Any, _Try] = {}
        again: list[_Try] = []
        lost: dict[str, str] = {}
        fitting: set[tuple[int, float, int]] = set()
        try:
            while True:
                # Hand out what the cluster can use soon, those that were lost first.
                room = max(WINDOW * max(self._count_cpus(), 1) - len(running), 0)
                fresh = (_Try(task) for task in islice(waiting, max(room - len(again), 0)))
                for attempt in chain(again[:room], fresh):
                    self._check_fits(attempt.task, fitting)
                    running[self._submit(attempt.task)] = attempt
                del again[:room]
                if not running:
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
            for reference in () if self._is_lost else running:
                with suppress(Exception):
                    self._ray.cancel(reference, force=True)
        if lost:
            raise lost_tasks_error(lost)

    def call_on_nodes(
        self, step: Callable[..., Result], arguments: Mapping[str, object], *, timeout: float
    ) -> list[NodeAnswer]:
        """Calls a function once on each node that is up, beside what runs there.

        Args:
            step: see `Task`.
            arguments: by name.
            timeout: seconds to wait for all of them.
        """
        spread = require("ray.util.scheduling_strategies", "cluster").NodeAffinitySchedulingStrategy
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        running = {}
        for node in sorted(nodes, key=lambda node: str(node["NodeManagerAddress"])):
            strategy = spread(node["NodeID"], soft=False)
            options = {"num_cpus": 0, "scheduling_strategy": strategy}
            call = self._call.options(**options).remote
            names = step.__module__, step.__qualname__, dict(arguments)
            running[call(*names, version=__version__, folder=os.getcwd())] = node
        with hold_interrupts():
            done, _ = self._ray.wait([*running], num_returns=len(running), timeout=timeout)
        answers = []
        for reference, node in running.items():
            name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            resources = node["Resources"]
            kind: str = "raised"
            value: Any = f"did not answer in {timeout:.0f} seconds"
            if reference in done:
                try:
                    kind, _, value = self._ray.get(reference)
                except self._ray.exceptions.RayError as error:
                    value = " ".join(str(error).split())[:200]
            is_done = kind == "done"
            answers.append(
                NodeAnswer(
                    node=name,
                    num_cpus=int(resources.get("CPU", 0)),
                    num_gpus=int(resources.get("GPU", 0)),
                    memory_bytes=int(resources.get("memory", 0)),
                    result=value if is_done else None,
                    problem="" if is_done else str(value),
                )
            )
        return answers

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
        arguments = {**task.arguments, **task.places}
        step = task.step.__module__, task.step.__qualname__
        with hold_interrupts():
            call = self._call_of(task).remote
            folder = os.getcwd()
            return call(*step, arguments, task.outputs, version=__version__, folder=folder)

    def _call_of(self, task: Task) -> Any:  # noqa: ANN401
        """Returns the call for tasks of a kind.

        Ray counts tasks by their names and never forgets one: 2 KB a task, if each had its own.
        """
        kind = task.step, task.num_cpus, task.num_gpus, task.memory_bytes
        if kind not in self._calls:
            environment = dict.fromkeys(_THREADS, str(task.num_cpus))
            if task.num_gpus:  # Processes of their own: CUDA looks for devices once a process.
                environment["LABSE_TASK_GPUS"] = f"{task.num_gpus:g}"
            options: dict[str, object] = {
                "name": task.step.__qualname__,
                "num_cpus": task.num_cpus,
                "runtime_env": {"env_vars": environment},
            }
            options |= {"num_gpus": task.num_gpus} if task.num_gpus else {}
            options |= {"memory": task.memory_bytes} if task.memory_bytes else {}
            self._calls[kind] = self._call.options(**options)
        return self._calls[kind]

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
            attempt.count_loss(_NO_MEMORY if is_memory else "no memory, or a lost node?")
            return None
        if kind == "unfit":
            raise ResourceError(f"node {node} {value}; all nodes need the same version")
        if kind == "raised" and isinstance(value, MemoryError):
            attempt.count_loss(_NO_MEMORY)
            return None
        if kind == "raised":
            raise _with_node(value, node)
        _await_files(attempt.task.outputs, node)
        result: Result = value
        return result

    def _count_cpus(self) -> int:
        """Returns the processors of all nodes that are up; tells of nodes that went away."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._check_head()
            nodes = {n["NodeID"]: n for n in self._ray.nodes() if n["Alive"]}
            for gone in self._nodes.keys() - nodes.keys():
                _LOGGER.warning("node %s is lost; its tasks are done by others", self._nodes[gone])
            self._nodes = {key: node["NodeManagerHostname"] for key, node in nodes.items()}
            self._resources = [node["Resources"] for node in nodes.values()]
            self._looked = time.monotonic()
        return int(sum(resources.get("CPU", 0) for resources in self._resources))

    def _check_head(self) -> None:
        """Finds out whether the head is there: Ray would wait a minute and end the process.

        Raises:
            InterruptedRunError: it is not.
        """
        if self.address.startswith("ray://"):
            return
        host, _, port = self._ray.get_runtime_context().gcs_address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
        except OSError:
            self._is_lost = True
            raise InterruptedRunError(
                f"the head of the cluster ({host}) is gone; the same command goes on when it is "
                "back, or on another cluster"
            ) from None

    def _check_fits(self, task: Task, fitting: set[tuple[int, float, int]]) -> None:
        """Refuses a kind of task that no node can ever run, on which Ray would wait for ever.

        Raises:
            ResourceError: there is none, and none was there before.
        """
        needs = task.num_cpus, task.num_gpus, task.memory_bytes
        if needs in fitting:
            return
        names = ("CPU", "GPU", "memory")
        for resources in self._resources:
            if all(resources.get(n, 0) >= need for n, need in zip(names, needs, strict=True)):
                fitting.add(needs)
                return
        most = [max((r.get(name, 0) for r in self._resources), default=0) for name in names]
        raise ResourceError(
            f"{task.name}: no node of the cluster has what it needs: {_tell_needs(*needs)}; the "
            f"largest have {_tell_needs(*most)}"
        )


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
        if reason == _NO_MEMORY:
            self.max_tries = _MAX_MEMORY_TRIES
        _LOGGER.warning(
            "%s: its worker was lost (%s), try %d of %d",
            *(self.task.name, reason, self.num_lost, self.max_tries),
        )


def _connect(ray: Any, address: str) -> None:  # noqa: ANN401 - a module without types
    """Connects to a cluster; nothing is printed, and nobody else's handler is changed.

    Raises:
        UsageError: the address is none.
        ResourceError: no cluster answers there.
    """
    _check_address(address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray prints the last lines of a lost node to standard output, among data; we tell of it anyway.
    setattr(require("ray._private.worker", "cluster"), "print_to_stdstream", lambda *_, **__: None)  # noqa: B010
    is_main = threading.current_thread() is threading.main_thread()
    handler: Callable[..., object] | int | None = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, namespace="labse")
    except ray.exceptions.RayError as error:
        told = " ".join(str(error).split())[:200]
        if type(error).__name__ == "AuthenticationError":  # Ray 2.40 has none.
            told = (
                "the token is missing or wrong; copy ~/.ray/auth_token of its head to this machine"
            )
        raise ResourceError(f"--cluster {address}: {told}") from None
    except (ConnectionError, TimeoutError, ValueError, RuntimeError) as error:
        told = "none runs here" if address == "auto" else " ".join(str(error).split())[:200]
        raise ResourceError(
            f"--cluster {address}: no Ray cluster answers ({told}); start one: ray start --head"
        ) from None
    finally:
        if is_main:  # Ray sets one of its own.
            signal.signal(signal.SIGTERM, handler)


def _tell_needs(num_cpus: float, num_gpus: float, memory_bytes: float) -> str:
    return f"{num_cpus:g} CPUs, {num_gpus:g} GPUs and {memory_bytes / 1e9:,.1f} GB of memory"


def _check_address(address: str) -> None:
    """Finds out whether somebody listens there: Ray itself would go on trying, for minutes."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"--cluster {address}: give auto, or an address such as ray://head:10001")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ResourceError(f"--cluster {address}: no Ray cluster answers: {reason}") from None


def _with_node(error: Exception, node: str) -> Exception:
    """Returns an error of ours or of the system with the node in its line, as of a full disk."""
    told = error
    if isinstance(error, LabseError):
        told = type(error)(f"{error} (on node {node})")
    elif isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        told = ResourceError(f"{place}{error.strerror or error} (on node {node})")
    told.__notes__ = getattr(error, "__notes__", [])
    return told


def _await_files(paths: Iterable[str], node: str) -> None:
    """Waits until files of another node are seen here, as on a network file system.

    Raises:
        ResourceError: they are not: the folder is another one there.
    """
    stop = time.monotonic() + _SEE_SECONDS
    for path in paths:
        if find_seen([Path(path)], stop) is None:
            raise ResourceError(
                f"node {node} has written {path}, and it is not seen here: the folder must be "
                "one that all nodes share; labse cluster check tells which nodes see it"
            )
