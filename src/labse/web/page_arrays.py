"""The texts of pages as arrays on disk: what pairing compares, whatever the number of pages.

Takes: page records and an encoder. Gives: of each page its sentence vectors and their weights, its
    own vector, its numbers and its words; any of them is read when it is asked for.
Source: docs/web.md. Sentences are weighted by log length over the number of the site's pages that
    have them, so menus and footers count next to nothing (Thompson and Koehn 2020, section 3.2).

Dimensions: P pages, U units (sentences, or what long pages are pooled to), D of a vector.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from labse.cleaning.pair_scores import weighted_length
from labse.encoder.protocol import Encoder, encode_sentences
from labse.files.npy import RowReader, gather_ragged, load_array, release_map, write_array
from labse.files.stage import Stage
from labse.web.order_score import MAX_UNITS, PageVectors, pool_sentences
from labse.web.records import PageRecord
from labse.web.words import count_page

__all__ = ["BagName", "PageArrays", "write_page_arrays"]

BagName: TypeAlias = Literal["numbers", "words"]
Group: TypeAlias = tuple[str, Sequence[PageRecord]]

_MAX_SPAN = 8  # Pages, for each one asked for, that are read through a map.
_MAX_SENTENCES = 4_000  # Embedded together: 6 MB of vectors.


class PageArrays:
    """What of P pages lies on disk, in their order."""

    def __init__(self, folder: Path) -> None:
        names = [name for name in _FILES if name != "units"]
        self._maps = {name: load_array(folder / f"{name}.npy") for name in names}
        self._weights = np.asarray(self._maps["weights"])
        lengths = np.array(self._maps.pop("lengths"))
        edges = np.concatenate([np.zeros((1, 3), np.int64), np.cumsum(lengths, axis=0)])
        self._edges = edges[:, 0].copy()
        self._bags = {"numbers": edges[:, 1].copy(), "words": edges[:, 2].copy()}
        self._units = RowReader(folder / "units.npy")
        self._vectors = RowReader(folder / "vectors.npy")

    def load_units(self, page: int) -> PageVectors:
        """Returns the sentences of a page."""
        part = slice(int(self._edges[page]), int(self._edges[page + 1]))
        return pool_sentences(self._units.read(part), self._weights[part])

    def vectors(self, pages: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns (N, D) the unit vectors of some pages.

        Of scattered pages each is read by itself: a system maps the whole file for them.
        """
        distinct, places = np.unique(pages, return_inverse=True)
        if len(distinct) and np.ptp(distinct) < _MAX_SPAN * len(distinct):
            return cast("NDArray[np.float32]", self._maps["vectors"][pages])
        found = [self._vectors.read(slice(page, page + 1)) for page in distinct.tolist()]
        return np.concatenate([self._maps["vectors"][:0], *found])[places]

    def mean_sentence(self, pages: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns (D,) the mean over some pages of the mean of their sentences."""
        total = np.zeros(self._maps["means"].shape[1])
        for start in range(0, len(pages), _MAX_SENTENCES):
            total += self._maps["means"][pages[start : start + _MAX_SENTENCES]].sum(axis=0)
            release_map(self._maps["means"])
        return total / max(1, len(pages))

    def bag_sizes(self, name: BagName, pages: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns (N,) the number of numbers or words of some pages."""
        edges = self._bags[name]
        sizes: NDArray[np.int64] = edges[pages + 1] - edges[pages]
        return sizes

    def bags(
        self, name: BagName, pages: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Returns the hashes of the numbers or words of some pages, and (N,) how many each has."""
        return gather_ragged(self._maps[name], self._bags[name], pages)

    def release(self) -> None:
        """Lets go of the memory that holds what was read."""
        for array in self._maps.values():
            release_map(array)


def write_page_arrays(
    folder: Path, stage: Stage, groups: Iterable[Group], encoder: Encoder
) -> PageArrays:
    """Embeds pages, group by group, unless an earlier call has, and opens what was written.

    Args:
        folder: in the work of the stage.
        stage: knows which groups are done; they follow each other.
        groups: a name, unique in the stage, and pages.
        encoder: embeds sentences.
    """
    folder.mkdir(parents=True, exist_ok=True)
    width = encode_sentences(encoder, ["a"]).shape[1]
    shapes = {name: (width,) if name in _WIDE else () for name in _FILES} | {"lengths": (3,)}
    num_rows: Mapping[str, int] = dict.fromkeys(_FILES, 0)
    with ExitStack() as stack:
        append: dict[str, Callable[[NDArray[Any]], None]] = {}

        def go_on() -> None:
            """Cuts off what a kill has left, and opens the files for more."""
            for file, dtype in _FILES.items() if not append else ():
                path, resume_rows = folder / f"{file}.npy", num_rows[file]
                writing = write_array(path, dtype, shapes[file], resume_rows=resume_rows)
                append[file] = stack.enter_context(writing)

        for name, pages in groups:
            done = stage.result(name)
            if done is not None and not append:
                num_rows = cast("dict[str, int]", done["num_rows"])
                continue
            go_on()
            parts: dict[str, list[NDArray[Any]]] = {file: [] for file in _FILES}
            added = dict(num_rows)
            for part in _slices(pages):
                for file, rows in _compute(part, encoder).items():
                    added[file] += len(rows)
                    if file == "units":  # The bulk of it.
                        append[file](rows)
                    else:
                        parts[file].append(rows)
            for file, found in parts.items():
                if found:
                    append[file](np.concatenate(found))
            num_rows = added
            stage.add(name, {"num_rows": num_rows})
        go_on()
    return PageArrays(folder)


_FILES: dict[str, DTypeLike] = {
    "units": np.float16,
    "weights": np.float32,
    "vectors": np.float32,
    "means": np.float32,
    "numbers": np.uint64,
    "words": np.uint64,
    "lengths": np.int64,
}
_WIDE = ("units", "vectors", "means")


def _slices(pages: Sequence[PageRecord]) -> Iterator[list[PageRecord]]:
    part: list[PageRecord] = []
    num_sentences = 0
    for page in pages:
        if part and num_sentences + len(page.sentences) > _MAX_SENTENCES:
            yield part
            part, num_sentences = [], 0
        part.append(page)
        num_sentences += len(page.sentences)
    if part:
        yield part


def _compute(pages: Sequence[PageRecord], encoder: Encoder) -> dict[str, NDArray[Any]]:
    """Returns the rows of some pages for each file."""
    texts: dict[str, int] = {}
    places = [texts.setdefault(s, len(texts)) for page in pages for s in page.sentences]
    vectors = encode_sentences(encoder, list(texts)).astype(np.float16)
    rows: dict[str, list[NDArray[Any]]] = {name: [] for name in _FILES}
    start = 0
    for page in pages:
        stop = start + len(page.sentences)
        raw, weights = vectors[places[start:stop]], _weigh(page)
        start = stop
        pooled = pool_sentences(raw, weights)
        is_long = len(raw) > MAX_UNITS
        rows["units"].append(pooled.vectors.astype(np.float16) if is_long else raw)
        rows["weights"].append(pooled.weights)
        total = pooled.weights @ pooled.vectors
        rows["vectors"].append(total[None] / max(float(np.linalg.norm(total)), 1e-6))
        rows["means"].append(pooled.vectors.mean(axis=0)[None])
        numbers, words = count_page(page.sentences, page.counts)
        rows["numbers"].append(numbers)
        rows["words"].append(words)
        rows["lengths"].append(np.array([[len(pooled.weights), len(numbers), len(words)]]))
    return {name: np.concatenate(found) for name, found in rows.items()}


def _weigh(page: PageRecord) -> NDArray[np.float32]:
    lengths = [weighted_length(sentence) for sentence in page.sentences]
    weights: NDArray[np.float64] = np.log1p(lengths) / np.maximum(page.counts, 1)
    return weights.astype(np.float32)
