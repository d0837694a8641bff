"""One contract, two executors; and a cluster that loses its nodes."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from labse.cluster.local import LocalExecutor
from labse.cluster.on_ray import RayExecutor
from labse.cluster.run import run_tasks
from labse.cluster.tasks import MAX_TRIES, WINDOW, Executor, Task
from labse.errors import InterruptedRunError, LabseError
from labse.files.stage import Result, open_stage

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def cluster() -> Iterator["Cluster"]:  # type: ignore[name-defined] # noqa: F821 - slow to import
    """A head and a node, of one processor each, on this machine."""
    pytest.importorskip("ray")  # Not at the top, since each process of a test would import it.
    # Its own 30 seconds are short on a machine that tests keep busy.
    os.environ |= {"RAY_raylet_start_wait_time_s": "120", "RAY_USAGE_STATS_ENABLED": "0"}
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={**NODE, "include_dashboard": False}, connect=False
    )
    try:
        cluster.add_node(**NODE)
        yield cluster
    finally:
        cluster.shutdown()


@pytest.fixture(scope="module", params=["local", "ray"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "local":
        yield LocalExecutor(2)
        return
    with RayExecutor(request.getfixturevalue("cluster").address) as executor:
        yield executor


def write_step(folder: str, name: str, then: str = "") -> Result:
    """Tells of its call, and does what it is told."""
    (Path(folder) / f"{name}-{os.getpid()}.call").touch()
    if then == "fail":
        raise LabseError(f"{name} is damaged")
    if then == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    (Path(folder) / name).write_text(name)
    return {"name": name}


def make_task(folder: Path, name: str, then: str = "") -> Task:
    places = {"folder": str(folder)}
    return Task(name, write_step, {"name": name, "then": then}, "", (str(folder / name),), places)


def num_calls(folder: Path, name: str) -> int:
    return len(list(folder.glob(f"{name}-*.call")))


def test_each_task_runs_once_and_tells_its_result(executor: Executor, tmp_path: Path) -> None:
    names = [f"task{number}" for number in range(20)]
    results = {
        task.name: result for task, result in executor.run(make_task(tmp_path, n) for n in names)
    }
    assert results == {name: {"name": name} for name in names}
    assert [num_calls(tmp_path, name) for name in names] == [1] * 20


def test_tasks_are_taken_as_they_are_needed(executor: Executor, tmp_path: Path) -> None:
    taken = []

    def make_tasks() -> Iterator[Task]:
        for number in range(1000):
            taken.append(number)
            yield make_task(tmp_path, f"task{number}")

    run = executor.run(make_tasks())
    next(run)
    run.close()  # type: ignore[attr-defined]
    assert len(taken) <= 2 * WINDOW


def test_an_error_of_a_step_comes_out_and_is_not_tried_again(
    executor: Executor, tmp_path: Path
) -> None:
    with pytest.raises(LabseError, match="bad is damaged"):
        list(executor.run([make_task(tmp_path, "bad", "fail")]))
    assert num_calls(tmp_path, "bad") == 1


def test_a_task_that_kills_its_worker_is_named_and_the_others_are_done(
    executor: Executor, tmp_path: Path
) -> None:
    names = [f"task{number}" for number in range(6)]
    tasks = [make_task(tmp_path, n, "die" if n == "task2" else "") for n in names]
    with open_stage(tmp_path / "stage", {}) as stage:
        with pytest.raises(InterruptedRunError, match=r"task2 .* all others are done"):
            run_tasks(tasks, stage, workers=executor)
        assert sorted(stage.results) == sorted({*names} - {"task2"})
        assert 2 <= num_calls(tmp_path, "task2") <= MAX_TRIES

        # When there is memory, the same tasks go on.
        tasks[2] = make_task(tmp_path, "task2")
        assert run_tasks(tasks, stage, workers=executor) == [{"name": name} for name in names]
    assert num_calls(tmp_path, "task5") <= 2
