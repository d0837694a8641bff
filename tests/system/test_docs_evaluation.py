"""Every block of docs/evaluation.md runs, on a random model of the folder that the page names."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import labse
from labse.bert.config import BertConfig
from labse.dual_encoder.config import DualEncoderConfig
from labse.dual_encoder.folder import ModelFolder, write_model_folder
from labse.dual_encoder.weights import expected_shapes
from labse.vocab.tokenizer import SPECIAL_TOKENS, load_tokenizer, save_vocabulary

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "evaluation.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.M)


def write_random_model(folder: Path) -> None:
    """Writes a bag of characters: two sentences are near that share many."""
    characters = [chr(code) for code in range(33, 127)]
    folder.mkdir(parents=True)
    vocab = folder.parent / "vocab"
    pieces = [*SPECIAL_TOKENS, *characters, *(f"##{character}" for character in characters)]
    save_vocabulary(vocab, pieces)
    bert = BertConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=0,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    config = DualEncoderConfig(
        bert=bert, max_seq_length=64, pooling="mean", projection="linear", embedding_size=None
    )
    generator = np.random.default_rng(1)
    weights = {
        name: generator.normal(float("Norm.weight" in name), 0.3, shape).astype(np.float32)
        for name, shape in expected_shapes(config).items()
    }
    model = ModelFolder(config=config, weights=weights, tokenizer=load_tokenizer(vocab))
    folder.rmdir()
    write_model_folder(folder, model, vocab_folder=vocab, manifest={"seed": 1})


def test_every_block_of_the_page_runs_as_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    write_random_model(tmp_path / "runs" / "tiny" / "run" / "model")
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    program = tmp_path / "bin" / "labse"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m labse.cli "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(labse.__file__).parents[1]),
    }
    for command in (
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks("bash"))],
        [sys.executable, "-W", "error", "-c", "\n".join(blocks("python"))],
    ):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    names = sorted(path.name for path in (tmp_path / "reports").iterdir())
    assert names == ["bucc", "retrieval-toy", "xsim-toy"]
