"""A process that dies or fails ends the others with a line that names it."""

import contextlib
import json
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator

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
    elif what == "visited":
        store.get("visitors are there")
    return json.loads(store.get("where"))

try:
    with Presence.join(rank, size, from_main):
        if rank == int(sys.argv[4]):
            if what == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "failed":
                raise LabseError("the loss is nan")
        elif what in ("leaving", "visited"):
            time.sleep(1)
        else:
            time.sleep(60)
except LabseError as error:
    print("ended:", error)
"""


def start(what: str, rank: int) -> tuple[TCPStore, list[subprocess.Popen[str]]]:
    """Starts three processes, of which `rank` does `what`."""
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
    return store, processes


def end(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """Returns exit code and output of each."""
    outputs = [process.communicate()[0] for process in processes]
    return [(process.returncode, out) for process, out in zip(processes, outputs, strict=True)]


def run(what: str, rank: int) -> list[tuple[int, str]]:
    """Returns exit code and output of three processes, of which `rank` does `what`."""
    _store, processes = start(what, rank)
    return end(processes)


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


@contextlib.contextmanager
def strangers(port: int) -> Iterator[None]:
    """People who find the port: silent, hanging up, resetting, of another protocol, endless."""
    with contextlib.ExitStack() as opened:
        silent, gone, reset, web, endless, numberless = (
            opened.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(6)
        )
        assert silent.fileno() > 0
        gone.close()
        reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reset.close()
        web.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        numberless.sendall(b"0123456789abcdef x rank\n")
        with contextlib.suppress(OSError):
            endless.sendall(b"x" * 65536)
        for _ in range(200):
            opened.enter_context(socket.create_connection(("127.0.0.1", port)))
        yield


def test_strangers_at_the_port_keep_no_rank_from_joining() -> None:
    store, processes = start("visited", 1)
    port, _, _ = json.loads(store.get("where"))
    with strangers(port):
        store.set("visitors are there", "")
        assert end(processes) == [(0, "")] * 3
