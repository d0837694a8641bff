"""Text and pairs of two languages that are ciphers of each other, as files and as numbers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from labse.config import parse_config
from labse.pretraining.batches import BatchBuilder, ExampleOrder, group_probs, split_examples
from labse.pretraining.config import PretrainConfig
from labse.pretraining.examples import ExampleCollector
from labse.pretraining.gradients import TrainingData, ValidationSet
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


SMALL_BERT = BERT | {"vocab_size": 60, "max_position_embeddings": 16}


def build_small_config(
    bert: Mapping[str, object] | None = None, **options: object
) -> PretrainConfig:
    """Returns a run of twelve steps in two stages on `build_small_data`."""
    defaults: dict[str, object] = {
        "seed": 1,
        "stage_steps": [6, 6],
        "global_batch_size": 8,
        "micro_batch_size": 3,
        "lr": 0.01,
        "warmup_steps": 2,
        "log_every": 4,
        "eval_every": 6,
        "checkpoint_every": 5,
    }
    values = {
        "data": {"text": ["x.eng"], "max_seq_length": 16},
        "model": {"bert": SMALL_BERT | dict(bert or {})},
        "train": defaults | options,
    }
    return parse_config(PretrainConfig, values, where="test")


def build_small_data(config: PretrainConfig) -> TrainingData:
    """Runs of numbers, whose neighbours tell a hidden one; the target side is 25 higher."""
    collector = ExampleCollector()
    generator = np.random.default_rng(0)
    for first, size in zip(
        generator.integers(5, 25, 120), generator.integers(4, 9, 120), strict=True
    ):
        run = list(range(first, first + size // 2))
        collector.add("mlm", "eng", [2, *run, *run[::-1], 3])
        collector.add("tlm", "eng-deu", [2, *run, 3, *(n + 25 for n in run), 3], len(run) + 2)
    examples = collector.build()
    seed = config.train.seed
    split = split_examples(examples, num_validation=6, seed=seed)
    builder = BatchBuilder(examples, config.masking, np.arange(5, dtype=np.int32), 4, 60)
    probs = group_probs(examples, smoothing_exponent=0.7, tlm_share=None)
    batch_size = config.train.global_batch_size
    order = ExampleOrder(split.train, probs, batch_size=batch_size, seed=seed)
    return TrainingData(order, builder, ValidationSet(builder, split.validation, seed))
