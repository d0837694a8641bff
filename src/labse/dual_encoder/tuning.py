"""Settings for training a model further on somebody's own pairs, where none are stated.

Source: docs/experiments.md, 2026-11-22, for a model without layers; Devlin et al., arXiv
1810.04805, appendix A.3, for the learning rate of one with layers.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from labse.corpus.readers import read_pairs
from labse.errors import LabseError
from labse.network.config import DualEncoderConfig

__all__ = ["count_pairs", "tuning_overrides"]

_MAX_BATCH_SIZE = 512
_EPOCHS = 3
_LAYERS_MICRO_BATCH_SIZE = 64  # BERT-Base at 64 tokens keeps about 7 GiB of it.


def count_pairs(files: Sequence[str], source_lang: str | None, target_lang: str | None) -> int:
    """Reads files of pairs once and returns their rows.

    Raises:
        LabseError, UsageError: see `read_pairs`; or there are no rows.
    """
    num_pairs = sum(
        1
        for file in files
        for _ in read_pairs(Path(file), source_lang=source_lang, target_lang=target_lang)
    )
    if not num_pairs:
        raise LabseError(f"{', '.join(files)}: empty, there are no rows")
    return num_pairs


def tuning_overrides(files: Sequence[str], num_pairs: int, model: DualEncoderConfig) -> list[str]:
    """Returns the whole configuration of a run as `section.key=value`; later ones overrule it.

    Three passes over the pairs in batches of 512, or half of the pairs if there are fewer than
    1,024; equal sentences are masked, so that any pairs will do. A model without layers moves its
    rows by AdaGrad, one with layers by AdamW at BERT's rate for fine-tuning.

    Args:
        files: of pairs.
        num_pairs: in them.
        model: the sizes of the model to start from.
    """
    batch_size = min(_MAX_BATCH_SIZE, max(2, num_pairs // 2))
    steps = max(1, -(-_EPOCHS * num_pairs // batch_size))
    values: dict[str, object] = {
        "data.pairs": list(files),
        "data.repeats": "mask",
        "train.train_steps": steps,
        "train.global_batch_size": batch_size,
        "train.logit_scale": 20.0,
        "train.logit_margin": 0.1,
        "train.sparse_embeddings": True,
        "train.adam_eps": 1e-8,
        "train.warmup_steps": steps // 10,
        "train.log_every": max(1, steps // 10),
        "train.eval_every": max(1, steps // 4),
        "train.checkpoint_every": max(1, min(500, steps)),
    }
    if model.bert.num_hidden_layers == 0:
        values |= {"train.embedding_lr": 0.01, "train.lr": 2e-4}
    else:
        values |= {"train.lr": 2e-5, "train.embedding_optimizer": "adamw"}
        values |= {"train.embedding_lr": 2e-5, "train.weight_decay": 0.01}
        if batch_size > _LAYERS_MICRO_BATCH_SIZE:
            values["train.micro_batch_size"] = _LAYERS_MICRO_BATCH_SIZE
    # JSON's strings, numbers and lists are TOML's too.
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
