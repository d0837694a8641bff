"""Rows that pieces share while a table is learnt: those of their character n-grams.

A piece that few sentences hold is then near pieces spelt like it from the first step on. At the end
the sums are written into the table, so a trained model has no n-grams and costs nothing more.

Dimensions: V pieces, N n-grams, T pieces looked up, G n-grams of these, H hidden.
Source: Bojanowski et al. 2017, arXiv 1607.04606, whose words are our pieces.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from labse.errors import LabseError
from labse.network.dual_encoder import DualEncoder
from labse.network.row_gradients import RowMerger
from labse.vocab.tokenizer import CONTINUATION, SPECIAL_TOKENS

__all__ = ["NgramRows", "PieceNgrams", "add_char_ngrams", "find_char_ngrams", "fold_char_ngrams"]

_WORD_START = "<"
_FOLD_ROWS = 1 << 14


@dataclass(frozen=True, slots=True)
class PieceNgrams:
    """Which n-grams each piece has.

    Attributes:
        ngrams: the (N) distinct ones; each is of two pieces at least.
        ids: numbers of n-grams, piece after piece.
        offsets: (V + 1); piece v has `ids[offsets[v] : offsets[v + 1]]`.
    """

    ngrams: tuple[str, ...]
    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]


def find_char_ngrams(tokenizer: Tokenizer, lengths: Iterable[int]) -> PieceNgrams:
    """Finds the n-grams that the pieces of a vocabulary share, upper and lower case alike.

    A piece that begins a word has a sign in front, so `<un` is none of `##unt`. What one piece
    alone has says nothing that its own row could not, and is left out, as are special tokens.

    Args:
        tokenizer: a WordPiece one; ids of its pieces are 0, 1, 2, ...
        lengths: in characters, the sign of a word's start among them.

    Raises:
        LabseError: ids have a gap.
    """
    lengths = sorted(set(lengths))
    ids = tokenizer.get_vocab()
    pieces = sorted(ids, key=ids.__getitem__)
    if pieces and ids[pieces[-1]] != len(pieces) - 1:
        raise LabseError(
            f"the vocabulary has {len(pieces):,} pieces and ids up to {ids[pieces[-1]]:,}; "
            "char_ngrams needs ids without gaps, so leave it out"
        )
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    special = added.union(SPECIAL_TOKENS)
    of_pieces = [[] if piece in special else list(_ngrams_of(piece, lengths)) for piece in pieces]
    num_pieces = Counter(itertools.chain.from_iterable(of_pieces))
    shared = tuple(ngram for ngram, count in num_pieces.items() if count > 1)
    numbers = {ngram: number for number, ngram in enumerate(shared)}
    kept = [[numbers[ngram] for ngram in ngrams if ngram in numbers] for ngrams in of_pieces]
    offsets = np.cumsum([0, *map(len, kept)])
    flat = np.fromiter(itertools.chain.from_iterable(kept), np.int64, count=int(offsets[-1]))
    return PieceNgrams(shared, flat, offsets)


def _ngrams_of(piece: str, lengths: Sequence[int]) -> Iterator[str]:
    """Yields the distinct n-grams of a piece, in the order of their first places."""
    is_start = not piece.startswith(CONTINUATION)
    spelling = piece.removeprefix(CONTINUATION).casefold()
    spelling = _WORD_START + spelling if is_start else spelling
    yield from dict.fromkeys(
        spelling[start : start + length]
        for length in lengths
        for start in range(len(spelling) - length + 1)
    )


class NgramRows(nn.Module):
    """Gives each piece the mean of the rows of its n-grams, 0 for one without any.

    The rows start at 0, so a model that gets them computes what it did.

    Args:
        piece_ngrams: the n-grams of each piece of the vocabulary.
        width: H.
        sparse: whether the table's gradient holds only the rows used.
    """

    offsets: Tensor
    ids: Tensor

    def __init__(self, piece_ngrams: PieceNgrams, width: int, *, sparse: bool) -> None:
        super().__init__()
        num_ngrams = len(piece_ngrams.ngrams)
        zeros = torch.zeros(num_ngrams, width)  # Given, so that no generator draws them.
        self.table = nn.Embedding(num_ngrams, width, sparse=sparse, _weight=zeros)
        if sparse:
            RowMerger().watch(self.table.weight)
        # Not in checkpoints: the vocabulary tells them.
        self.register_buffer("offsets", torch.from_numpy(piece_ngrams.offsets), persistent=False)
        self.register_buffer("ids", torch.from_numpy(piece_ngrams.ids), persistent=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Returns (..., H) for ids of any shape; repeated ids cost as much as others."""
        pieces_T = input_ids.reshape(-1).to(torch.int64)
        firsts_T = self.offsets[pieces_T]
        counts_T = self.offsets[pieces_T + 1] - firsts_T
        starts_T = counts_T.cumsum(0) - counts_T
        places_G = torch.arange(int(counts_T.sum()), device=pieces_T.device)
        ids_G = self.ids[places_G + (firsts_T - starts_T).repeat_interleave(counts_T)]
        # Each distinct row is read once, so that its gradient is one row too.
        distinct, inverse_G = torch.unique(ids_G, return_inverse=True)
        means_TH = F.embedding_bag(inverse_G, self.table(distinct), starts_T, mode="mean")
        return means_TH.view(*input_ids.shape, self.table.embedding_dim)


def add_char_ngrams(model: DualEncoder, piece_ngrams: PieceNgrams) -> None:
    """Lets the word rows of `model` share n-grams; it computes what it did."""
    word = model.bert.embeddings.word
    ngrams = NgramRows(piece_ngrams, word.embedding_dim, sparse=word.sparse)
    model.bert.embeddings.added_rows = ngrams.to(word.weight.device)


@torch.no_grad()
def fold_char_ngrams(model: DualEncoder) -> None:
    """Writes the n-grams of `model`, if it has any, into its word rows; it computes what it did."""
    embeddings = model.bert.embeddings
    if embeddings.added_rows is None:
        return
    pieces = torch.arange(embeddings.word.num_embeddings, device=embeddings.word.weight.device)
    for part in torch.split(pieces, _FOLD_ROWS):
        embeddings.word.weight[part] = embeddings.word_rows(part)
    embeddings.added_rows = None
