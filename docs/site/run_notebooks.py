"""Runs the notebooks of docs/notebooks; writes their outputs only if asked.

Use: python docs/site/run_notebooks.py [--write] [NOTEBOOK.ipynb ...]
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def run_notebook(path: Path, *, write: bool) -> None:
    """Runs all cells from the notebook's own folder; a cell that fails is an error."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=600, resources=resources, record_timing=False).execute()
    if write:
        # What changes with each run (counters, the version of Python) is left out, for small diffs.
        notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.execution_count, cell.metadata = None, {}
                cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
                for output in cell.outputs:
                    output.pop("execution_count", None)
                    if output.output_type == "execute_result":
                        output.execution_count = None
        nbformat.write(notebook, path)


if __name__ == "__main__":
    names = [Path(name) for name in sys.argv[1:] if name != "--write"]
    for path in names or sorted(NOTEBOOKS.glob("*.ipynb")):
        run_notebook(path, write="--write" in sys.argv)
        sys.stdout.write(f"{path.name}: all cells ran\n")
