import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labse.cluster.run import run_tasks
from labse.cluster.tasks import Task
from labse.corpus.shards import write_shard
from labse.errors import InterruptedRunError, LabseError, UsageError
from labse.files.atomic import sha256_file
from labse.files.stage import Result, Stage, open_stage


def count_step(out: str, size: int) -> Result:
    """Counts its calls in a file beside its output."""
    with Path(f"{out}.calls").open("a") as stream:
        stream.write("x")
    Path(out).write_text("a" * size)
    return {"num_rows": size}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_stage(tmp_path / "stage", {}) as stage:
        yield stage


def tasks_of(folder: Path, sizes: list[int]) -> list[Task]:
    tasks = []
    for number, size in enumerate(sizes):
        out = str(folder / f"{number}")
        places = {"out": out}
        tasks.append(Task(f"task{number}", count_step, {"size": size}, "", (out,), places))
    return tasks


def calls(folder: Path) -> list[int]:
    return [len(path.read_text()) for path in sorted(folder.glob("*.calls"))]


def test_each_task_runs_once_and_results_keep_the_order(tmp_path: Path, stage: Stage) -> None:
    tasks = tasks_of(tmp_path, [3, 1, 2])
    told: list[Result] = []
    for _ in range(2):
        results = run_tasks(tasks, stage, on_result=told.append)
        assert results == [{"num_rows": 3}, {"num_rows": 1}, {"num_rows": 2}]
    assert calls(tmp_path) == [1, 1, 1]
    assert len(told) == 6


def test_changed_arguments_inputs_or_lost_outputs_run_again(tmp_path: Path, stage: Stage) -> None:
    run_tasks(tasks_of(tmp_path, [1, 1]), stage)
    run_tasks(tasks_of(tmp_path, [1, 2]), stage)
    assert calls(tmp_path) == [1, 2]
    (tmp_path / "0").unlink()
    run_tasks(tasks_of(tmp_path, [1, 2]), stage)
    assert calls(tmp_path) == [2, 2]
    first = tasks_of(tmp_path, [1])[0]
    run_tasks([replace(first, inputs="new", outputs=())], stage)
    assert calls(tmp_path) == [3, 2]


def test_an_output_that_was_damaged_since_is_made_again(tmp_path: Path) -> None:
    for damage in (None, "b"):
        with open_stage(tmp_path, {}) as stage:
            tasks = tasks_of(tmp_path, [1, 1])
            assert run_tasks(tasks, stage) == [{"num_rows": 1}, {"num_rows": 1}]
        (tmp_path / "1").write_text(damage or "a")
    with open_stage(tmp_path, {}) as stage:
        run_tasks(tasks, stage)
    assert (tmp_path / "1").read_text() == "a"
    assert calls(tmp_path) == [1, 2]


def test_two_tasks_of_one_name_are_refused(tmp_path: Path, stage: Stage) -> None:
    (task,) = tasks_of(tmp_path, [1])
    with pytest.raises(UsageError, match="two inputs are named task0"):
        run_tasks([task, task], stage)


def test_an_error_of_a_step_comes_out_and_finished_tasks_stay(tmp_path: Path, stage: Stage) -> None:
    good = tasks_of(tmp_path, [1])[0]
    bad = Task("bad", sha256_file, {"path": str(tmp_path / "missing")})
    with pytest.raises(LabseError, match="no such file"):
        run_tasks([good, bad], stage)
    run_tasks([good], stage)
    assert calls(tmp_path) == [1]


def test_steps_run_in_processes_and_their_errors_come_out(tmp_path: Path, stage: Stage) -> None:
    shards = [tmp_path / f"part-0000{n}.parquet" for n in range(3)]
    tasks = [
        Task(shard.stem, write_shard_step, {"path": str(shard), "columns": {"text": ["a"]}})
        for shard in shards
    ]
    assert run_tasks(tasks, stage, workers=2) == [{}] * 3
    assert all(shard.is_file() for shard in shards)
    bad = Task("bad", sha256_file, {"path": str(tmp_path / "missing")})
    with pytest.raises(LabseError, match="no such file"):
        run_tasks([bad, tasks[0]], stage, workers=2)


def write_shard_step(path: str, columns: dict[str, list[str]]) -> Result:
    write_shard(Path(path), columns)
    return {}


def test_workers_that_die_again_and_again_end_the_run(stage: Stage) -> None:
    with pytest.raises(InterruptedRunError, match="the same command goes on"):
        run_tasks([Task(f"exit{n}", kill_step, {}) for n in range(2)], stage, workers=2)


def kill_step() -> Result:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}
