"""The tiny recipe as `make demo` runs it."""

import json
import re
from pathlib import Path

import pytest
from tests.system.conftest import run

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
