"""A process that dies or fails ends the others with a line that names it."""

import subprocess
import sys

import pytest
from torch.distributed import TCPStore

# Rank 1 does what the test says; the others wait.
PROGRAM = """
import json, os, signal, sys, time
from torch.distributed import TCPStore
from labse.errors import LabseError
from labse.training.presence import Presence

rank, size, port, what = int(sys.argv[1]), 3, int(sys.argv[2]), sys.argv[3]
os.environ["MASTER_ADDR"] = "127.0.0.1"
store = TCPStore("127.0.0.1", port, size, is_master=False)

def from_main(value):
    if rank == 0:
        store.set("where", json.dumps(value))
    return json.loads(store.get("where"))

try:
    with Presence.join(rank, size, from_main):
        if rank == int(sys.argv[4]):
            if what == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "failed":
                raise LabseError("the loss is nan")
        elif what == "leaving":
            time.sleep(1)
        else:
            time.sleep(60)
except LabseError as error:
    print("ended:", error)
"""


def run(what: str, rank: int) -> list[tuple[int, str]]:
    """Returns exit code and output of three processes, of which `rank` does `what`."""
    store = TCPStore("127.0.0.1", 0, 4, is_master=True, wait_for_workers=False)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(number), str(store.port), what, str(rank)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(3)
    ]
    outputs = [process.communicate()[0] for process in processes]
    return [(process.returncode, out) for process, out in zip(processes, outputs, strict=True)]


@pytest.mark.parametrize("rank", [0, 1])
def test_the_killed_rank_is_named_by_all_others_though_they_wait(rank: int) -> None:
    results = run("killed", rank)
    assert results.pop(rank)[0] == -9
    for code, output in results:
        assert code == 5
        assert f"labse: error: rank {rank} of 3 (process " in output
        assert "is gone" in output
        assert len(output.splitlines()) == 1


def test_the_error_of_a_rank_is_what_the_others_tell() -> None:
    results = run("failed", 2)
    assert results.pop(2) == (0, "ended: the loss is nan\n")
    for code, output in results:
        assert code == 5
        assert "rank 2 of 3" in output
        assert output.endswith("stopped: the loss is nan\n")


def test_processes_that_leave_in_any_order_miss_nobody() -> None:
    assert run("leaving", 1) == [(0, "")] * 3
