import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

PAPER = Path(__file__).parents[3] / "recipes" / "paper" / "pretraining.toml"

CONFIG = """
[data]
text = ["news.eng"]
pairs = ["pairs.tsv"]
max_seq_length = 16
validation_examples = 2
[model.bert]
hidden_size = 8
num_hidden_layers = 2
num_attention_heads = 2
intermediate_size = 8
max_position_embeddings = 16
[train]
stage_steps = [2, 2]
global_batch_size = 4
warmup_steps = 1
log_every = 2
eval_every = 2
checkpoint_every = 2
"""


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    """Holds config.toml, news.eng, pairs.tsv and vocab/."""
    lines = [f"{'abcdefgh'[n % 8]} b c d" for n in range(40)]
    (tmp_path / "news.eng").write_text("\n\n".join(lines) + "\n")
    rows = ["lang\tenglish\ttext", *(f"deu\t{line}\t{line.upper()}" for line in lines)]
    (tmp_path / "pairs.tsv").write_text("\n".join(rows) + "\n")
    (tmp_path / "config.toml").write_text(CONFIG)
    options = ("--out", tmp_path / "vocab", "--min-count", 1)
    assert run("vocab", tmp_path / "pairs.tsv", *options).code == 0
    return tmp_path


def test_a_run_prints_columns_scores_and_where_the_model_is(run: Run, folder: Path) -> None:
    options = ("--vocab", folder / "vocab", "--out", folder / "run", "--json")
    ran = run("pretrain", folder / "config.toml", *options)
    assert ran.code == 0, ran.err
    summary = json.loads(ran.out)
    assert summary["model_folder"] == str(folder / "run" / "model")
    assert (summary["step"], summary["num_layers"]) == (4, 2)
    lines = ran.err.splitlines()
    header = next(i for i, line in enumerate(lines) if "tokens_per_second" in line)
    assert lines[header + 1].split()[:2] == ["2", "1"]
    assert any("mlm_perplexity" in line for line in lines)
    assert "mlm_eng_perplexity" not in ran.err
    assert "mlm_eng_perplexity" in (folder / "run" / "metrics.jsonl").read_text()


def test_a_stage_is_grown_with_its_own_vocabulary(run: Run, folder: Path) -> None:
    options = ("--vocab", folder / "vocab", "--out", folder / "run")
    assert run("pretrain", folder / "config.toml", *options).code == 0
    grow = ("--grow", folder / "run" / "stage-1-layers", "--out", folder / "grown")
    ran = run("pretrain", folder / "config.toml", *grow, "--set", "train.stage_steps=[1]")
    assert (ran.code, ran.out) == (0, "")
    assert "2 layers" in ran.err


def test_wrong_use_is_one_line_and_code_2(run: Run, folder: Path) -> None:
    ran = run("pretrain", folder / "config.toml", "--out", folder / "run")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "give --vocab" in ran.err
    options = ("--vocab", folder / "vocab", "--out", folder / "run")
    ran = run("pretrain", folder / "config.toml", *options, "--set", "masking.mask_share=0.1")
    assert ran.code == 2
    assert "did you mean 'masked_share'" in ran.err
    ran = run("pretrain", folder / "config.toml", "--vocab", folder / "vocab")
    assert (ran.code, "give --out" in ran.err) == (2, True)
    ran = run("pretrain", folder / "config.toml", *options, "--hardware", "h100")
    assert (ran.code, "are for --dry-run" in ran.err) == (2, True)
    assert not (folder / "run").exists()


def test_the_stages_of_the_paper_are_told_without_data(run: Run) -> None:
    ran = run("pretrain", PAPER, "--dry-run", "--hardware", "v100", "--devices", 64)
    assert ran.code == 0, ran.err
    blocks = ran.out.split("\n\n")
    for number, (layers, steps) in enumerate(((3, "400,000"), (6, "800,000"), (12, "1,800,000"))):
        assert blocks[number].startswith(f"stage {number + 1} of 3, layers: {layers}\n")
        assert re.search(rf"all steps +{steps}\n", blocks[number])
        assert "at the peak of v100, 15.7 TFLOP/s in float32" in blocks[number]
    # Hugging Face's BertForMaskedLM of these sizes has as many parameters, its pooler left out.
    assert "471,429,537" in blocks[2]
    assert re.match(r"the run\nall steps +3,000,000\n", blocks[3])


@pytest.mark.parametrize("name", ["tiny/pretrain.toml", "pretrain-helps/pretrain.toml"])
def test_every_recipe_loads_and_an_assumed_vocabulary_is_told(run: Run, name: str) -> None:
    ran = run("pretrain", PAPER.parents[1] / name, "--dry-run", "--tflops", 0.5)
    assert ran.code == 0, ran.err
    assert "assumed: 501,153 pieces" in ran.err


def test_json_has_each_stage_and_their_sum(run: Run) -> None:
    ran = run("pretrain", PAPER, "--dry-run", "--tflops", 100, "--json")
    found = json.loads(ran.out)
    stages = found["stages"]
    assert [stage["num_layers"] for stage in stages] == [3, 6, 12]
    assert stages[0]["step_tokens"] == 8192 * 512
    assert found["run_flops"] == sum(stage["run_flops"] for stage in stages)
    assert found["seconds"] == {"at 100 TFLOP/s": pytest.approx(found["run_flops"] / 1e14)}


def test_a_dry_run_takes_the_sizes_of_a_vocabulary_and_of_a_model_to_grow(
    run: Run, folder: Path
) -> None:
    config = folder / "config.toml"
    ran = run("pretrain", config, "--vocab", folder / "vocab", "--dry-run", "--json")
    num_pieces = len((folder / "vocab" / "vocab.txt").read_text().splitlines())
    assert json.loads(ran.out)["stages"][0]["parameters"]["word pieces"] == 8 * num_pieces
    done = run("pretrain", config, "--vocab", folder / "vocab", "--out", folder / "run", "--json")
    summary = json.loads(done.out)
    assert json.loads(ran.out)["stages"][1]["num_parameters"] == summary["num_parameters"]

    config.write_text(CONFIG.partition("[model.bert]")[0] + "[train]\nstage_steps = [5]\n")
    grow = ("--grow", folder / "run" / "model", "--dry-run", "--json")
    (stage,) = json.loads(run("pretrain", config, *grow).out)["stages"]
    assert (stage["num_layers"], stage["train_steps"]) == (4, 5)
