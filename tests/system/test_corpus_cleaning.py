"""Runs of `labse corpus clean` and `dedup` that are killed, by worker and whole, and go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import labse

pytestmark = pytest.mark.system
SRC = Path(labse.__file__).parents[1]
NUM_ROWS = 4_000


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "web.txt"
    rows = (f"Line {n % 7919} tells of the {n % 613} things near the river {n % 31}.\n" * 3
            if n % 5 else "Save | Open | Close © 2020\n" for n in range(NUM_ROWS))  # fmt: skip
    path.write_text("".join(rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, file: Path) -> Path:
    """A folder of a run that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    finish(start("clean", file, out, workers=1))
    return out


def start(command: str, file: Path, out: Path, workers: int = 2) -> subprocess.Popen[str]:
    arguments = ["corpus", command, str(file), "--lang", "en", "--out", str(out)]
    arguments += ["--rows-per-shard", "500", "--workers", str(workers)]
    arguments += ["--no-language-id"] if command == "clean" else []
    environment = {"PYTHONPATH": str(SRC), "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "labse.cli", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=110)
    assert process.returncode == 0, errors
    return errors


def tree(out: Path) -> dict[str, bytes]:
    """Returns all but the lock and the journal, which name their process and folder."""
    files = {path.relative_to(out): path for path in sorted(out.rglob("*")) if path.is_file()}
    return {
        str(name): path.read_bytes()
        for name, path in files.items()
        if name.parts[0] not in (".lock", "progress.jsonl")
    }


def children(process: subprocess.Popen[str]) -> list[int]:
    listing = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(child) for child in listing.read_text().split()] if listing.exists() else []


def wait_for(pattern: str, out: Path, count: int, process: subprocess.Popen[str]) -> None:
    while len(list(out.glob(pattern))) < count and process.poll() is None:
        time.sleep(0.01)


@pytest.mark.parametrize("step", ["shards/web/part-*", "scores/web/part-*", "kept/web/part-*"])
def test_a_run_killed_in_any_step_goes_on_to_the_same_bytes(
    tmp_path: Path, file: Path, whole: Path, step: str
) -> None:
    process = start("clean", file, tmp_path / "killed")
    wait_for(step, tmp_path / "killed", 3, process)
    workers = children(process)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers):
        assert time.monotonic() < deadline, "workers outlive the run"
        time.sleep(0.05)
    finish(start("clean", file, tmp_path / "killed"))
    assert tree(tmp_path / "killed") == tree(whole)


def test_a_killed_worker_is_replaced(tmp_path: Path, file: Path, whole: Path) -> None:
    process = start("clean", file, tmp_path / "killed")
    wait_for("scores/web/part-*", tmp_path / "killed", 2, process)
    for worker in children(process)[-1:]:
        os.kill(worker, signal.SIGKILL)
    finish(process)
    assert tree(tmp_path / "killed") == tree(whole)


def test_a_killed_dedup_goes_on_to_the_same_bytes(tmp_path: Path, file: Path) -> None:
    pytest.importorskip("xxhash")
    finish(start("dedup", file, tmp_path / "whole", workers=1))
    process = start("dedup", file, tmp_path / "killed")
    wait_for(".work/pieces/*/*.parquet", tmp_path / "killed", 1, process)
    process.kill()
    process.communicate()
    finish(start("dedup", file, tmp_path / "killed"))
    assert tree(tmp_path / "killed") == tree(tmp_path / "whole")


def test_a_full_disk_is_one_line_and_exit_code_4(tmp_path: Path, file: Path) -> None:
    """A limit on the size of files stands for a full disk: the same code path."""
    limited = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)); "
    limited += "from labse.cli import main; sys.exit(main())"
    arguments = ["corpus", "clean", str(file), "--lang", "en", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", limited, *arguments, "--no-language-id"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(SRC), "PATH": os.environ["PATH"]},
    )
    assert done.returncode == 4, done.stderr
    assert "cannot be written" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("*.tmp"))
