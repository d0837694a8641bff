"""The notebooks of docs/notebooks, every cell, in a kernel of their own."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest
from tests.system.conftest import ROOT, run

NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        importlib.util.find_spec("nbclient") is None, reason="nbclient is not installed"
    ),
]


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.stem, marks=pytest.mark.xdist_group(p.stem)) for p in NOTEBOOKS]
)
def test_all_cells_of_a_notebook_run(path: Path, tmp_path: Path) -> None:
    # As in a clone: the notebooks look for the sample files two folders above.
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    folder = tmp_path / "docs/notebooks"
    folder.mkdir(parents=True)
    shutil.copy(path, folder)
    script = str(ROOT / "docs/site/run_notebooks.py")
    done = run([sys.executable, script, str(folder / path.name)], tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
