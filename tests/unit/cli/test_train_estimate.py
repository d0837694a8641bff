import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labse.config import load_config
from labse.dual_encoder.config import RunConfig
from labse.pretraining.config import PretrainConfig

Run = Callable[..., Any]

PAPER = Path(__file__).parents[3] / "recipes" / "paper"
RELEASED = PAPER / "released.toml"


def test_every_recipe_of_the_paper_loads_and_every_line_has_its_source() -> None:
    types = {"pretraining.toml": PretrainConfig}
    for path in sorted(PAPER.glob("*.toml")):
        load_config(types.get(path.name, RunConfig), path)
        for line in path.read_text().splitlines():
            assert "=" not in line or "# " in line, f"{path.name}: {line}"


@pytest.mark.parametrize("name", ["paper-v1.toml", "released.toml"])
def test_the_paper_is_told_without_data(run: Run, name: str) -> None:
    ran = run("train", PAPER / name, "--dry-run", "--hardware", "tpu-v3", "--devices", 16,
              "--set", "train.precision=bfloat16")  # fmt: skip
    assert ran.code == 0, ran.err
    # BERT-Base with 501,153 pieces; Hugging Face's LaBSE has as many parameters.
    assert "470,926,848" in ran.out
    assert "at the peak of tpu-v3, 123 TFLOP/s in bfloat16" in ran.out


def test_json_has_the_numbers_of_the_table(run: Run) -> None:
    ran = run("train", RELEASED, "--dry-run", "--json", "--tflops", 100)
    found = json.loads(ran.out)
    assert found["num_parameters"] == 470_926_848
    assert found["step_tokens"] == 2 * 4096 * 32
    assert found["seconds"] == {"at 100 TFLOP/s": found["run_flops"] / 1e14}
    assert found["memory"]["total"] == sum(
        value for key, value in found["memory"].items() if key != "total"
    )


def test_an_assumed_vocabulary_is_told_and_a_stated_one_is_not(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[data]\npairs = ["x"]\n')
    assert "assumed: 501,153 pieces" in run("train", config, "--dry-run").err
    stated = run("train", config, "--dry-run", "--set", "model.bert.vocab_size=1000")
    assert "assumed" not in stated.err
    assert "assumed" not in run("train", RELEASED, "--dry-run").err


def test_a_model_without_layers_has_no_time_from_its_operations(run: Run) -> None:
    options = ("--dry-run", "--tflops", 100, "--set", "model.bert.num_hidden_layers=0")
    ran = run("train", RELEASED, *options)
    assert ran.code == 0
    assert "no time is told" in ran.err
    assert "TFLOP/s" not in ran.out
    assert json.loads(run("train", RELEASED, *options, "--json").out)["seconds"] == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hardware", "h100"], "are for --dry-run"),
        (["--dry-run", "--hardware", "abacus"], "--hardware abacus: unknown; known: h100"),
        (["--dry-run", "--hardware", "tpu-v3"], "no peak of float32 is known"),
    ],
)
def test_what_cannot_be_told_is_a_usage_error(run: Run, options: list[str], message: str) -> None:
    ran = run("train", RELEASED, *options)
    assert ran.code == 2
    assert message in ran.err
