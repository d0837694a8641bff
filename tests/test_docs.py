"""The documentation as a whole: nothing is missing from it."""

import json
import re
import tomllib
from pathlib import Path

import labse

ROOT = Path(__file__).parents[1]


def test_the_python_reference_has_every_public_name() -> None:
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    shown = {path.rpartition(".")[2] for path in re.findall(r"^::: (\S+)$", page, re.MULTILINE)}
    assert shown == {name for name in labse.__all__ if not name.startswith("__")}


def test_every_page_stands_in_the_navigation() -> None:
    listed = re.findall(r" ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    pages = [page.name for page in (ROOT / "docs").glob("*.md")]
    pages += [f"notebooks/{page.stem}.md" for page in (ROOT / "docs/notebooks").glob("*.ipynb")]
    assert sorted(listed) == sorted(pages)


def test_the_notebooks_have_the_outputs_of_a_run() -> None:
    for path in (ROOT / "docs/notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", ())]
        assert any("image/png" in output.get("data", {}) for output in outputs), path.name
        assert all(output["output_type"] != "error" for output in outputs), path.name


def test_the_conda_recipe_asks_for_what_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    recipe = (ROOT / "recipes/conda/meta.yaml").read_text(encoding="utf-8")
    run = recipe.partition("  run:\n")[2].partition("\ntest:")[0]
    asked = {line.strip(" -").replace(" ", "") for line in run.splitlines()}
    assert asked == {"python" + project["requires-python"], *project["dependencies"]}
    assert f'version = "{labse.__version__}"' in recipe


def test_the_version_to_cite_is_the_version() -> None:
    assert f"\nversion: {labse.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_the_notice_names_the_data_files_of_others() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for path in (ROOT / "src/labse").rglob("*.tsv"):
        if "models" not in path.parts:
            assert path.relative_to(ROOT / "src").as_posix() in notice
