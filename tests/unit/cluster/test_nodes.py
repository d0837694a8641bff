"""What a node does with a call, and addresses at which no cluster is."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import labse
from labse.cluster.node_calls import call_step
from labse.cluster.on_ray import RayExecutor
from labse.cluster.tasks import run_step
from labse.encoder.check.cluster_check import probe_step
from labse.errors import LabseError, ResourceError, UsageError
from labse.files.atomic import sha256_file
from labse.files.stage import HASHES, Result


def copy_step(path: str, out: str) -> Result:
    Path(out).write_bytes(Path(path).read_bytes())
    return {"num_files": 1}


def test_a_node_tells_what_came_of_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(os.getcwd())  # The call changes it.
    (tmp_path / "a.txt").write_text("a")
    step = copy_step.__module__, copy_step.__qualname__
    options = {"version": labse.__version__, "folder": str(tmp_path)}
    kind, _, value = call_step(*step, {"path": "a.txt", "out": "b.txt"}, ("b.txt",), **options)
    hashes = {"b.txt": sha256_file(tmp_path / "a.txt")}  # The node hashes what it has written.
    assert (kind, value) == ("done", {"num_files": 1, HASHES: hashes})
    assert value == run_step(copy_step, {"path": "a.txt", "out": "b.txt"}, ["b.txt"])

    # An error comes as it is, with the lines of the node as a note.
    step = sha256_file.__module__, sha256_file.__qualname__
    kind, node, value = call_step(*step, {"path": "none.txt"}, **options)
    assert kind == "raised"
    assert isinstance(value, LabseError)
    assert value.__notes__[0].startswith(f"on {node}:")

    kind, _, value = call_step(*step, {"path": "a.txt"}, version="99.0", folder=".")
    assert kind == "unfit"
    assert "this machine has 99.0" in value


def test_a_node_that_does_not_see_the_shared_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "mark").write_text("mark")
    assert probe_step(str(tmp_path), "mark", None)["sees_mark"]
    told = probe_step(str(tmp_path / "elsewhere"), "mark", str(tmp_path / "no-model"))
    assert (told["sees_mark"], told["written"]) == (False, "")
    assert "no such model folder" in str(told["model_problem"])


def test_an_address_without_a_cluster_is_told_at_once() -> None:
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match="give auto, or an address"):
        RayExecutor("nonsense")
    with pytest.raises(ResourceError, match="no Ray cluster answers: Connection refused"):
        RayExecutor("ray://127.0.0.1:1")


def test_a_cluster_whose_token_is_not_here_is_told_in_a_line(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:  # Ray looks for the token first.
        address = f"127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, "-m", "labse", "cluster", "check", "--cluster", address, "."]
        environment = {**os.environ, "RAY_AUTH_MODE": "token", "HOME": str(tmp_path)}
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 4
    assert b"auth_token of its head to this machine" in done.stderr
    assert b"Traceback" not in done.stderr
