"""Runs a function of a test module in several processes, in the environment that torchrun makes.

python forks.py MODULE.py FOLDER 2 4    calls work(FOLDER / "2") in 2 processes, then "4" in 4

One process imports torch and all others are copies of it, which saves their seconds of importing.
"""

import importlib.util
import os
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path


def main(module: str, folder: str, *sizes: str) -> int:
    """Returns 0 if every process has ended well."""
    sys.path.append(str(Path(__file__).parents[2]))  # For what test modules share.
    work = load(Path(module)).work
    codes = []
    for size in map(int, sizes):
        place = Path(folder) / str(size)
        place.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        forks = [fork(work, place, rank, size, port) for rank in range(size)]
        codes += [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in forks]
    return max(map(abs, codes))


def load(path: Path) -> object:
    """Imports a file by its path, under its own name so that its dataclasses find it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def fork(work: Callable[[Path], None], place: Path, rank: int, size: int, port: int) -> int:
    """Starts one process and returns its number."""
    if pid := os.fork():
        return pid
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
    os.environ.update(where | {"RANK": str(rank), "WORLD_SIZE": str(size)})
    code = 1
    try:
        work(place)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
