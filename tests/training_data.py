"""Tokenised pairs and small models that the tests of training share."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn

from labse.dual_encoder.data.batch import Batch
from labse.dual_encoder.data.pairs import TokenizedPairs, sides_of
from labse.network.config import BertConfig, DualEncoderConfig
from labse.network.dual_encoder import DualEncoder


def pairs_of(
    input_ids: NDArray[np.integer],
    lengths: Sequence[int] | NDArray[np.int64],
    numbers: NDArray[np.integer] | None = None,
) -> TokenizedPairs:
    """Makes pairs of one language pair and one file; sentences 2 i and 2 i + 1 if none are told."""
    if numbers is None:
        numbers = np.arange(len(lengths)).reshape(-1, 2)
    return TokenizedPairs(
        input_ids=input_ids.astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        pairs=numbers.astype(np.int32),
        pair_langs=np.zeros(len(numbers), np.int16),
        lang_pairs=("eng-zzz",),
        pair_corpora=np.zeros(len(numbers), np.int16),
        corpora=("file",),
        num_truncated=0,
    )


def random_pairs(
    num_pairs: int,
    *,
    seed: int = 0,
    num_more: int = 0,
    repeats: Mapping[tuple[int, int], tuple[int, int]] | None = None,
) -> TokenizedPairs:
    """Makes sentences of 2 to 8 pieces from 5 to 49.

    Args:
        num_pairs: pairs.
        seed: of the pieces.
        num_more: sentences that are in no pair, behind the others.
        repeats: places in the pairs, and the place of the sentence that stands there too.
    """
    generator = np.random.default_rng(seed)
    lengths = generator.integers(2, 9, 2 * num_pairs + num_more)
    input_ids = generator.integers(5, 50, lengths.sum())
    numbers = np.arange(2 * num_pairs).reshape(-1, 2)
    for place, other in (repeats or {}).items():
        numbers[place] = numbers[other]
    return pairs_of(input_ids, lengths, numbers)


def cipher_pairs(num_pairs: int = 400) -> TokenizedPairs:
    """Sentences over pieces 5 to 59 and their word-for-word translations over 60 to 114."""
    generator = np.random.default_rng(0)
    sources = [generator.integers(5, 60, generator.integers(3, 8)) for _ in range(num_pairs)]
    sides = [side for source in sources for side in (source, source[::-1] + 55)]
    sentences = [np.concatenate([[2], side, [3]]) for side in sides]
    return pairs_of(np.concatenate(sentences), [len(sentence) for sentence in sentences])


def word_tokenizer() -> Tokenizer:
    """One piece a word: w0 to w99 are ids 5 to 104."""
    vocab = {p: i for i, p in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])}
    vocab |= {f"w{i}": i + 5 for i in range(100)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def whole_batch(pairs: TokenizedPairs) -> Batch:
    """Gathers all pairs as one batch."""
    return Batch.gather(pairs, sides_of(np.arange(len(pairs.pairs))))


TINY_BERT = {
    "vocab_size": 50,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 16,
}


def tiny_bert(**changes: object) -> BertConfig:
    return BertConfig.model_validate(TINY_BERT | changes)


def small_model(
    layers: int,
    *,
    dropout: float = 0.0,
    dtype: torch.dtype = torch.float64,
    is_sparse: bool = True,
    bert: Mapping[str, object] | None = None,
    **options: object,
) -> DualEncoder:
    """Builds a model for `random_pairs` with the same random weights each time."""
    torch.manual_seed(0)
    dropouts = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), dropout)
    sizes = {"num_hidden_layers": layers, "initializer_range": 0.5} | dropouts | dict(bert or {})
    defaults = {"pooling": "mean", "projection": "linear", "max_seq_length": 16}
    config = DualEncoderConfig.model_validate({"bert": tiny_bert(**sizes)} | defaults | options)
    return DualEncoder(config, sparse_embeddings=is_sparse).to(dtype).train()


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: parameter.grad.to_dense()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def assert_equal_gradients(ours: nn.Module, theirs: nn.Module, tolerance: float) -> None:
    expected, found = gradients(theirs), gradients(ours)
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(
            found[name], gradient, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: n + m
        )
