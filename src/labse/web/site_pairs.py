"""Which pages of a site are one document in two languages.

Takes: the pages of a site in two languages, with what was computed of their texts. Gives: the
    candidates, what speaks for each, which become pairs, and why the others do not.
Source: Uszkoreit et al. 2010; Thompson and Koehn 2020, section 3; greedy one-to-one matching:
    Buck and Koehn 2016 (W16-2365). docs/web.md tells what each signal is worth.

Dimensions: N and M pages of the two languages, D of a vector, C candidates.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from labse.web.order_score import PageVectors, order_score
from labse.web.words import (
    Bag,
    learn_translations,
    number_rows,
    translate_rows,
    unit_word_rows,
    word_rows,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["MIN_SCORE", "PAIRED", "Candidate", "PairOptions", "SitePage", "match_pages"]

PAIRED = ""
"""The reason of a candidate that became a pair."""

MIN_SCORE = 0.5
"""The least score and lead of a pair, together; docs/experiments.md tells what others give."""

LOW_SCORE = "score too low"
TAKEN = "a page belongs to a better pair"
UNLIKE = "linked, but the texts are not alike"

_BLOCK_CELLS = 1 << 21  # Pages compared at a time, with those of the other side.
_Floats: TypeAlias = NDArray[np.floating]
_NUMBER_WEIGHT, _WORD_WEIGHT, _TEXT_WEIGHT = 0.7, 1.5, 0.5
_LINK_BONUSES = (0.0, 0.1, 0.5)  # Of no link, one, and one each way.
_ADDRESS_BONUS = 0.3
# Of any pair. Pages that have nothing to do with each other have .01 to .1.
_MIN_ORDER = 0.05
_MIN_LEARNT_PAIRS = 30
_MAX_WORD_PAIRS = 20_000_000  # That are counted, the surest pages first: 1,100 news, 200 manuals.
_LEARNT_SHARE = 0.6  # Of the pairs of the first round, the surest, that words are learnt from.


@dataclass(frozen=True, slots=True, eq=False)
class SitePage:
    """A page as pairing sees it.

    Attributes:
        row: its number in the shard.
        lang: the language of its text.
        addresses: all that its text stands under; the first one names it.
        links: the pages, by row, that it says it stands in another language at.
        keys: its addresses without their languages.
        vector: (D,) weighted mean of its sentences.
        numbers: that stand in it.
        words: that stand in it.
    """

    row: int
    lang: str
    addresses: tuple[str, ...]
    links: frozenset[int]
    keys: frozenset[str]
    vector: NDArray[np.float32]
    numbers: Bag
    words: Bag


@dataclass(frozen=True, slots=True)
class PairOptions:
    """What decides which candidates become pairs.

    Attributes:
        use_links: whether hreflang speaks for a pair.
        use_addresses: whether addresses do.
        min_score: of a pair, its score and lead together.
        k: nearest pages of the other language that are looked at, from both sides.
    """

    use_links: bool = True
    use_addresses: bool = True
    min_score: float = MIN_SCORE
    k: int = 16


@dataclass(slots=True)
class Candidate:
    """Two pages that may be one document.

    Attributes:
        source: a page, by its place among the N.
        target: a page, by its place among the M.
        hreflang: 2 if both name each other, 1 if one does, 0.
        address: whether both have one address without languages, and no other page has.
        cosine: of the page vectors, their means taken off.
        numbers: the cosine of the numbers that they hold.
        words: the cosine of their words, those of one side translated; 0 where none were learnt.
        order: see `order_score`.
        score: all of this.
        lead: how much lower the next best candidate of either page is; below 0 if one is better.
        reason: why it is no pair; empty if it is one.
    """

    source: int
    target: int
    hreflang: int = 0
    address: bool = False
    cosine: float = 0.0
    numbers: float = 0.0
    words: float = 0.0
    order: float = 0.0
    score: float = 0.0
    lead: float = 0.0
    reason: str = LOW_SCORE


def match_pages(
    source: Sequence[SitePage],
    target: Sequence[SitePage],
    load: Callable[[int], PageVectors],
    base: float,
    options: PairOptions,
) -> list[Candidate]:
    """Returns all candidates, with the pairs among them, best first.

    Args:
        source: N pages of one language.
        target: M pages of the other.
        load: gives the sentences of a page by its row.
        base: the cosine of sentences that have nothing to do with each other.
    """
    if not (source and target):
        return []
    told = _find_told(source, target, options)
    orders: dict[tuple[int, int], float] = {}
    sides = _Sides.of(source, target)
    found = _score(sides, told, load, base, options, orders)

    # Words that the surest pairs have in common tell more than vectors about the rest.
    surest = _surest(_choose(found, replace(options, min_score=-np.inf)))
    if len(surest) >= _MIN_LEARNT_PAIRS:
        sides.learn(surest)
        found = _score(sides, told, load, base, options, orders)
    _choose(found, options)
    return sorted(found, key=lambda one: (-one.score, one.source, one.target))


# ---- what links and addresses tell ---------------------------------------------------------------


def _find_told(
    source: Sequence[SitePage], target: Sequence[SitePage], options: PairOptions
) -> dict[tuple[int, int], tuple[int, bool]]:
    """Returns for pairs of places how many links there are, and whether their addresses agree."""
    links: dict[tuple[int, int], int] = defaultdict(int)
    if options.use_links:
        places = [{page.row: n for n, page in enumerate(side)} for side in (source, target)]
        for n, page in enumerate(source):
            for m in _only_one(page.links, places[1]):
                links[n, m] += 1
        for m, page in enumerate(target):
            for n in _only_one(page.links, places[0]):
                links[n, m] += 1
    addresses: set[tuple[int, int]] = set()
    if options.use_addresses:
        keys = [_unique_keys(side) for side in (source, target)]
        addresses = {(keys[0][key], keys[1][key]) for key in keys[0].keys() & keys[1].keys()}
    return {pair: (links.get(pair, 0), pair in addresses) for pair in links.keys() | addresses}


def _only_one(links: frozenset[int], places: dict[int, int]) -> list[int]:
    """Returns the place that a page links to; several of one language tell nothing."""
    found = [places[row] for row in sorted(links) if row in places]
    return found if len(found) == 1 else []


def _unique_keys(pages: Sequence[SitePage]) -> dict[str, int]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, page in enumerate(pages):
        for key in page.keys:
            places[key].append(place)
    return {key: found[0] for key, found in places.items() if len(found) == 1}


# ---- what texts tell -----------------------------------------------------------------------------


class _Sides:
    """The texts of both sides as matrices, whose rows are compared block by block."""

    def __init__(self, source: Sequence[SitePage], target: Sequence[SitePage]) -> None:
        self.source, self.target = source, target
        self._vectors = [_centred(np.array([p.vector for p in side])) for side in (source, target)]
        self._numbers = number_rows([p.numbers for p in source], [p.numbers for p in target])
        self._words = [word_rows([p.words for p in side]) for side in (source, target)]
        self._translated: tuple[csr_matrix, csr_matrix] | None = None

    @classmethod
    def of(cls, source: Sequence[SitePage], target: Sequence[SitePage]) -> "_Sides":
        return cls(source, target)

    def learn(self, pairs: NDArray[np.int64]) -> None:
        (rows, weights), (other_rows, other_weights) = self._words
        sizes = np.diff(rows.indptr)[pairs[:, 0]] * np.diff(other_rows.indptr)[pairs[:, 1]]
        pairs = pairs[np.cumsum(sizes, dtype=np.int64) <= _MAX_WORD_PAIRS]
        translations = learn_translations(rows, other_rows, pairs)
        self._translated = (
            translate_rows(rows, weights, translations),
            unit_word_rows(other_rows, other_weights),
        )

    def iter_blocks(self) -> Iterator[tuple[slice, _Floats, _Floats, _Floats]]:
        """Yields rows of N, and (rows, M) cosines of vectors, of numbers and of words."""
        num_rows = max(16, _BLOCK_CELLS // len(self.target))
        for start in range(0, len(self.source), num_rows):
            rows = slice(start, start + num_rows)
            vectors = self._vectors[0][rows] @ self._vectors[1].T
            numbers = (self._numbers[0][rows] @ self._numbers[1].T).toarray()
            words = np.zeros_like(vectors)
            if self._translated is not None:
                words = (self._translated[0][rows] @ self._translated[1].T).toarray()
            yield rows, vectors, numbers, words


def _centred(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Takes off what all pages of a language have in common; few pages have no mean."""
    centred = vectors - vectors.mean(axis=0) * (len(vectors) / (len(vectors) + 5))
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: NDArray[np.float32] = centred / np.maximum(norms, 1e-6)
    return unit


