"""The programs in examples/, run with the libraries that they are for."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("name", "library", "expected"),
    [
        ("scikit_learn", "sklearn", "travel\tDer Zug hat Verspätung.\nfood\tIch möchte Brot"),
        ("langchain_search", "langchain_core", "The station is behind the church."),
        ("llama_index_search", "llama_index", "The station is behind the church."),
        ("opusfilter_score", "opusfilter", "Das ist ein Hund.\tThat is a dog.\n"),
        ("ray_encode", "ray", "2\t"),
        ("mteb_bitext", "mteb", "accuracy 1.00"),
    ],
)
def test_an_example_finds_what_it_looks_for(
    name: str, library: str, expected: str, tmp_path: Path
) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    (tmp_path / "lines.txt").write_text("Guten Morgen.\nGute Nacht.\n", encoding="utf-8")
    arguments = ["lines.txt"] if name == "ray_encode" else []
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments],
        cwd=tmp_path,
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert expected in done.stdout
