"""A run of seconds: a cipher in a TSV, its vocabulary and a configuration."""

from pathlib import Path

import numpy as np
import pytest

from labse.config import parse_config
from labse.dual_encoder.config import RunConfig
from labse.vocab.folder import learn_vocabulary

BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 16,
}


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Holds `pairs.tsv` (60 pairs in two languages, one copy, one blank) and `vocab/`."""
    generator = np.random.default_rng(0)
    rows = ["lang\tenglish\ttext", "deu\tsame\tsame", "deu\tblank\t "]
    for number in range(60):
        words = generator.choice(list("abcdefghij"), 5)
        cipher = " ".join(word.upper() for word in words)
        rows.append(f"{'deu' if number % 2 else 'fra'}\t{' '.join(words)}\t{cipher}")
    (tmp_path / "pairs.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    learn_vocabulary([tmp_path / "pairs.tsv"], tmp_path / "vocab", vocab_size=100, min_count=1)
    return tmp_path


@pytest.fixture
def run_config() -> RunConfig:
    """One layer, six steps; the size of the vocabulary is left out."""
    values: dict[str, object] = {
        "data": {"pairs": ["pairs.tsv"]},
        "model": {"bert": BERT, "max_seq_length": 16},
        "train": {
            "train_steps": 6,
            "global_batch_size": 8,
            "lr": 0.01,
            "warmup_steps": 1,
            "log_every": 2,
            "eval_every": 3,
            "checkpoint_every": 3,
        },
    }
    return parse_config(RunConfig, values, where="test")
