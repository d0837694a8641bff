"""Which pages of a site are one document in two languages.

Takes: the pages of a site in two languages, with what was computed of their texts. Gives: the
    candidates, what speaks for each, which become pairs, and why the others do not.
Source: Uszkoreit et al. 2010; Thompson and Koehn 2020, section 3; greedy one-to-one matching:
    Buck and Koehn 2016 (W16-2365). docs/web.md tells what each signal is worth.

Dimensions: N and M pages of the two languages, C candidates.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.web.order_score import PageVectors, order_scores
from labse.web.page_arrays import PageArrays
from labse.web.side_texts import NUMBER_WEIGHT, WORD_WEIGHT, SideTexts, TextPages

__all__ = ["MIN_SCORE", "REASONS", "Candidates", "PageSide", "PairOptions", "match_pages"]

MIN_SCORE = 0.5
"""The least score and lead of a pair, together; docs/experiments.md tells what others give."""

REASONS = (
    "",
    "score too low",
    "a page belongs to a better pair",
    "linked, but the texts are not alike",
)
"""Why a candidate is no pair, by number; of a pair nothing."""

_PAIRED, _LOW_SCORE, _TAKEN, _UNLIKE = range(4)
_TEXT_WEIGHT = 0.5
_LINK_BONUSES = (0.0, 0.1, 0.5)  # Of no link, one, and one each way.
_ADDRESS_BONUS = 0.3
# Of any pair. Pages that have nothing to do with each other have .01 to .1.
_MIN_ORDER = 0.05
_MIN_LEARNT_PAIRS = 30
_LEARNT_SHARE = 0.6  # Of the pairs of the first round, the surest, that words are learnt from.
_WINDOW_PAGES = 16  # Whose sentences are held at a time.
_PART = 1 << 14  # Candidates that are looked at together.


@dataclass(frozen=True, slots=True, eq=False)
class PageSide:
    """The pages of a site in one language, as pairing sees them.

    Attributes:
        arrays: of their texts.
        pages: (N,) which of these arrays, ascending.
        links: (N,) the one page of the other language that each says it stands at, -1: none, or
            several, which tell nothing.
        keys: (K,) hashes of their addresses without their languages, each of one page alone.
        key_pages: (K,) the place of that page among the N.
    """

    arrays: PageArrays
    pages: NDArray[np.int64]
    links: NDArray[np.int64]
    keys: NDArray[np.uint64]
    key_pages: NDArray[np.int64]


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


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """C pairs of pages that may be one document, ascending by source and target.

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
        reason: why it is no pair, a place in `REASONS`.
    """

    source: NDArray[np.int32]
    target: NDArray[np.int32]
    hreflang: NDArray[np.int8]
    address: NDArray[np.bool_]
    cosine: NDArray[np.float32]
    numbers: NDArray[np.float32]
    words: NDArray[np.float32]
    order: NDArray[np.float32]
    score: NDArray[np.float64]
    lead: NDArray[np.float64]
    reason: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.source)

    def rank(self) -> NDArray[np.int64]:
        """Returns the candidates, the best score first; of equal ones, in their own order."""
        return np.argsort(-self.score, kind="stable")

    def iter_best_first(self) -> Iterator[tuple[int, int, dict[str, object]]]:
        """Yields both places and all that is told of each, the best score first."""
        names = [field.name for field in fields(self)]
        order = self.rank()
        for part in _in_parts(len(self)):
            columns = (getattr(self, name)[order[part]].tolist() for name in names)
            for row in zip(*columns, strict=True):
                told = dict(zip(names, row, strict=True))
                source, target = told.pop("source"), told.pop("target")
                yield source, target, {**told, "reason": REASONS[told["reason"]]}


def match_pages(
    source: PageSide, target: PageSide, base: float, options: PairOptions, folder: Path
) -> Candidates | None:
    """Returns all candidates, with the pairs among them; None if a side has no pages.

    Args:
        source: N pages of one language.
        target: M pages of the other.
        base: the cosine of sentences that have nothing to do with each other.
        options: what decides.
        folder: for what is too much for memory meanwhile.
    """
    if not (len(source.pages) and len(target.pages)):
        return None
    told = _find_told(source, target, options)
    nothing: tuple[NDArray[np.int64], NDArray[np.float32]] = (
        np.zeros(0, np.int64),
        np.zeros(0, np.float32),
    )
    with tempfile.TemporaryDirectory(dir=folder) as name:
        sides = TextPages(source.arrays, source.pages), TextPages(target.arrays, target.pages)
        texts = SideTexts(*sides, Path(name))
        found, orders = _score(texts, sides, told, base, options, nothing)

        # Words that the surest pairs have in common tell more than vectors about the rest.
        surest = _surest(found)
        if len(surest) >= _MIN_LEARNT_PAIRS:
            del found
            texts.learn(surest)
            found, _ = _score(texts, sides, told, base, options, orders)
    _choose(found, options.min_score)
    return found


# ---- what links and addresses tell ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """Pairs of places, n * M + m, ascending; the links of each, and whether addresses agree."""

    keys: NDArray[np.int64]
    links: NDArray[np.int8]
    addresses: NDArray[np.bool_]

    def look_up(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
        """Returns the links and addresses of pairs, most of which have none."""
        links, addresses = np.zeros(len(keys), np.int8), np.zeros(len(keys), bool)
        places = np.searchsorted(keys, self.keys)
        links[places], addresses[places] = self.links, self.addresses
        return links, addresses


def _find_told(source: PageSide, target: PageSide, options: PairOptions) -> _Told:
    """Returns for pairs of places how many links there are, and whether their addresses agree."""
    num_target = len(target.pages)
    links: list[NDArray[np.int64]] = []
    if options.use_links:
        for side, other in ((source, target), (target, source)):
            n = np.flatnonzero(side.links >= 0)
            m = np.searchsorted(other.pages, side.links[n])
            links.append(n * num_target + m if side is source else m * num_target + n)
    linked = np.concatenate([np.zeros(0, np.int64), *links])
    same = np.zeros(0, np.int64)
    if options.use_addresses:
        _, n, m = np.intersect1d(source.keys, target.keys, return_indices=True)
        same = source.key_pages[n] * num_target + target.key_pages[m]
    keys = np.union1d(linked, same)
    counts = np.bincount(np.searchsorted(keys, linked), minlength=len(keys))
    return _Told(keys, counts.astype(np.int8), np.isin(keys, same))


# ---- what texts tell -----------------------------------------------------------------------------


def _score(
    texts: SideTexts,
    sides: tuple[TextPages, TextPages],
    told: _Told,
    base: float,
    options: PairOptions,
    known: tuple[NDArray[np.int64], NDArray[np.float32]],
) -> tuple[Candidates, tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Returns the candidates of both directions and those that links or addresses name, scored.

    Args:
        known: candidates whose order was looked at, and what it was; they are returned with more.
    """
    keys = np.union1d(texts.find_nearest(options.k), told.keys)
    num_target = len(sides[1])
    order = _find_orders(keys, sides, base, known)
    links, address = told.look_up(keys)
    cosine, numbers, words = (np.empty(len(keys), np.float32) for _ in range(3))
    score = np.empty(len(keys))
    for part, measured in texts.measure(keys):
        cosine[part], numbers[part], words[part] = measured.T
        text = cosine[part].astype(np.float64) + NUMBER_WEIGHT * numbers[part]
        text += WORD_WEIGHT * words[part]
        score[part] = order[part] + _TEXT_WEIGHT * text
        score[part] += np.array(_LINK_BONUSES)[links[part]] + _ADDRESS_BONUS * address[part]
    n, m = (keys // num_target).astype(np.int32), (keys % num_target).astype(np.int32)
    lead = _find_leads(n, score)
    np.minimum(lead, _find_leads(m, score), out=lead)
    reason = np.full(len(keys), _LOW_SCORE, np.int8)
    found = Candidates(
        n, m, links, address, cosine, numbers, words, order, score, lead, reason
    )  # fmt: skip
    return found, (keys, order)


def _find_orders(
    keys: NDArray[np.int64],
    sides: tuple[TextPages, TextPages],
    base: float,
    known: tuple[NDArray[np.int64], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Returns the order scores of candidates, a window of pages of the source after the other."""
    orders = np.empty(len(keys), np.float32)
    for part in _in_parts(len(keys)):
        # Both are ascending: what is known of a part stands together.
        some, found = keys[part], orders[part]
        start, stop = np.searchsorted(known[0], some[[0, -1]])
        known_keys, known_orders = (values[start : stop + 1] for values in known)
        is_known = np.isin(some, known_keys, assume_unique=True)
        found[is_known] = known_orders[np.isin(known_keys, some, assume_unique=True)]

        todo = np.flatnonzero(~is_known)
        n, m = np.divmod(some[todo], len(sides[1]))
        window = n // _WINDOW_PAGES
        order = np.lexsort((n, m, window))  # Each page of a window, and each that it meets, once.
        pages = _iter_pages(sides, window[order], n[order], m[order])
        found[todo[order]] = order_scores(pages, base)
    return orders


def _iter_pages(
    sides: tuple[TextPages, TextPages],
    windows: NDArray[np.int64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> Iterator[tuple[PageVectors, PageVectors]]:
    """Yields the sentences of candidates; those of the pages of a window are held."""
    source, target = sides
    held: dict[int, PageVectors] = {}
    last = (-1, -1)
    for window, row, column in zip(windows.tolist(), rows.tolist(), columns.tolist(), strict=True):
        if window != last[0]:
            held.clear()
        if row not in held:
            held[row] = source.arrays.load_units(int(source.pages[row]))
        if (window, column) != last:
            other = target.arrays.load_units(int(target.pages[column]))
        last = (window, column)
        yield held[row], other


def _in_parts(size: int) -> Iterator[slice]:
    for start in range(0, size, _PART):
        yield slice(start, min(start + _PART, size))


# ---- decision ------------------------------------------------------------------------------------


def _choose(found: Candidates, min_score: float) -> None:
    """Takes the best candidates one to one; marks each with the reason why it is no pair."""
    is_low = (found.score + found.lead < min_score) | (found.order < _MIN_ORDER)
    is_told = (found.hreflang > 0) | found.address
    used = set[int](), set[int]()
    order = found.rank()
    for part in _in_parts(len(found)):
        chosen = order[part]
        reasons = np.where(is_told[chosen], _UNLIKE, _LOW_SCORE)
        rows = zip(found.source[chosen].tolist(), found.target[chosen].tolist(), strict=True)
        for at, ((n, m), low) in enumerate(zip(rows, is_low[chosen].tolist(), strict=True)):
            if n in used[0] or m in used[1]:
                reasons[at] = _TAKEN
            elif not low:
                used[0].add(n)
                used[1].add(m)
                reasons[at] = _PAIRED
        found.reason[chosen] = reasons


def _find_leads(pages: NDArray[np.int32], score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns how far each candidate is above the best rival of its page on one side."""
    best, second = np.zeros((2, int(pages.max(initial=-1)) + 1))
    for part in _in_parts(len(pages)):
        # The two best of each page in this part, joined with those of the parts before.
        order = np.lexsort((score[part], pages[part]))
        here, scores = pages[part][order], score[part][order]
        last = np.flatnonzero(np.append(here[1:] != here[:-1], True))
        has_two = np.diff(last, prepend=-1) > 1
        of = here[last]
        next_best = np.where(has_two, scores[last - has_two], 0)
        lower = np.minimum(best[of], scores[last])
        second[of] = np.maximum(np.maximum(lower, second[of]), next_best)
        best[of] = np.maximum(best[of], scores[last])
    lead = np.empty(len(score))
    for part in _in_parts(len(pages)):
        rivals = best[pages[part]]
        is_best = score[part] == rivals
        lead[part] = score[part] - np.where(is_best, second[pages[part]], rivals)
    return lead


def _surest(found: Candidates) -> NDArray[np.int64]:
    """Returns (P, 2) the places of the pairs that stand out most from their rivals."""
    _choose(found, -np.inf)
    pairs = np.flatnonzero(found.reason == _PAIRED)
    order = np.lexsort((found.target[pairs], found.source[pairs], -found.lead[pairs]))
    chosen = pairs[order[: int(len(pairs) * _LEARNT_SHARE)]]
    return np.stack([found.source[chosen], found.target[chosen]], axis=1).astype(np.int64)
