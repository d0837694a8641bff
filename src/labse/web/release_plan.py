"""Which scored sentence pairs become those of a release, and under which addresses.

Takes: parts of scored rows, bounds, and what counts as a copy. Gives: the pairs that stay, each
    once, with the addresses of all that it stands for; a reason and a count for the others.
Source: docs/web.md. The parts are read twice: of each row some hashes are held, not its text.

Dimensions: N rows of all parts.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labse import __version__
from labse.cleaning.bounds import FilterBounds
from labse.cleaning.pair_scores import is_letterless
from labse.web.addresses import host_of
from labse.web.bead_scores import find_reasons
from labse.web.near_copies import choose_best, choose_near, near_key
from labse.web.pair_records import read_rows
from labse.web.release import ReleasedPair

__all__ = ["CopyRules", "PlannedRelease", "ReleasePlan", "plan_release"]

_TOLD_SCORES = ("margin_score", "cosine", "quality", "bead_score")
_LETTERLESS = "no letter on a side"
_UNTOLD_SCORES = ("score", "document_score")


@dataclass(frozen=True, slots=True)
class CopyRules:
    """Which pairs are one.

    Attributes:
        near: those that differ in case, punctuation, digits and spaces.
        min_similarity: those of whose 5-grams so great a share is the same, on both sides; None:
            they are several.
        one_sided: whether a sentence may have several translations; else the best stays.
    """

    near: bool = True
    min_similarity: float | None = None
    one_sided: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class ReleasePlan:
    """What becomes of each row.

    Attributes:
        stays: (N,) the number of the row in whose place it stands; -1: left out.
        drops: rows left out, by reason.
    """

    stays: NDArray[np.int64]
    drops: Counter[str]


def plan_release(
    parts: Sequence[Path], bounds: FilterBounds, min_bead_score: float | None, copies: CopyRules
) -> ReleasePlan:
    """Decides about each row: bounds first, then copies, then one translation a sentence.

    Args:
        parts: files of scored rows.
        bounds: that a pair must keep.
        min_bead_score: the least score of a bead; None lets all pass.
        copies: which pairs are one.
    """
    told = _read_told(parts, bounds, min_bead_score, copies.near)
    stays = np.full(len(told.margins), -1, np.int64)
    drops = told.drops.copy()

    # Of pairs with one key the best stays.
    number = np.flatnonzero(told.is_kept)
    if len(number):
        best = choose_best(told.keys["pair"][number], told.margins[number])
        stays[number] = number[best]
        is_copy = best != np.arange(len(number))
        drops["copy or near copy of a better pair"] += int(is_copy.sum())

    # Then of pairs that are alike.
    if copies.min_similarity is not None:
        is_first = stays == np.arange(len(stays))
        near = choose_near(parts, told.sizes, is_first, told.margins, copies.min_similarity)
        drops["near copy of a better pair"] += int((near != np.arange(len(near))).sum())
        stays[stays >= 0] = near[stays[stays >= 0]]

    # Then of each sentence the best pair, if one translation is wanted.
    for side in () if copies.one_sided else ("source", "target"):
        number = np.flatnonzero(stays == np.arange(len(stays)))
        best = choose_best(told.keys[side][number], told.margins[number])
        gone = number[best != np.arange(len(number))]
        stays[np.isin(stays, gone)] = -1
        drops[f"{side} has a better pair"] += len(gone)
    return ReleasePlan(stays, +drops)


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """What decides, of all rows: hashes of pairs and sides, margins, and who keeps the bounds."""

    sizes: list[int]
    keys: dict[str, NDArray[np.uint64]]
    margins: NDArray[np.float32]
    is_kept: NDArray[np.bool_]
    drops: Counter[str]


def _read_told(
    parts: Sequence[Path], bounds: FilterBounds, min_bead_score: float | None, near: bool
) -> _Told:
    drops: Counter[str] = Counter()
    sizes: list[int] = []
    digests = {name: bytearray() for name in ("pair", "source", "target")}
    margins: list[float] = []
    is_kept: list[bool] = []
    for path in parts:
        rows = list(read_rows(path))
        sizes.append(len(rows))
        if not rows:
            continue
        names = [name for name, value in rows[0].items() if isinstance(value, float)]
        columns = {name: np.array([row[name] for row in rows], np.float32) for name in names}
        reasons = [
            reason or (_LETTERLESS if is_letterless(row["source"], row["target"]) else "")
            for reason, row in zip(find_reasons(columns, bounds, min_bead_score), rows, strict=True)
        ]
        drops.update(filter(None, reasons))
        is_kept += [not reason for reason in reasons]
        margins += [row["margin_score"] for row in rows]
        for row in rows:
            langs = f"{row['source_lang']}-{row['target_lang']}"
            pair = (row["source"], row["target"], langs)
            digests["pair"] += near_key(*pair) if near else _digest(*pair)
            for side in ("source", "target"):
                digests[side] += _digest(langs, row[side])
    keys = {
        name: np.frombuffer(bytes(found), "<u8").reshape(-1, 2) for name, found in digests.items()
    }
    return _Told(sizes, keys, np.array(margins, np.float32), np.array(is_kept, bool), drops)


def _digest(*parts: str) -> bytes:
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).digest()


class PlannedRelease:
    """Reads the pairs that stay, with the addresses of all that they stand for.

    Attributes:
        drops: pairs that are left out for their addresses, by reason.
        num_pairs: read, by pair of languages.
        hosts: pairs read, by host.
        removed: what excluded addresses have taken out.
    """

    def __init__(self, plan: ReleasePlan, excluded: set[str], model_sha256: str) -> None:
        self._plan = plan
        self._excluded = excluded
        self._model_sha256 = model_sha256
        self.drops: Counter[str] = Counter()
        self.num_pairs: Counter[str] = Counter()
        self.hosts: Counter[str] = Counter()
        self.removed: list[dict[str, object]] = []

    def iter_pairs(self, parts: Sequence[Path]) -> Iterator[ReleasedPair]:
        """Yields the pairs in the order of their rows."""
        stays = self._plan.stays
        is_copy = (stays >= 0) & (stays != np.arange(len(stays)))
        taken: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for number, row in _iter_rows(parts):
            if is_copy[number]:
                kept = ("source_urls", "target_urls", "dates")
                taken[int(stays[number])].append({name: row[name] for name in kept})
        for number, row in _iter_rows(parts):
            if stays[number] == number and (pair := self._build(row, taken.get(number, []))):
                yield pair

    def _build(
        self, row: Mapping[str, Any], copies: Sequence[Mapping[str, Any]]
    ) -> ReleasedPair | None:
        urls = {name: self._join_urls(name, row, copies) for name in ("source_urls", "target_urls")}
        if not (urls["source_urls"] and urls["target_urls"]):
            self.drops["stands under excluded addresses alone"] += 1
            return None
        days = sorted({day for one in (row, *copies) for day in one["dates"]})
        self.num_pairs[f"{row['source_lang']}-{row['target_lang']}"] += 1
        self.hosts.update({host_of(url) for name in urls for url in urls[name]})
        scores = {
            name: value
            for name, value in row.items()
            if isinstance(value, float) and name not in _UNTOLD_SCORES
        }
        return ReleasedPair(
            row["source"],
            row["target"],
            row["source_lang"],
            row["target_lang"],
            {name: scores.pop(name) for name in _TOLD_SCORES} | scores,
            urls["source_urls"],
            urls["target_urls"],
            tuple(sorted({days[0], days[-1]})) if days else (),
            row["method"],
            __version__,
            self._model_sha256,
        )

    def _join_urls(
        self, name: str, row: Mapping[str, Any], copies: Sequence[Mapping[str, Any]]
    ) -> tuple[str, ...]:
        """Returns the addresses of a row and its copies that are not excluded."""
        found = dict.fromkeys(url for one in (row, *copies) for url in one[name])
        if gone := [url for url in found if url in self._excluded]:
            self.removed.append({"source": row["source"], "target": row["target"], "urls": gone})
        return tuple(url for url in found if url not in self._excluded)


def _iter_rows(parts: Sequence[Path]) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for path in parts:
        for row in read_rows(path):
            yield number, row
            number += 1
