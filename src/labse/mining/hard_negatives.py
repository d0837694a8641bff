"""Hard negatives of pairs: the nearest sentences of a side's language that translate nothing.

Takes: pairs sorted by language pair, an encoder. Gives: rows of a pair and its negatives, one
language pair after the other. Source: Guo et al. 2018, arXiv 1807.11906; the margins follow
NV-Retriever (Moreira et al. 2024, arXiv 2407.15831).

Dimensions: N pairs, K neighbours.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.dual_encoder.data.negatives import negative_columns
from labse.encoder.protocol import Encoder
from labse.mining.bitext import SearchOptions, find_neighbours
from labse.mining.line_store import LineStore
from labse.mining.pair_scores import aligned_cosines
from labse.mining.pair_spool import SpooledPairs
from labse.mining.sides import EmbeddedSides
from labse.mining.workplace import EmbeddedSide, embed_side
from labse.search.knn import Neighbours, OnProgress

__all__ = ["NegativeOptions", "iter_hard_negatives", "negative_row_columns"]

_CHUNK_PAIRS = 8192
_SPARE = 4  # Neighbours beyond the wanted ones that are read, for some may be copies.


@dataclass(frozen=True, slots=True)
class NegativeOptions:
    """What is a hard negative.

    Attributes:
        k: negatives of a pair and side, at most.
        num_neighbours: nearest sentences that are looked at, the pair's own included.
        relative_margin: of the positive's cosine p, the cosine of a negative is at most
            p - relative_margin * |p|.
        absolute_margin: it is also at most p - absolute_margin.
        both_sides: negatives of the source's language too, in place of the target's alone.
    """

    k: int = 4
    num_neighbours: int = 32
    relative_margin: float = 0.05
    absolute_margin: float = 0.0
    both_sides: bool = False

    def max_cosines(self, positives: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns (N,) the largest cosine of a negative for the cosines of N pairs."""
        limits: NDArray[np.float32] = positives - np.maximum(
            self.relative_margin * np.abs(positives), self.absolute_margin
        )
        return limits


def negative_row_columns(options: NegativeOptions) -> tuple[str, ...]:
    """Returns the names of the columns that `iter_hard_negatives` gives."""
    langs = ("source", "target", "source_lang", "target_lang")
    sources = negative_columns("source", options.k) if options.both_sides else ()
    return (*langs, *negative_columns("target", options.k), *sources)


def iter_hard_negatives(
    pairs: SpooledPairs,
    encoder: Encoder,
    options: NegativeOptions,
    counts: Counter[str],
    *,
    memory_bytes: int,
    on_progress: OnProgress | None = None,
) -> Iterator[tuple[str, ...]]:
    """Yields a row for each pair of one language pair, in order, the hardest negative first.

    No negative is a sentence that shares a translation with the positive, as far as these pairs
    tell, or differs from one of the pair but in case, spaces and punctuation.

    Args:
        pairs: of one language pair; their folder keeps what a killed call has done.
        encoder: gives the vectors.
        options: what is a hard negative.
        counts: is added to: `pairs`, `blank`, `negatives`, `without` (pairs that have none), and
            the neighbours left out as `known` (translations, copies) or `guarded` (by the margin).
        memory_bytes: of vectors that are searched at a time.
        on_progress: called with the sentences embedded and their number, then those searched.
    """
    source, target = (
        embed_side(name, pairs.lines(name), encoder, pairs.folder, on_progress)
        for name in ("source", "target")
    )
    found = find_neighbours(
        EmbeddedSides(source, target, pairs.folder),
        options.num_neighbours,
        SearchOptions(memory_bytes),
        on_progress,
    )
    limits = options.max_cosines(aligned_cosines(source, target))
    forward = _Direction(source, target, found.forward)
    backward = _Direction(target, source, found.backward)
    lines = zip(pairs.lines("source"), pairs.lines("target"), strict=True)
    for start in range(0, pairs.num_pairs, _CHUNK_PAIRS):
        rows = [texts for _, texts in zip(range(_CHUNK_PAIRS), lines, strict=False)]
        part = slice(start, start + len(rows))
        columns = [forward.choose(part, rows, limits[part], options, counts)]
        if options.both_sides:
            columns.append(backward.choose(part, rows, limits[part], options, counts))
        for texts, *negatives in zip(rows, *columns, strict=True):
            counts["pairs"] += 1
            counts["blank"] += not (texts[0].strip() and texts[1].strip())
            counts["without"] += not any(map(any, negatives))
            found_texts = [text for side in negatives for text in side]
            counts["negatives"] += sum(map(bool, found_texts))
            yield (*texts, pairs.source_lang, pairs.target_lang, *found_texts)


