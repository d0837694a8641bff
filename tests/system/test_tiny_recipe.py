"""The tiny recipe as `make demo` runs it, and every block of README and docs on what it leaves."""

import json
import re
import sys
from pathlib import Path

import pytest
from tests.system.conftest import ROOT, run

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
# docs/path.md has a test of its own, test_user_path.py.
PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if page.stem != "path" and BLOCK.search(page.read_text(encoding="utf-8"))
]
# Run elsewhere: `make` by CI itself, installation by tests/system/wheel.sh.
RUN_ELSEWHERE = re.compile(r"^(make|pip install) ")

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]


def test_the_tiny_recipe_learns_to_find_translations(workplace: Path) -> None:
    metrics = (workplace / "runs/tiny/run/metrics.jsonl").read_text().splitlines()
    losses = [row["loss"] for row in map(json.loads, metrics) if "loss" in row]
    assert losses[-1] < losses[0] / 5

    found = re.search(r"found (\d+) pairs, (\d+) of them", (workplace / "demo.log").read_text())
    num_found, num_right = int(found[1]), int(found[2])
    # Seen with this seed: about 175 of 200 at a precision of 0.87.
    assert num_right >= 150
    assert num_right / num_found >= 0.75


def test_the_tiny_model_ranks_translations_first_on_tatoeba(workplace: Path) -> None:
    command = ["labse", "evaluate", "tatoeba", "recipes/tiny/data/tatoeba", "--json"]
    result = run([*command, "--model", "runs/tiny/run/model"], workplace)
    assert result.returncode == 0, result.stderr
    # Seen with this seed: 0.82 over ten languages; chance is 0.001.
    assert json.loads(result.stdout)["mean"]["p_at_1"] >= 0.75


def test_running_the_recipe_again_finds_everything_done(workplace: Path) -> None:
    before = (workplace / "runs/tiny/run/model/model.safetensors").read_bytes()
    result = run(["bash", "recipes/tiny/run.sh", "runs/tiny"], workplace)
    assert result.returncode == 0, result.stderr[-2000:]
    assert (workplace / "runs/tiny/run/model/model.safetensors").read_bytes() == before


def blocks(page: Path) -> list[tuple[str, str]]:
    """Returns (language, code) of each block of a page."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def test_the_readme_is_short_and_has_blocks_of_both_languages() -> None:
    assert {language for language, _ in blocks(PAGES[0])} >= {"bash", "python"}
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize(
    "page", [pytest.param(p, id=p.stem, marks=pytest.mark.xdist_group(p.stem)) for p in PAGES]
)
def test_the_blocks_of_a_page_run_in_order(workplace: Path, page: Path) -> None:
    # Output is marked text; another language would need a way to run it.
    assert {language for language, _ in blocks(page)} <= {"bash", "python", "text"}
    commands = [code for language, code in blocks(page) if language == "bash"]
    lines = "".join(commands).splitlines(keepends=True)
    script = "".join(line for line in lines if not RUN_ELSEWHERE.match(line))
    # No pipefail: `labse mine ... | head` ends labse by a closed pipe, as it should.
    result = run(["bash", "-eu", "-c", script], workplace)
    assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-2000:]

    program = "".join(code for language, code in blocks(page) if language == "python")
    result = run([sys.executable, "-W", "error", "-c", program], workplace)
    assert result.returncode == 0, result.stderr[-2000:]
