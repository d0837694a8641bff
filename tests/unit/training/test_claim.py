import signal
import subprocess
import sys
from pathlib import Path

import pytest

from labse.errors import UsageError
from labse.files.claim import claim_folder

HOLD = """
import pathlib, sys, time
from labse.files.claim import claim_folder
with claim_folder(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with claim_folder(tmp_path), pytest.raises(UsageError, match="another process"):
        claim_folder(tmp_path).__enter__()
    with claim_folder(tmp_path):
        pass


def test_a_process_that_is_killed_lets_go_of_its_folder(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match=rf"another process \({holder.pid} on .+\) is at work"):
            claim_folder(tmp_path).__enter__()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with claim_folder(tmp_path):
        pass
