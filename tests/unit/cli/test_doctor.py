import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_a_sound_machine_gives_code_0(run: Run, model: Path) -> None:
    ran = run("doctor", "--model", model)
    assert ran.code == 0
    lines = {line.split()[1]: line for line in ran.out.splitlines()}
    assert {"labse", "processor", "threads", "runtime", "locale"} <= set(lines)
    found = json.loads(run("doctor", "--model", model, "--json").out)
    assert found["is_well"] is True


def test_a_model_that_cannot_be_loaded_gives_code_3(run: Run, tmp_path: Path) -> None:
    ran = run("doctor", "--model", tmp_path)
    assert ran.code == 3
    assert "FAIL  model" in ran.out
    assert json.loads(run("doctor", "--model", tmp_path, "--json").out)["is_well"] is False
