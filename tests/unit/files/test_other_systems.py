"""Systems without what Linux has: the same files come out, and folders are locked."""

import subprocess
import sys
from pathlib import Path

WITHOUT = """
import os, sys
for name in ("sched_getaffinity", "posix_fallocate", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"):
    delattr(os, name)
sys.modules["fcntl"] = None
"""
# As the library reference has it: a byte that another handle has locked is an OSError.
LOCKS_OF_WINDOWS = """
import types
held = set()
def locking(descriptor, mode, count):
    key = (os.fstat(descriptor).st_ino, os.lseek(descriptor, 0, os.SEEK_CUR))
    if key in held:
        raise PermissionError(13, "Permission denied")
    held.add(key)
sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
"""


def run_without(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT + code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_encode_and_mine_work_without_the_calls_of_linux(tmp_path: Path) -> None:
    (tmp_path / "a.de").write_text("Das ist ein Hund.\nWo wohnst du?\n", encoding="utf-8")
    (tmp_path / "a.en").write_text("Where do you live?\nThat is a dog.\n", encoding="utf-8")
    done = run_without(
        "from labse.cli import main\n"
        "assert main(['encode', 'a.de', '--out', 'vectors']) == 0\n"
        "raise SystemExit(main(['mine', 'a.de', 'a.en', '--work', 'work', '--out', 'mined.tsv']))",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "this file system has no locks" in done.stderr
    assert len((tmp_path / "mined.tsv").read_text(encoding="utf-8").splitlines()) == 3


def test_a_folder_is_claimed_by_the_locks_of_windows(tmp_path: Path) -> None:
    done = run_without(
        LOCKS_OF_WINDOWS + "from pathlib import Path\n"
        "from labse.files.atomic import claim_folder\n"
        "with claim_folder(Path('.')), claim_folder(Path('.')):\n"
        "    pass\n",
        tmp_path,
    )
    assert "another process" in done.stderr


def test_the_space_of_a_new_array_is_taken_and_its_header_stays(tmp_path: Path) -> None:
    done = run_without(
        "import numpy as np\n"
        "from labse.files.npy import map_new_array\n"
        "map_new_array('a.npy', np.int64, (5000,))[:] = range(5000)\n"
        "assert np.load('a.npy').tolist() == list(range(5000))\n",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 40_000
