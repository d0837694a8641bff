"""Text and pairs of two languages that are ciphers of each other, and their vocabulary."""

from pathlib import Path

import numpy as np
import pytest

from labse.config import parse_config
from labse.pretraining.config import PretrainConfig
from labse.vocab.folder import learn_vocabulary

BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 24,
    "initializer_range": 0.1,
}


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Holds `news.eng` and `pairs.tsv` (80 rows each, in runs of the alphabet) and `vocab/`."""
    generator = np.random.default_rng(0)
    letters = "abcdefghijklmnopqrst"
    lines, rows = [], ["source\ttarget\tsource_lang\ttarget_lang"]
    for start in generator.integers(0, 14, 80):
        words = " ".join(letters[start : start + 6])
        lines.append(words)
        rows.append(f"{words}\t{words.upper()}\teng\tdeu")
    (tmp_path / "news.eng").write_text("\n".join(lines) + "\n", "utf-8")
    (tmp_path / "pairs.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    learn_vocabulary([tmp_path / "pairs.tsv"], tmp_path / "vocab", vocab_size=100, min_count=1)
    return tmp_path


def build_config(**sections: dict[str, object]) -> PretrainConfig:
    """Returns a run of twelve steps in two stages; `sections` change single keys."""
    values: dict[str, dict[str, object]] = {
        "data": {
            "text": ["news.eng"],
            "pairs": ["pairs.tsv"],
            "max_seq_length": 20,
            "validation_examples": 4,
        },
        "masking": {},
        "model": {"bert": BERT},
        "train": {
            "stage_steps": [6, 6],
            "global_batch_size": 8,
            "micro_batch_size": 3,
            "lr": 0.01,
            "warmup_steps": 2,
            "log_every": 2,
            "eval_every": 6,
            "checkpoint_every": 4,
        },
    }
    merged = {name: value | sections.get(name, {}) for name, value in values.items()}
    return parse_config(PretrainConfig, merged, where="test")


@pytest.fixture
def config() -> PretrainConfig:
    return build_config()
