import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

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
