"""What the system tests share: the tiny recipe, run once, and which tests stay on one worker."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_LINKED_BYTES = 1 << 20  # Larger files are never changed in place.


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of a file share its fixtures, so they stay together; pages of docs share none."""
    for item in items:
        if item.path.parent == Path(__file__).parent and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | {"PATH": path, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a fresh clone in which `make demo` has run: once, whatever the workers."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, log = base / "demo", base / "demo" / "demo.log"
    folder.mkdir(exist_ok=True)
    with (base / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not log.exists():
            (folder / "recipes").symlink_to(ROOT / "recipes")
            result = run(["bash", "recipes/tiny/run.sh", "runs/tiny"], folder)
            assert result.returncode == 0, result.stderr[-2000:]
            log.write_text(result.stdout + result.stderr, encoding="utf-8")
    return folder


@pytest.fixture
def workplace(demo: Path, tmp_path: Path) -> Path:
    """A copy of that folder for one test, which another worker does not see."""
    folder = tmp_path / "clone"
    shutil.copytree(demo, folder, symlinks=True, copy_function=_link_or_copy)
    return folder


def _link_or_copy(source: str, target: str) -> None:
    if os.path.getsize(source) > _LINKED_BYTES:
        os.link(source, target)
    else:
        shutil.copy2(source, target)
