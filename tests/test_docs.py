"""The documentation as a whole: nothing is missing from it."""

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
    listed = re.findall(r"\b([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


def test_the_conda_recipe_asks_for_what_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    recipe = (ROOT / "recipes/conda/meta.yaml").read_text(encoding="utf-8")
    run = recipe.partition("  run:\n")[2].partition("\ntest:")[0]
    asked = {line.strip(" -").replace(" ", "") for line in run.splitlines()}
    assert asked == {"python" + project["requires-python"], *project["dependencies"]}
    assert f'version = "{labse.__version__}"' in recipe
