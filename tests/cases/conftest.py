"""Runs the commands of the cases in this process, in a folder of their own."""

from pathlib import Path

import pytest
from tests.unit.cli.conftest import Ran, Run, run

__all__ = ["Ran", "Run", "run"]


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path