def _score(
    sides: _Sides,
    told: dict[tuple[int, int], tuple[int, bool]],
    load: Callable[[int], PageVectors],
    base: float,
    options: PairOptions,
    orders: dict[tuple[int, int], float],
) -> list[Candidate]:
    """Returns the candidates of both directions and those that links or addresses name, scored."""
    parts = _find_candidates(sides, told, options.k)
    candidates = []
    loaded: dict[int, PageVectors] = {}
    for (n, m), (cosine, numbers, words) in sorted(parts.items()):
        if (n, m) not in orders:
            if n not in loaded:
                loaded.clear()  # Sorted by source: each of them is read once.
                loaded[n] = load(sides.source[n].row)
            orders[n, m] = order_score(loaded[n], load(sides.target[m].row), base)
        links, address = told.get((n, m), (0, False))
        order = orders[n, m]
        text = cosine + _NUMBER_WEIGHT * numbers + _WORD_WEIGHT * words
        score = order + _TEXT_WEIGHT * text
        score += _LINK_BONUSES[links] + _ADDRESS_BONUS * address
        candidates.append(Candidate(n, m, links, address, cosine, numbers, words, order, score))
    _find_leads(candidates)
    return candidates


def _find_candidates(
    sides: _Sides, told: dict[tuple[int, int], tuple[int, bool]], k: int
) -> dict[tuple[int, int], tuple[float, float, float]]:
    num_target = len(sides.target)
    best = np.full((k, num_target), -np.inf, np.float32)  # Of each target so far.
    where = np.zeros((k, num_target), np.int64)
    forward: list[tuple[int, int]] = []
    for rows, vectors, numbers, words in sides.iter_blocks():
        text = vectors + _NUMBER_WEIGHT * numbers + _WORD_WEIGHT * words
        nearest = _largest(text, k)
        forward += [(rows.start + n, int(m)) for n in range(len(text)) for m in nearest[n]]
        joined = np.concatenate([best, text])
        order = _largest(joined.T, k).T
        places = np.concatenate(
            [where, np.broadcast_to(np.arange(len(text))[:, None] + rows.start, text.shape)]
        )
        best, where = np.take_along_axis(joined, order, 0), np.take_along_axis(places, order, 0)
    wanted = {*forward, *told}
    is_there = np.isfinite(best)
    wanted |= {(int(where[i, m]), m) for i, m in np.argwhere(is_there).tolist()}

    # Once more, for the parts of those that were chosen.
    by_row: dict[int, list[int]] = defaultdict(list)
    for n, m in wanted:
        by_row[n].append(m)
    parts = {}
    for rows, vectors, numbers, words in sides.iter_blocks():
        for n in range(rows.start, min(rows.stop, len(sides.source))):
            for m in by_row.get(n, ()):
                at = n - rows.start, m
                parts[n, m] = (float(vectors[at]), float(numbers[at]), float(words[at]))
    return parts


