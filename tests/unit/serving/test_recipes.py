"""The files of an operator, as far as they can be read without Docker."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]


def minor_version(pattern: str, path: str) -> str:
    found = re.search(pattern + r"v?(\d+\.\d+)\.\d+", (ROOT / path).read_text("utf-8"))
    assert found is not None, path
    return found[1]


def test_the_server_of_the_compose_file_is_one_that_the_client_takes() -> None:
    server = minor_version("image: qdrant/qdrant:", "recipes/serve/compose.yaml")
    assert server == minor_version("qdrant-client==", "constraints.txt")


def test_the_image_is_built_with_every_file_that_the_package_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found = re.search(r"COPY (pyproject\.toml .*) \./", (ROOT / "Dockerfile").read_text("utf-8"))
    assert found is not None
    assert {project["readme"], *project["license-files"]} <= set(found[1].split())
