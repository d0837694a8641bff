"""One contract, two executors; and a cluster that loses its nodes."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import labse
from labse.cleaning.dedup import dedup_files
from labse.cluster.local import LocalExecutor
from labse.cluster.on_ray import RayExecutor
from labse.cluster.run import run_tasks
from labse.cluster.tasks import MAX_TRIES, WINDOW, Executor, Task
from labse.encoder.check.cluster_check import check_cluster
from labse.errors import InterruptedRunError, LabseError, ResourceError
from labse.files.atomic import sha256_file
from labse.files.stage import HASHES, Result, open_stage
from labse.mining.bitext import SearchOptions
from labse.mining.mine_files import mine_files

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

_HIDDEN = 77
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def cluster() -> Iterator["Cluster"]:  # type: ignore[name-defined] # noqa: F821 - slow to import
    """A head and a node, of one processor each, on this machine."""
    pytest.importorskip("ray")  # Not at the top, since each process of a test would import it.
    # Its own 15 and 30 seconds are short on a machine that tests keep busy.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray._private import services
    from ray.cluster_utils import Cluster

    find_node = services.get_node

    def await_node(*arguments: object) -> object:
        # Its own 30 seconds are short on a machine that tests keep busy.
        for _ in range(240):
            with contextlib.suppress(RuntimeError):
                return find_node(*arguments)
            time.sleep(0.5)
        return find_node(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "get_node", await_node)
        cluster = Cluster(
            initialize_head=True, head_node_args={**NODE, "include_dashboard": False}, connect=False
        )
        try:
            cluster.add_node(**NODE, num_gpus=1)  # Ray counts it, and nobody uses it.
            yield cluster
        finally:
            cluster.shutdown()


@pytest.fixture(scope="module", params=["local", "ray"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "local":
        yield LocalExecutor(2)
        return
    yield request.getfixturevalue("ray_executor")


@pytest.fixture(scope="module")
def ray_executor(cluster: "Cluster") -> Iterator[RayExecutor]:  # type: ignore[name-defined] # noqa: F821
    with RayExecutor(cluster.address) as executor:
        yield executor


def write_step(folder: str, name: str, then: str = "") -> Result:
    """Tells of its call, and does what it is told."""
    (Path(folder) / f"{name}-{os.getpid()}.call").touch()
    if then == "fail":
        raise LabseError(f"{name} is damaged")
    if then == "sleep":
        import ray

        (Path(folder) / f"{ray.get_runtime_context().get_node_id()}.node").touch()
        time.sleep(1)
    if then == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if then == "fill":
        raise MemoryError
    if then == "full":
        with Path("/dev/full").open("w") as stream:
            stream.write(name)
    if then == "hide":  # A file that no other process sees.
        os.dup2(os.open("/dev/null", os.O_RDONLY), _HIDDEN)
    (Path(folder) / name).write_text(name)
    return {"name": name}


def make_task(folder: Path, name: str, then: str = "") -> Task:
    places = {"folder": str(folder)}
    return Task(name, write_step, {"name": name, "then": then}, "", (str(folder / name),), places)


def num_calls(folder: Path, name: str) -> int:
    return len(list(folder.glob(f"{name}-*.call")))


def test_each_task_runs_once_and_tells_its_result(executor: Executor, tmp_path: Path) -> None:
    names = [f"task{number}" for number in range(20)]
    results = [*executor.run(make_task(tmp_path, name) for name in names)]
    assert sorted(task.name for task, _ in results) == sorted(names)
    for task, result in results:
        hashes = {path: sha256_file(path) for path in task.outputs}
        assert result == {"name": task.name, HASHES: hashes}
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


@pytest.mark.parametrize("way", ["die", "fill"])
def test_a_task_without_memory_is_named_and_the_others_are_done(
    executor: Executor, tmp_path: Path, way: str
) -> None:
    names = [f"task{number}" for number in range(6)]
    tasks = [make_task(tmp_path, n, way if n == "task2" else "") for n in names]
    with open_stage(tmp_path / "stage", {}) as stage:
        with pytest.raises(InterruptedRunError, match=r"task2 .* all others are done"):
            run_tasks(tasks, stage, workers=executor)
        assert sorted(stage.results) == sorted({*names} - {"task2"})
        least = 2 if way == "die" else 1  # The second try may be in the same process.
        assert least <= num_calls(tmp_path, "task2") <= MAX_TRIES

        # When there is memory, the same tasks go on.
        tasks[2] = make_task(tmp_path, "task2")
        assert run_tasks(tasks, stage, workers=executor) == [{"name": name} for name in names]
    assert num_calls(tmp_path, "task5") <= 2


# ---- the cluster -----------------------------------------------------------------------------


def hash_files(folder: Path) -> dict[str, str]:
    """Returns the hash of each file but the journal, whose lines stand in the order of the day."""
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (".lock", "progress.jsonl")
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("corpus")
    paths = [folder / f"part{number}.txt" for number in range(3)]
    for number, path in enumerate(paths):
        lines = (f"Im Garten stehen heute {n * (number + 1)} alte Apfelbäume." for n in range(400))
        path.write_text("\n".join(lines) + "\n", "utf-8")
    return paths


def test_a_cluster_writes_the_bytes_of_one_machine(
    ray_executor: RayExecutor, corpus: list[Path], tmp_path: Path
) -> None:
    for name, workers in (("here", 1), ("there", ray_executor)):
        labse.clean(corpus, tmp_path / name, lang="de", rows_per_shard=200, workers=workers)
        unique = tmp_path / f"{name}-unique"
        report = dedup_files(tmp_path / name, unique, min_similarity=0.9, workers=workers)
        assert report.num_exact > 0
    assert hash_files(tmp_path / "here") == hash_files(tmp_path / "there")
    assert {*hash_files(tmp_path / "here-unique")} == {*hash_files(tmp_path / "there-unique")}


def test_a_task_that_fits_on_no_node_is_told(ray_executor: RayExecutor, tmp_path: Path) -> None:
    task = replace(make_task(tmp_path, "large"), memory_bytes=10**15)
    with pytest.raises(ResourceError, match=r"no node .* 1,000,000.0 GB"):
        list(ray_executor.run([task]))


def tell_process_step(name: str) -> Result:
    return {"pid": os.getpid(), "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", "")}


def test_a_task_with_a_gpu_has_it_in_a_process_that_had_no_other_task(
    ray_executor: RayExecutor,
) -> None:
    pids: list[set[object]] = []
    for num_gpus in (0, 1, 0):
        tasks = [Task(f"{n}", tell_process_step, {"name": n}, num_gpus=num_gpus) for n in "abc"]
        results = [result for _, result in ray_executor.run(tasks)]
        pids.append({result["pid"] for result in results})
        assert not num_gpus or {result["gpus"] for result in results} == {"0"}
    assert not pids[1] & (pids[0] | pids[2])
    with pytest.raises(ResourceError, match=r"no node .* 2 GPUs .* the largest have 1 CPUs, 1 GPU"):
        list(ray_executor.run([replace(tasks[0], num_gpus=2)]))


def test_a_node_of_another_version_is_told(
    ray_executor: RayExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labse.cluster.on_ray.__version__", "99.0")
    with pytest.raises(ResourceError, match=f"has labse {labse.__version__}, .* has 99.0"):
        list(ray_executor.run([make_task(tmp_path, "old")]))


def test_a_full_disk_of_a_node_is_told_with_the_node(
    ray_executor: RayExecutor, tmp_path: Path
) -> None:
    with pytest.raises(ResourceError, match=r"No space left on device \(on node "):
        list(ray_executor.run([make_task(tmp_path, "x", "full")]))


def test_a_folder_that_is_not_shared_is_told(
    ray_executor: RayExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labse.cluster.on_ray._SEE_SECONDS", 0.5)
    task = replace(make_task(tmp_path, "x", "hide"), outputs=(f"/proc/self/fd/{_HIDDEN}",))
    with pytest.raises(ResourceError, match="not seen here: the folder must be one that all nodes"):
        list(ray_executor.run([task]))


def test_the_nodes_are_looked_at(ray_executor: RayExecutor, tmp_path: Path) -> None:
    report = check_cluster(ray_executor, tmp_path)
    assert report.is_well
    assert [node.num_cpus for node in report.nodes] == [1, 1]
    assert list(tmp_path.iterdir()) == []


def test_a_killed_driver_goes_on_and_a_second_one_is_refused(
    cluster: "Cluster",  # type: ignore[name-defined] # noqa: F821
    corpus: list[Path],
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "labse", "corpus", "clean", *map(str, corpus), "--lang", "de"]
    command += ["--rows-per-shard", "200", "--cluster", cluster.address, "--out"]
    out = tmp_path / "out"
    journal = out / "progress.jsonl"
    with subprocess.Popen([*command, str(out)], stderr=subprocess.PIPE) as first:
        while not (journal.is_file() and '"score/' in journal.read_text()):
            assert first.poll() is None, first.stderr and first.stderr.read()
            time.sleep(0.02)
        first.send_signal(signal.SIGSTOP)
        second = subprocess.run([*command, str(out)], capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert "another process" in second.stderr
        first.kill()
    done = [line for line in journal.read_text().splitlines() if '"score/' in line]
    assert len(done) < 6

    # The same command: what is marked is not done again, and nobody sees the difference.
    subprocess.run([*command, str(out)], check=True, capture_output=True)
    assert all(line in journal.read_text() for line in done)
    labse.clean(corpus, tmp_path / "here", lang="de", rows_per_shard=200)
    assert hash_files(out) == hash_files(tmp_path / "here")


def test_a_lost_node_costs_its_tasks_and_nothing_else(
    cluster: "Cluster",  # type: ignore[name-defined] # noqa: F821
    ray_executor: RayExecutor,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = cluster.add_node(**NODE)
    names: list[str] = []

    def make_tasks() -> Iterator[Task]:
        # A node may be lost between two of its tasks: there are tasks until the loss is told.
        while "lost" not in caplog.text:
            names.append(f"task{len(names)}")
            yield make_task(tmp_path, names[-1], "sleep")

    results = []
    for task, _ in ray_executor.run(make_tasks()):
        results.append(task.name)
        if node in cluster.list_all_nodes() and (tmp_path / f"{node.node_id}.node").exists():
            cluster.remove_node(node, allow_graceful=False)
    assert sorted(results) == sorted(names)
    assert all((tmp_path / name).read_text() == name for name in names)


def test_vectors_words_texts_and_scores_are_those_of_one_machine(
    ray_executor: RayExecutor, corpus: list[Path], tmp_path: Path
) -> None:
    for name, workers in (("here", 1), ("there", ray_executor)):
        out = tmp_path / name
        out.mkdir()
        labse.extract_files(
            [*map(str, corpus)], out / "texts.tsv", is_split=True, workers=workers, work=out / "e"
        )
        # Lines that are repeated in several shards are copied from one to the other.
        labse.encode_files(corpus, out / "vectors", jobs=workers, shard_rows=200)
        labse.learn_vocabulary(corpus, out / "vocab", lang="de", vocab_size=99, workers=workers)
        labse.filter_pairs(
            corpus[0],
            corpus[1],
            scores=out / "scores.jsonl",
            search=SearchOptions(workers=workers),
            work=out / "f",
        )
        for work in ("e", "f"):
            shutil.rmtree(out / work)
    assert hash_files(tmp_path / "here") == hash_files(tmp_path / "there")
    assert len(hash_files(tmp_path / "here")) > 10


@pytest.mark.parametrize("index", ["exact", "ivf-sq"])
def test_mining_on_a_cluster_writes_what_one_machine_writes(
    ray_executor: RayExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    monkeypatch.setattr("labse.search.grid._SHARD_ROWS", 150)
    monkeypatch.setattr("labse.search.grid._MAX_SHARDS", 2)
    generator = np.random.default_rng(0)
    source = generator.standard_normal((400, 16), dtype=np.float32)
    target = source + 0.3 * generator.standard_normal((400, 16), dtype=np.float32)
    np.save(tmp_path / "source.npy", source)
    np.save(tmp_path / "target.npy", target)
    written = []
    for name, workers in (("here", 1), ("there", ray_executor)):
        out = tmp_path / f"{name}.tsv"
        search = SearchOptions(index=index, workers=workers)  # type: ignore[arg-type]
        paths = tmp_path / "source.npy", tmp_path / "target.npy"
        mined = mine_files(*paths, out, search=search, work=tmp_path / name)
        assert mined.num_written > 300
        written.append(out.read_bytes())
    assert written[0] == written[1]


def test_a_store_of_objects_stands_in_place_of_a_shared_folder(
    executor: Executor, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("".join(f"Das ist Satz {n}.\n" for n in range(50)))
    options = {"lang": "de", "identify": False, "rows_per_shard": 20}
    labse.clean(tmp_path / "a.txt", tmp_path / "folder", **options)
    store, work = f"file://{tmp_path}/store", tmp_path / "work"
    labse.clean(
        f"file://{tmp_path}/a.txt", f"{store}/clean", work=work, workers=executor, **options
    )

    # The manifest names an object for each shard of the folder, with the same bytes.
    manifest = tmp_path / "store/clean/manifest.json"
    named = json.loads(manifest.read_text())["parts"]
    shards = (tmp_path / "folder").rglob("*.parquet")
    sums = {path.relative_to(tmp_path / "folder").as_posix(): sha256_file(path) for path in shards}
    parts = {name: sha256_file(manifest.parent / part["object"]) for name, part in named.items()}
    assert parts == sums
    assert len(list(manifest.parent.rglob("*.parquet"))) == len(sums)
