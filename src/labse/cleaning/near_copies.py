"""Near copies: rows that differ in little, found by MinHash and verified by Jaccard.

Takes: shards without exact copies. Gives: shards without near copies.
Source: Broder 1997, MinHash; Leskovec et al., Mining of Massive Datasets, chapter 3, banding. Of
two near copies the longer stays, of equal ones that with the smaller hash: the rule looks at rows
alone, never at their order in the input.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.characters import HASH_FACTOR, build_block
from labse.cluster.run import OnProgress, count_rows, run_tasks
from labse.cluster.tasks import Executor, Task
from labse.corpus.shards import CorpusKind, column_names, read_shard, write_shard
from labse.files.atomic import sha256_file, write_atomic
from labse.files.npy import ragged_positions
from labse.files.stage import Stage
from labse.runtime import require

__all__ = ["drop_near_copies", "filter_step", "jaccard_similarity", "sign_step"]

_ORDER = 5  # Characters of a shingle.
_NUM_BANDS, _BAND_ROWS = 16, 4  # Finds 99.98 % of the pairs at 0.8, 99.2 % at 0.7, 64 % at 0.5.
_NUM_HASHES = _NUM_BANDS * _BAND_ROWS
_SEED = 1
_SIGN_ROWS = 5000
_MAX_ALL_PAIRS = 16  # In a larger bucket each row meets the first one and its neighbour.
_ROW_BITS = 32
_Ids = NDArray[np.uint64]


def drop_near_copies(
    shards: Sequence[Path],
    stage: Stage,
    kind: CorpusKind,
    min_similarity: float,
    workers: int | Executor,
    on_progress: OnProgress,
) -> Counter[str]:
    """Writes the shards without near copies to the stage; returns the rows dropped, by language.

    Row r of shard s is `s << 32 | r` here. Holds the band keys of a sixteenth of the rows at a
    time, and the text of all candidates.
    """
    work = stage.work / "near"
    work.mkdir(exist_ok=True)
    keys = [work / f"{number:05}.npy" for number in range(len(shards))]
    signing = [
        Task(
            f"sign/{path.stem}",
            sign_step,
            {"number": number, "kind": kind},
            sha256_file(shard),
            (str(path),),
            {"shard": str(shard), "out": str(path)},
        )
        for number, (shard, path) in enumerate(zip(shards, keys, strict=True))
    ]
    run_tasks(signing, stage, workers=workers, on_result=count_rows(on_progress))
    edges = _find_candidates(keys)
    rows = _read_rows(shards, {row for edge in edges for row in edge}, kind)
    similar = [edge for edge in edges if _is_near(rows[edge[0]], rows[edge[1]], min_similarity)]
    dropped = _choose_dropped(similar, rows)
    counts: Counter[str] = Counter()
    for number, shard in enumerate(shards):
        gone = [row & (1 << _ROW_BITS) - 1 for row in dropped if row >> _ROW_BITS == number]
        counts.update(filter_step(str(shard), str(stage.folder / shard.name), gone, kind=kind))
    return counts


def sign_step(shard: str, out: str, *, number: int, kind: CorpusKind) -> dict[str, object]:
    """Writes (bands * rows, 2) uint64 keys of bands with the row that has each, sorted by key.

    Rows of different languages never share a key.
    """
    rows = _table_rows(shard, kind)
    found = [
        _band_keys(rows[start : start + _SIGN_ROWS], number << _ROW_BITS | start)
        for start in range(0, len(rows), _SIGN_ROWS)
    ]
    pairs = np.concatenate([np.zeros((0, 2), np.uint64), *found])
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    with write_atomic(out) as stream:
        np.save(stream, pairs)
    return {"num_rows": len(rows)}


def filter_step(
    shard: str, out: str, dropped: Sequence[int], *, kind: CorpusKind
) -> dict[str, int]:
    """Writes a shard without the rows of these numbers; returns how many went, by language."""
    arrow = require("pyarrow", "corpus")
    table = read_shard(shard)
    is_kept = np.ones(table.num_rows, bool)
    is_kept[list(dropped)] = False
    write_shard(Path(out), table.filter(arrow.array(is_kept)))
    rows = _table_rows(shard, kind)
    return dict(Counter(rows[row][0] for row in sorted(dropped)))


def jaccard_similarity(text: str, other: str) -> float:
    """Returns the share of the distinct 5-grams of characters, case folded, that both have."""
    grams, others = _shingles(text), _shingles(other)
    return len(grams & others) / len(grams | others)


# ---- candidates ------------------------------------------------------------------------------


def _band_keys(rows: Sequence[tuple[str, str]], first: int) -> _Ids:
    """Returns (bands * rows, 2) keys and rows, numbered from `first`."""
    rensa = require("rensa", "corpus")
    # A text under 5 characters is one shingle, padded.
    texts = [text.casefold().ljust(_ORDER) for _, text in rows]
    block = build_block(texts)
    hashes = np.zeros(len(block.code_points), np.uint64)
    for place in range(_ORDER):
        stop = max(len(block.code_points) - place, 0)
        hashes[:stop] = (hashes[:stop] + block.code_points[place:]) * HASH_FACTOR
        hashes ^= hashes >> np.uint64(29)
    counts = block.lengths - _ORDER + 1
    edges = np.concatenate(([0], np.cumsum(counts)))
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        hashes[ragged_positions(block.starts, counts)], edges.astype(np.uint64), _NUM_HASHES, _SEED
    )
    minima = np.array(matrix.to_rows(), np.uint64).reshape(-1, _NUM_BANDS, _BAND_ROWS)
    digest = require("xxhash", "corpus").xxh3_64_intdigest
    langs = np.array([digest(lang.encode()) for lang, _ in rows], np.uint64)
    keys: _Ids = np.add(langs[:, None], np.arange(_NUM_BANDS, dtype=np.uint64))
    for place in range(_BAND_ROWS):
        keys = (keys ^ (keys >> np.uint64(29))) * HASH_FACTOR + minima[:, :, place]
    numbers = np.arange(first, first + len(rows), dtype=np.uint64)
    return np.stack([keys.ravel(), np.repeat(numbers, _NUM_BANDS)], axis=1)


def _find_candidates(paths: Sequence[Path]) -> list[tuple[int, int]]:
    """Returns the pairs of rows that share a band, sorted; a sixteenth of the keys at a time."""
    edges: set[tuple[int, int]] = set()
    arrays = [np.load(path, mmap_mode="r") for path in paths]
    for part in range(16):
        bounds = np.array([part << 60, (part + 1 << 60) - 1], np.uint64)
        slices = [
            array[
                np.searchsorted(array[:, 0], bounds[0]) : np.searchsorted(
                    array[:, 0], bounds[1], side="right"
                )
            ]
            for array in arrays
        ]
        edges.update(_pair_up(np.concatenate(slices)))
    return sorted(edges)


def _pair_up(pairs: _Ids) -> Iterable[tuple[int, int]]:
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    starts = np.flatnonzero(np.diff(pairs[:, 0], prepend=np.uint64(0)) != 0)
    starts = np.union1d(starts, [0]) if len(pairs) else starts
    sizes = np.diff(starts, append=len(pairs))
    for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        rows = pairs[start : start + size, 1].tolist()
        if size <= _MAX_ALL_PAIRS:
            yield from combinations(rows, 2)
        else:
            yield from pairwise(rows)
            yield from ((rows[0], row) for row in rows[1:])


# ---- decision --------------------------------------------------------------------------------


def _table_rows(shard: str | Path, kind: CorpusKind) -> list[tuple[str, str]]:
    """Returns language and text of each row; both of each for pairs."""
    table = read_shard(shard)
    columns = [cast("list[str]", table.column(name).to_pylist()) for name in column_names(kind)]
    if kind == "mono":
        return list(zip(*columns, strict=True))
    return [
        (f"{langs[0]}-{langs[1]}", f"{source}\n{target}")
        for *langs, source, target in zip(*columns, strict=True)
    ]


def _read_rows(
    shards: Sequence[Path], wanted: set[int], kind: CorpusKind
) -> dict[int, tuple[str, str]]:
    by_shard: dict[int, list[int]] = defaultdict(list)
    for row in wanted:
        by_shard[row >> _ROW_BITS].append(row)
    found: dict[int, tuple[str, str]] = {}
    for number, numbers in sorted(by_shard.items()):
        rows = _table_rows(shards[number], kind)
        found |= {row: rows[row & (1 << _ROW_BITS) - 1] for row in numbers}
    return found


def _is_near(row: tuple[str, str], other: tuple[str, str], min_similarity: float) -> bool:
    """Returns whether the rows are of one language and each text is like its counterpart."""
    if row[0] != other[0]:
        return False
    sides = zip(row[1].split("\n"), other[1].split("\n"), strict=True)
    return all(jaccard_similarity(text, like) >= min_similarity for text, like in sides)


def _choose_dropped(
    similar: Sequence[tuple[int, int]], rows: Mapping[int, tuple[str, str]]
) -> list[int]:
    """Returns the rows that are near copies of one that stays, going from long to short.

    A row that is like a dropped one only is kept: likeness is not handed on.
    """
    neighbours: dict[int, list[int]] = defaultdict(list)
    for row, other in similar:
        neighbours[row].append(other)
        neighbours[other].append(row)
    kept: set[int] = set()
    dropped = []
    for row in sorted(neighbours, key=lambda row: (-len(rows[row][1]), row)):
        if kept.isdisjoint(neighbours[row]):
            kept.add(row)
        else:
            dropped.append(row)
    return sorted(dropped)


def _shingles(text: str) -> set[str]:
    text = text.casefold().ljust(_ORDER)
    return {text[place : place + _ORDER] for place in range(len(text) - _ORDER + 1)}
