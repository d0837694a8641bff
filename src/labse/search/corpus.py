"""Questions to a corpus that stays in memory: neighbours, paraphrases, groups of like sentences.

Takes: (N, D) vectors. Gives: cosines and row numbers, in the shapes of sentence-transformers.
Source: sentence-transformers 6, `util`, whose results these equal; ties go by index.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypedDict, Unpack, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from labse.files.npy import Vectors, as_float32, unit_rows

__all__ = [
    "Hit",
    "PreparedCorpus",
    "community_detection",
    "paraphrase_mining",
    "paraphrase_mining_embeddings",
    "semantic_search",
]

_BLOCK_VALUES = 1 << 25  # 128 MiB of cosines.


@runtime_checkable
class TextEncoder(Protocol):
    """What embeds sentences, such as a `SentenceEncoder`."""

    def encode(self, sentences: Any, /, **options: Any) -> Any:  # noqa: ANN401  Of any library.
        """Returns (N, D)."""


class PeerOptions(TypedDict, total=False):
    """Keywords of sentence-transformers that change no result here.

    Attributes:
        score_function: None, or `cos_sim`; scores are cosines.
        query_chunk_size, corpus_chunk_size: rows at a time; memory is bounded without them.
        show_progress_bar: draws the bar of the encoder where sentences are encoded.
    """

    score_function: object
    query_chunk_size: int
    corpus_chunk_size: int
    show_progress_bar: bool | None


class Hit(TypedDict):
    """A row of the corpus and its cosine."""

    corpus_id: int
    score: float


class PreparedCorpus:
    """Vectors that are checked and scaled once, so that a question costs a product and a top-k."""

    def __init__(self, embeddings: Vectors) -> None:
        """Copies the vectors as unit rows.

        Args:
            embeddings: (N, D), of any length.

        Raises:
            ValueError: no matrix, or a row that is not finite or only zeros.
        """
        self.embeddings = _as_units(embeddings)

    def __len__(self) -> int:
        """Returns N."""
        return len(self.embeddings)

    def search(
        self, queries: Vectors, *, k: int = 10
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Returns (M, K) rows and cosines of the nearest, the best first; K is `k`, at most N.

        Args:
            queries: (M, D), or one vector (D,).
            k: neighbours of each.

        Raises:
            ValueError: vectors of another width, or `k` below 1.
        """
        if k < 1:
            raise ValueError(f"k is {k}; it must be at least 1")
        rows = _as_units(queries)
        if rows.shape[1] != self.embeddings.shape[1]:
            raise ValueError(
                f"queries of {rows.shape[1]} values, the corpus has {self.embeddings.shape[1]}"
            )
        k = min(k, len(self))
        neighbours = np.empty((len(rows), k), np.int64)
        similarities = np.empty((len(rows), k), np.float32)
        for start, cosines in self._iter_cosines(rows):
            for row, values in enumerate(cosines, start):
                neighbours[row], similarities[row] = _top(values, k)
        return neighbours, similarities

    def _iter_cosines(
        self, rows: NDArray[np.float32], most: int | None = None
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yields (start, cosines (B, N)) of blocks of rows."""
        size = max(_BLOCK_VALUES // max(len(self), 1), 1)
        size = size if most is None else min(size, max(most, 1))
        for start in range(0, len(rows), size):
            yield start, rows[start : start + size] @ self.embeddings.T


def semantic_search(
    query_embeddings: Vectors,
    corpus_embeddings: Vectors | PreparedCorpus,
    *,
    top_k: int = 10,
    **options: Unpack[PeerOptions],
) -> list[list[Hit]]:
    """Returns the nearest rows of a corpus for each query, the best first.

    Args:
        query_embeddings: (M, D), or one vector (D,).
        corpus_embeddings: (N, D); a `PreparedCorpus` for many calls.
        top_k: rows for each query.
        options: other keywords of sentence-transformers; see `PeerOptions`.

    Raises:
        ValueError: see `PreparedCorpus`; or scores other than cosines are asked for.
    """
    _check_options(options)
    corpus = corpus_embeddings
    if not isinstance(corpus, PreparedCorpus):
        corpus = PreparedCorpus(corpus)
    neighbours, similarities = corpus.search(query_embeddings, k=top_k)
    return [
        [{"corpus_id": number, "score": score} for number, score in zip(*row, strict=True)]
        for row in zip(neighbours.tolist(), similarities.tolist(), strict=True)
    ]


def paraphrase_mining(
    model: TextEncoder | Vectors,
    sentences: Iterable[str] | None = None,
    *,
    top_k: int = 100,
    max_pairs: int = 500_000,
    batch_size: int | None = None,
    prompt_name: str | None = None,
    prompt: str | None = None,
    truncate_dim: int | None = None,
    **options: Unpack[PeerOptions],
) -> list[tuple[float, int, int]]:
    """Returns (cosine, i, j) of pairs of sentences, i < j, the nearest first.

    Args:
        model: a `SentenceEncoder`; or vectors (N, D), and no sentences.
        sentences: N of them.
        top_k: neighbours of a sentence that are looked at.
        max_pairs: pairs at most.
        batch_size, prompt_name, prompt, truncate_dim: see `SentenceEncoder.encode`.
        options: other keywords of sentence-transformers; see `PeerOptions`.

    Raises:
        TypeError: a model without sentences, or vectors with them.
        ValueError: see `paraphrase_mining_embeddings` and `SentenceEncoder.encode`.
    """
    of_encoder = {
        "batch_size": batch_size,
        "prompt_name": prompt_name,
        "prompt": prompt,
        "truncate_dim": truncate_dim,
        "show_progress_bar": options.get("show_progress_bar") or None,
    }
    given = {name: value for name, value in of_encoder.items() if value is not None}
    if not isinstance(model, TextEncoder):
        if sentences is not None or given:
            raise TypeError(
                "paraphrase_mining: its first argument is no model with a method encode; give "
                "SentenceEncoder(...) and the sentences, or vectors alone"
            )
        return paraphrase_mining_embeddings(model, top_k=top_k, max_pairs=max_pairs, **options)
    if sentences is None or isinstance(sentences, str):
        raise TypeError("paraphrase_mining: give the model a list of sentences")
    embeddings = model.encode(list(sentences), **given)
    return paraphrase_mining_embeddings(embeddings, top_k=top_k, max_pairs=max_pairs, **options)


def paraphrase_mining_embeddings(
    embeddings: Vectors,
    *,
    top_k: int = 100,
    max_pairs: int = 500_000,
    **options: Unpack[PeerOptions],
) -> list[tuple[float, int, int]]:
    """Returns (cosine, i, j) of pairs of rows, i < j, the nearest first.

    Args:
        embeddings: (N, D).
        top_k: neighbours of a row that are looked at.
        max_pairs: pairs at most.
        options: other keywords of sentence-transformers; see `PeerOptions`.

    Raises:
        ValueError: see `PreparedCorpus`; or scores other than cosines are asked for.
    """
    _check_options(options)
    corpus = PreparedCorpus(embeddings)
    neighbours, similarities = corpus.search(corpus.embeddings, k=top_k + 1)
    rows = np.repeat(np.arange(len(corpus)), neighbours.shape[1])
    others, cosines = neighbours.ravel(), similarities.ravel()
    lower, upper = np.minimum(rows, others), np.maximum(rows, others)
    _, firsts = np.unique(lower * len(corpus) + upper, return_index=True)
    firsts = firsts[lower[firsts] != upper[firsts]]
    order = firsts[np.argsort(-cosines[firsts], kind="stable")][:max_pairs]
    return list(
        zip(cosines[order].tolist(), lower[order].tolist(), upper[order].tolist(), strict=True)
    )


def community_detection(
    embeddings: Vectors,
    threshold: float = 0.75,
    min_community_size: int = 10,
    batch_size: int | None = None,
    **options: Unpack[PeerOptions],
) -> list[list[int]]:
    """Returns groups of rows that are near a row of the group, the largest group first.

    Args:
        embeddings: (N, D).
        threshold: the least cosine with the row in the middle.
        min_community_size: rows of a group at least.
        batch_size: rows compared at a time, at most.
        options: other keywords of sentence-transformers; see `PeerOptions`.
    """
    _check_options(options)
    corpus = PreparedCorpus(embeddings)
    least = min(min_community_size, len(corpus))
    groups = []
    for _, cosines in corpus._iter_cosines(corpus.embeddings, batch_size):
        for values in cosines:
            near = np.flatnonzero(values >= threshold)
            if len(near) >= least:
                groups.append(near[np.argsort(-values[near], kind="stable")].tolist())

    # A row is in one group: the largest that has it.
    taken: set[int] = set()
    found = []
    for group in sorted(groups, key=len, reverse=True):
        rest = [row for row in group if row not in taken]
        if len(rest) >= least:
            found.append(rest)
            taken.update(rest)
    return sorted(found, key=len, reverse=True)


def _check_options(options: PeerOptions) -> None:
    if unknown := sorted(set(options) - set(PeerOptions.__annotations__)):
        raise TypeError(f"unexpected keyword argument {unknown[0]!r}")
    name = getattr(options.get("score_function"), "__name__", None)
    if options.get("score_function") is not None and name not in ("cos_sim", "pytorch_cos_sim"):
        raise ValueError(
            f"score_function {name or options['score_function']!r}: scores are cosines, which of "
            "unit rows are dot products too; leave it out"
        )


def _top(values: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    if k < len(values):
        bound = np.partition(values, -k)[-k]
        rows = np.flatnonzero(values >= bound)  # Ties too, of which the first stay.
    else:
        rows = np.arange(len(values))
    rows = rows[np.argsort(-values[rows], kind="stable")][:k]
    return rows, values[rows]


def _as_units(embeddings: Vectors) -> NDArray[np.float32]:
    rows = np.atleast_2d(as_float32(embeddings))
    if rows.ndim != 2:
        raise ValueError(f"expected vectors of shape (N, D), found {rows.shape}")
    return unit_rows(rows)