def _largest(values: _Floats, k: int) -> NDArray[np.int64]:
    """Returns (rows, k) the places of the largest values of each row, in no order."""
    if values.shape[1] <= k:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.argpartition(values, values.shape[1] - k, axis=1)[:, -k:]


# ---- decision ------------------------------------------------------------------------------------


def _choose(candidates: Sequence[Candidate], options: PairOptions) -> list[Candidate]:
    """Takes the best candidates one to one; marks each with the reason why it is no pair."""
    used: tuple[set[int], set[int]] = (set(), set())
    pairs = []
    for one in sorted(candidates, key=lambda c: (-c.score, c.source, c.target)):
        if one.source in used[0] or one.target in used[1]:
            one.reason = TAKEN
            continue
        if one.score + one.lead < options.min_score or one.order < _MIN_ORDER:
            one.reason = UNLIKE if one.hreflang or one.address else LOW_SCORE
            continue
        used[0].add(one.source)
        used[1].add(one.target)
        one.reason = PAIRED
        pairs.append(one)
    return pairs


def _find_leads(candidates: Sequence[Candidate]) -> None:
    """Fills in how far each candidate is above its best rival on either side."""
    best: dict[tuple[bool, int], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for one in candidates:
        for key in ((False, one.source), (True, one.target)):
            best[key] = sorted([*best[key], one.score])[-2:]
    for one in candidates:
        tops = [best[key] for key in ((False, one.source), (True, one.target))]
        one.lead = min(one.score - top[0 if one.score == top[1] else 1] for top in tops)


def _surest(pairs: Sequence[Candidate]) -> NDArray[np.int64]:
    """Returns (P, 2) the places of the pairs that stand out most from their rivals."""
    num_taken = int(len(pairs) * _LEARNT_SHARE)
    chosen = sorted(pairs, key=lambda one: (-one.lead, one.source, one.target))[:num_taken]
    return np.array([(one.source, one.target) for one in chosen], np.int64).reshape(-1, 2)
