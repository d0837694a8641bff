from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    for name in "ab":
        (tmp_path / name).write_text("".join(f"line {n} of {name}\n" for n in range(3000)))
    return tmp_path / "a", tmp_path / "b"


def test_a_dry_run_tells_time_memory_and_disk_and_leaves_nothing(
    run: Run, files: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    ran = run("mine", *files, "--model", model, "--dry-run", "--out", tmp_path / "o.tsv")
    assert ran.code == 0
    rows = dict(line.split("\t") for line in ran.out.splitlines())
    assert rows["lines"].startswith("3,000 and 3,000")
    assert list(rows) == ["lines", "time", "memory", "disk"]
    assert not (tmp_path / "o.tsv").exists()


def test_standard_input_cannot_be_tried(run: Run, files: tuple[Path, Path], model: Path) -> None:
    ran = run("mine", "-", files[1], "--model", model, "--dry-run")
    assert ran.code == 2
    assert "--dry-run reads the input" in ran.err
