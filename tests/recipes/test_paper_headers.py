"""The commands without data in the headers of `recipes/paper` run as they are written."""

import shlex
from pathlib import Path

import pytest

from labse.cli import main

_ROOT = Path(__file__).parents[2]
_RECIPES = sorted((_ROOT / "recipes" / "paper").glob("*.toml"))


@pytest.mark.parametrize("recipe", _RECIPES, ids=lambda path: path.stem)
def test_the_dry_run_of_a_header_tells_the_time(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = recipe.read_text("utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith("#") and "--dry-run --hardware" in line)
    monkeypatch.chdir(_ROOT)
    assert main(shlex.split(line.partition(": labse ")[2])) == 0
    assert "time  " in capsys.readouterr().out
