"""What Ray costs beside processes of this machine; starts small clusters on this machine itself.

python benchmarks/cluster.py speed | empty | memory | mine
"""

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from cluster_steps import hash_step

from labse.cluster.local import LocalExecutor
from labse.cluster.on_ray import RayExecutor
from labse.cluster.tasks import Executor, Task

NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}


def iter_tasks(num_tasks: int, num_bytes: int) -> Iterator[Task]:
    """Yields tasks that hash zeros; of none they are empty."""
    for number in range(num_tasks):
        path = "/dev/null"
        if num_bytes:
            path = f"{tempfile.gettempdir()}/labse-benchmark-{num_bytes}"
            if not Path(path).is_file():
                Path(path).write_bytes(bytes(num_bytes))
        yield Task(f"task/{number:06}", hash_step, {"path": path, "number": number})


@contextmanager
def start_cluster(num_nodes: int) -> Iterator["Cluster"]:  # type: ignore[name-defined] # noqa: F821
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={**NODE, "include_dashboard": False}, connect=False
    )
    try:
        for _ in range(num_nodes - 1):
            cluster.add_node(**NODE)
        yield cluster
    finally:
        cluster.shutdown()


def measure(executor: Executor, num_tasks: int, num_bytes: int) -> float:
    """Returns seconds; a first task has started the workers."""
    list(executor.run(iter_tasks(4, 0)))
    start = time.perf_counter()
    done = sum(1 for _ in executor.run(iter_tasks(num_tasks, num_bytes)))
    assert done == num_tasks
    return time.perf_counter() - start


def mine(num_rows: int, num_nodes: int) -> None:
    """Searches two sides on some nodes, kills one of several and then the command; compares."""
    folder = Path(tempfile.mkdtemp(prefix="labse-benchmark-"))
    generator = np.random.default_rng(0)
    source = generator.standard_normal((num_rows, 256), dtype=np.float32)
    noise = generator.standard_normal((num_rows, 256), dtype=np.float32)
    np.save(folder / "source.npy", source)
    np.save(folder / "target.npy", source[::-1] + noise)
    program = f"import sys; from labse.search import grid; grid._SHARD_ROWS = {num_rows // 6}; "
    program += "from labse.__main__ import main; sys.exit(main())"  # Many cells of few rows.
    command = [sys.executable, "-c", program, "mine", "source.npy", "target.npy"]
    command += ["--index", "exact", "--memory", "64M"]

    def start(name: str, *options: str) -> subprocess.Popen[bytes]:
        outputs = ["--work", name, "--out", f"{name}.tsv"]
        return subprocess.Popen([*command, *outputs, *options], cwd=folder)

    def num_done() -> int:
        journal = folder / "there" / "progress.jsonl"
        return journal.read_text().count('"done": "search/') if journal.is_file() else 0

    def await_cells(process: subprocess.Popen[bytes], number: int) -> None:
        while num_done() < number:
            if process.poll() is not None:
                raise SystemExit(f"the command ended with {process.returncode}")
            time.sleep(0.2)

    begun = time.perf_counter()
    assert start("here").wait() == 0
    print(f"local: {num_rows:,} x {num_rows:,} in {time.perf_counter() - begun:.0f} s", flush=True)
    begun = time.perf_counter()
    with start_cluster(num_nodes) as cluster:
        options = "--cluster", cluster.address
        first = start("there", *options)
        await_cells(first, 3)
        if num_nodes > 1:
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
            print(f"a node was killed after {num_done()} cells", flush=True)
        await_cells(first, 6)
        first.send_signal(signal.SIGKILL)
        first.wait()
        marks = num_done()
        print(f"the command was killed after {marks} cells", flush=True)
        assert start("there", *options).wait() == 0
    same = (folder / "here.tsv").read_bytes() == (folder / "there.tsv").read_bytes()
    seconds = time.perf_counter() - begun
    nodes = "1 node" if num_nodes == 1 else f"{num_nodes} nodes, one killed"
    print(f"{nodes}, the command killed and given again: {seconds:.0f} s; equal: {same}")
    assert same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["speed", "empty", "memory", "mine"])
    parser.add_argument("--tasks", type=int, help="Number of tasks.")
    parser.add_argument("--nodes", type=int, default=3, help="Nodes of mine.")
    parser.add_argument("--rows", type=int, default=60_000, help="Rows of a side of mine.")
    what, num_tasks = (options := parser.parse_args()).what, options.tasks
    if what == "speed":  # In this process: one worker against one node of one processor.
        size, num_tasks = 500_000_000, num_tasks or 60
        here = measure(LocalExecutor(1), num_tasks, size)
        print(f"local, 1 process: {num_tasks} tasks in {here:.1f} s")
    if what == "mine":
        mine(options.rows, options.nodes)
        return
    with start_cluster(1) as cluster, RayExecutor(cluster.address) as executor:
        if what == "speed":
            there = measure(executor, num_tasks, size)
            print(f"Ray, 1 node of 1 CPU: {there:.1f} s; {here / there:.2f} of the local speed")
        elif what == "empty":
            num_tasks = num_tasks or 10_000
            seconds = measure(executor, num_tasks, 0)
            print(f"Ray, 1 node of 1 CPU: {num_tasks:,} empty tasks in {seconds:.1f} s")
        else:
            num_tasks, done = num_tasks or 100_000, 0
            for done, _ in enumerate(executor.run(iter_tasks(num_tasks, 0)), start=1):
                if done % (num_tasks // 10) == 0:
                    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
                    print(f"{done:,} tasks: at most {peak} MiB in the driver", flush=True)


if __name__ == "__main__":
    main()
