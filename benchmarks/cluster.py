"""What Ray costs beside processes of this machine; starts small clusters on this machine itself.

python benchmarks/cluster.py speed | empty | memory
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labse.cluster.local import LocalExecutor
from labse.cluster.on_ray import RayExecutor
from labse.cluster.tasks import Executor, Task
from labse.files.atomic import sha256_file

NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}


def iter_tasks(num_tasks: int, num_bytes: int) -> Iterator[Task]:
    """Yields tasks that hash zeros; of none they are empty."""
    for number in range(num_tasks):
        path = "/dev/null"
        if num_bytes:
            path = f"{tempfile.gettempdir()}/labse-benchmark-{num_bytes}"
            if not Path(path).is_file():
                Path(path).write_bytes(bytes(num_bytes))
        yield Task(f"task/{number:06}", sha256_file, {"path": path})  # type: ignore[arg-type]


@contextmanager
def start_cluster(num_nodes: int) -> Iterator[str]:
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"}
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={**NODE, "include_dashboard": False}, connect=False
    )
    try:
        for _ in range(num_nodes - 1):
            cluster.add_node(**NODE)
        yield cluster.address
    finally:
        cluster.shutdown()


def measure(executor: Executor, num_tasks: int, num_bytes: int) -> float:
    """Returns seconds; a first task has started the workers."""
    list(executor.run(iter_tasks(4, 0)))
    start = time.perf_counter()
    done = sum(1 for _ in executor.run(iter_tasks(num_tasks, num_bytes)))
    assert done == num_tasks
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["speed", "empty", "memory"])
    parser.add_argument("--tasks", type=int, help="Number of tasks.")
    what, num_tasks = (options := parser.parse_args()).what, options.tasks
    if what == "speed":  # In this process: one worker against one node of one processor.
        size, num_tasks = 500_000_000, num_tasks or 60
        here = measure(LocalExecutor(1), num_tasks, size)
        print(f"local, 1 process: {num_tasks} tasks in {here:.1f} s")
    with start_cluster(1) as address, RayExecutor(address) as executor:
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
