"""A few rounds of the trials in tests/faults, which can be run for as long as one likes."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import labse

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.system


# `web` has a test of its own.
KILLED = "encode mine align clean clean-workers dedup vocab pretrain train train-2 index"
ODD = ("corpus convert", "filter", "info", "mine", "verify")


def run(script: str, *arguments: str) -> None:
    path = os.pathsep.join([str(Path(labse.__file__).parents[1]), str(ROOT)])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    command = [sys.executable, str(ROOT / "tests/faults" / script), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def only(names: Iterable[str]) -> list[str]:
    return [word for name in names for word in ("--only", name)]


@pytest.mark.timeout(600)
def test_killed_commands_end_in_the_same_bytes() -> None:
    pytest.importorskip("qdrant_edge")
    run("kill.py", "--times", "1", *only(KILLED.split()))


@pytest.mark.timeout(600)
def test_web_runs_that_are_killed_in_each_stage_end_in_the_same_bytes() -> None:
    run("kill.py", *only(["web", "web-global"]), "--times", "8", "--evenly")


@pytest.mark.timeout(600)
def test_changed_files_are_read_or_refused() -> None:
    run("fuzz.py", "--times", "500")


@pytest.mark.timeout(600)
def test_odd_values_of_options_work_or_are_told_in_one_line() -> None:
    run("options.py", *only(ODD), "--times", "40", "--seed", "1")


@pytest.mark.timeout(600)
def test_disturbed_commands_end_in_the_same_bytes() -> None:
    ways = [word for way in ("quota", "two", "lost") for word in ("--way", way)]
    run("disturb.py", *only(["mine"]), *ways, "--times", "1")
