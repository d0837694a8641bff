"""The pages of README and docs: every block runs, in order, in an empty folder."""

import re
import sys
from pathlib import Path

import pytest
from tests.system.conftest import ROOT, run

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
README = ROOT / "README.md"
# docs/path.md has a test of its own, test_user_path.py.
PAGES = [
    page
    for page in (README, *sorted((ROOT / "docs").glob("*.md")))
    if page.stem != "path" and BLOCK.search(page.read_text(encoding="utf-8"))
]
# The longest comes first, so that at the end no worker waits for another that has it.
PAGES.sort(key=lambda page: page.stem != "training")
# Run elsewhere: `make` by CI itself, installation by tests/system/wheel.sh.
RUN_ELSEWHERE = re.compile(r"^(make|pip install) ")

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]


def blocks(page: Path) -> list[tuple[str, str]]:
    """Returns (language, code) of each block of a page."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def test_the_readme_is_short_and_has_blocks_of_both_languages() -> None:
    assert {language for language, _ in blocks(README)} >= {"bash", "python"}
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize(
    "page", [pytest.param(p, id=p.stem, marks=pytest.mark.xdist_group(p.stem)) for p in PAGES]
)
def test_the_blocks_of_a_page_run_in_order(tmp_path: Path, page: Path) -> None:
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")  # The sample files of a clone.
    # Output is marked text; another language would need a way to run it.
    assert {language for language, _ in blocks(page)} <= {"bash", "python", "text"}
    commands = [code for language, code in blocks(page) if language == "bash"]
    lines = "".join(commands).splitlines(keepends=True)
    script = "".join(line for line in lines if not RUN_ELSEWHERE.match(line))
    # No pipefail: `labse mine ... | head` ends labse by a closed pipe, as it should.
    result = run(["bash", "-eu", "-c", script], tmp_path)
    assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-2000:]

    program = "".join(code for language, code in blocks(page) if language == "python")
    result = run([sys.executable, "-W", "error", "-c", program], tmp_path)
    assert result.returncode == 0, result.stderr[-2000:]
