"""A pre-training run that is killed at random moments ends in the bytes of one that was not."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import labse

pytestmark = pytest.mark.system

CONFIG = """
[data]
text = ["news.eng"]
pairs = ["pairs.tsv"]
max_seq_length = 24
[model.bert]
hidden_size = 16
num_hidden_layers = 2
num_attention_heads = 2
intermediate_size = 24
max_position_embeddings = 24
[train]
stage_steps = [40, 40]
global_batch_size = 8
warmup_steps = 10
log_every = 5
eval_every = 40
checkpoint_every = 10
"""
NUM_KILLS = 2


def start(folder: Path, *arguments: object) -> "subprocess.Popen[bytes]":
    environment = os.environ | {
        "PYTHONPATH": str(Path(labse.__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "labse.cli", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def test_a_run_that_is_killed_ends_in_the_bytes_of_one_that_is_not(tmp_path: Path) -> None:
    lines = [f"{'abcdefgh'[n % 8]} b c d" for n in range(100)]
    (tmp_path / "news.eng").write_text("\n".join(lines) + "\n")
    rows = ["lang\tenglish\ttext", *(f"deu\t{line}\t{line.upper()}" for line in lines)]
    (tmp_path / "pairs.tsv").write_text("\n".join(rows) + "\n")
    (tmp_path / "config.toml").write_text(CONFIG)
    assert start(tmp_path, "vocab", "pairs.tsv", "--out", "vocab", "--min-count", 1).wait() == 0
    command = ("pretrain", "config.toml", "--vocab", "vocab", "--out")
    assert start(tmp_path, *command, "straight").wait() == 0

    moments = random.Random(1)
    for _ in range(NUM_KILLS):
        process = start(tmp_path, *command, "killed")
        metrics = tmp_path / "killed" / "metrics.jsonl"
        lines_before = len(metrics.read_bytes().splitlines()) if metrics.exists() else 0
        while process.poll() is None:  # Until it has got somewhere.
            found = len(metrics.read_bytes().splitlines()) if metrics.exists() else 0
            if found > lines_before:
                break
            time.sleep(0.05)
        try:
            process.wait(moments.uniform(0, 0.3))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert start(tmp_path, *command, "killed").wait() == 0
    for part in ("stage-1-layers", "model"):
        names = [tmp_path / run / part / "model.safetensors" for run in ("killed", "straight")]
        assert names[0].read_bytes() == names[1].read_bytes()
    assert not list((tmp_path / "killed").glob(".*.tmp"))
