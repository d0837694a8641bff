"""Model folders with random weights, for tests of what reads them; torch is not imported."""

from pathlib import Path

import numpy as np

from labse.model_folder.folder import ModelFolder
from labse.model_folder.weights import expected_shapes
from labse.network.config import DualEncoderConfig
from labse.vocab.tokenizer import load_tokenizer


def random_folder(
    vocab_folder: Path,
    bert: dict[str, int],
    *,
    seed: int,
    scale: float,
    scales: tuple[float, float] | None = None,
    **settings: object,
) -> ModelFolder:
    """Makes a model for a vocabulary, no bias and no scale left at 0 or 1.

    Args:
        bert: sizes beside that of the vocabulary.
        scale: deviation of the weights.
        scales: deviation of the word embeddings and of vectors, if another.
    """
    tokenizer = load_tokenizer(vocab_folder)
    bert = {"vocab_size": tokenizer.get_vocab_size(), **bert}
    config = DualEncoderConfig.model_validate({"bert": bert, **settings})
    generator = np.random.default_rng(seed)
    weights = {}
    for name, shape in expected_shapes(config).items():
        own = scale
        if scales and ("word_embeddings" in name or len(shape) == 1):
            own = scales["word_embeddings" not in name]
        mean = float("Norm.weight" in name)
        weights[name] = generator.normal(mean, own, shape).astype(np.float32)
    return ModelFolder(config=config, weights=weights, tokenizer=tokenizer)