class _Direction:
    """Chooses the negatives of one side: neighbours of `query` among `candidate`."""

    def __init__(self, query: EmbeddedSide, candidate: EmbeddedSide, found: Neighbours) -> None:
        self._queries = query.lines.distinct
        self._positives = candidate.lines.distinct
        self._store = candidate.lines
        self._found = found
        self._translations = _Translations(candidate.lines, query.lines)

    def choose(
        self,
        part: slice,
        rows: Sequence[tuple[str, str]],
        limits: NDArray[np.float32],
        options: NegativeOptions,
        counts: Counter[str],
    ) -> list[list[str]]:
        """Returns `k` texts for each pair of `part`; empty ones where there are fewer."""
        queries, positives = self._queries[part], self._positives[part]
        chosen = [
            self._choose_one(query, positive, limit, options, counts)
            if query >= 0 and positive >= 0
            else []
            for query, positive, limit in zip(
                queries.tolist(), positives.tolist(), limits.tolist(), strict=True
            )
        ]
        numbers = sorted({number for row in chosen for number in row})
        texts = dict(zip(numbers, self._store.read(numbers), strict=True))
        return [
            _without_copies([texts[number] for number in row], pair, options.k, counts)
            for row, pair in zip(chosen, rows, strict=True)
        ]

    def _choose_one(
        self,
        query: int,
        positive: int,
        limit: float,
        options: NegativeOptions,
        counts: Counter[str],
    ) -> list[int]:
        chosen: list[int] = []
        neighbours = self._found.neighbours[query].tolist()
        similarities = self._found.similarities[query].tolist()
        for number, cosine in zip(neighbours, similarities, strict=True):
            if len(chosen) == options.k + _SPARE:
                break
            if self._translations.share_one(positive, number):
                counts["known"] += number != positive
            elif cosine > limit:
                counts["guarded"] += 1
            else:
                chosen.append(number)
        return chosen


class _Translations:
    """The translations of each distinct line of a side: an array and offsets."""

    def __init__(self, lines: LineStore, others: LineStore) -> None:
        is_pair = (lines.distinct >= 0) & (others.distinct >= 0)
        own, other = lines.distinct[is_pair], others.distinct[is_pair]
        order = np.argsort(own, kind="stable")
        self._others = other[order]
        self._starts = np.searchsorted(own[order], np.arange(len(lines) + 1))

    def share_one(self, first: int, second: int) -> bool:
        """Tells whether two lines translate one line, as a line and itself do."""
        if first == second:
            return True
        sides = [self._others[self._starts[n] : self._starts[n + 1]] for n in (first, second)]
        if len(sides[0]) == len(sides[1]) == 1:
            return bool(sides[0][0] == sides[1][0])
        return bool(np.isin(sides[0], sides[1]).any())


def _without_copies(
    texts: list[str], pair: tuple[str, str], k: int, counts: Counter[str]
) -> list[str]:
    own = {_plain(text) for text in pair}
    kept = [text for text in texts if _plain(text) not in own]
    counts["known"] += len(texts) - len(kept)
    kept = kept[:k]
    return kept + [""] * (k - len(kept))


def _plain(text: str) -> str:
    """Returns the letters and digits of a text, without case."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(filter(str.isalnum, folded)) or text
