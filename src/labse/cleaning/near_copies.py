"""Near copies: rows that differ in little, found by MinHash and verified by Jaccard.

Takes: shards without exact copies. Gives: shards without near copies.
Source: Broder 1997, MinHash; Leskovec et al., Mining of Massive Datasets, chapter 3, banding. Of
two near copies the longer stays, of equal ones that with the smaller hash: the rule looks at rows
alone, never at their order in the input.
"""

import hashlib
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain, combinations, pairwise
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

__all__ = [
    "compare_step",
    "drop_near_copies",
    "filter_step",
    "find_near_copies",
    "jaccard_similarity",
    "pair_step",
    "sign_step",
    "split_rows",
]

_ORDER = 5  # Characters of a shingle.
_NUM_BANDS, _BAND_ROWS = 16, 4  # Finds 99.98 % of the pairs at 0.8, 99.2 % at 0.7, 64 % at 0.5.
_NUM_HASHES = _NUM_BANDS * _BAND_ROWS
_SEED = 1
_SIGN_ROWS = 5000
_LEAST_PART_BITS, _PART_BYTES = 4, 1 << 28  # Of keys that are held at a time.
_COMPARED_PAIRS = 1 << 20  # At a time, with their texts.
_MAX_ALL_PAIRS = 16  # In a larger bucket each row meets the first one and its neighbour.
_ROW_BITS = 32
_Ids = NDArray[np.uint64]
_EMPTY = np.zeros((0, 4), np.uint64)


def drop_near_copies(
    shards: Sequence[Path],
    stage: Stage,
    kind: CorpusKind,
    min_similarity: float,
    workers: int | Executor,
    on_progress: OnProgress,
) -> Counter[str]:
    """Writes the shards without near copies to the stage; returns the rows dropped, by language.

    What is held is that of `find_near_copies`, or a shard.
    """
    similar = find_near_copies(shards, stage, kind, min_similarity, workers, on_progress)
    dropped = _choose_dropped(similar)
    work = stage.work / "near"
    with write_atomic(work / "dropped.npy") as stream:
        np.save(stream, dropped)

    # Each shard loses its own.
    hashes, digest = [sha256_file(shard) for shard in shards], sha256_file(work / "dropped.npy")
    tasks = _filter_tasks(shards, hashes, stage.folder, work / "dropped.npy", digest, kind)
    counts: Counter[str] = Counter()
    for result in run_tasks(tasks, stage=stage, workers=workers):
        counts.update(cast("dict[str, int]", result["dropped"]))
    return counts


def find_near_copies(
    shards: Sequence[Path],
    stage: Stage,
    kind: CorpusKind,
    min_similarity: float,
    workers: int | Executor = 1,
    on_progress: OnProgress = lambda *_: None,
) -> _Ids:
    """Returns (pairs, 4): both rows of each pair that is alike, the lower first, and their lengths.

    Row r of shard s is `s << 32 | r` here. Here, pairs of rows that may be alike are held, 16 bytes
    each; a task holds the keys of a part of the rows, or the text of some pairs.
    """
    work = stage.work / "near"
    work.mkdir(exist_ok=True)
    hashes = [sha256_file(shard) for shard in shards]
    content = hashlib.sha256(" ".join(hashes).encode()).hexdigest()
    run = partial(run_tasks, stage=stage, workers=workers)

    # Each shard is signed, and rows that share a band of their signature are paired.
    keys = [work / f"{number:05}.npy" for number in range(len(shards))]
    signed = run(_sign_tasks(shards, hashes, keys, kind), on_result=count_rows(on_progress))
    num_rows = sum(cast("int", result["num_rows"]) for result in signed)
    tasks = _pair_tasks(keys, content, work, _choose_num_parts(num_rows))
    run(tasks)
    edges = _join_edges(tasks)

    # The texts of pairs are compared.
    with write_atomic(work / "edges.npy") as stream:
        np.save(stream, edges)
    tasks = _compare_tasks(shards, content, work, len(edges), min_similarity, kind)
    run(tasks)
    return np.concatenate([_EMPTY, *(np.load(task.outputs[0]) for task in tasks)])


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


def pair_step(keys: Sequence[str], out: str, *, part: int, num_parts: int) -> dict[str, object]:
    """Writes (pairs, 2) uint64 rows that share a band, sorted, the lower row first.

    Args:
        keys: the files of `sign_step`.
        out: the file to write.
        part: of the keys; those of one band are all in one part.
        num_parts: parts, a power of 2.
    """
    width = (1 << 64) // num_parts
    slices = []
    for path in keys:
        array = np.load(path, mmap_mode="r")
        # Not `searchsorted`, which would read the whole column to have it in one piece.
        first, last = (
            bisect_left(range(len(array)), bound, key=lambda row: int(array[row, 0]))
            for bound in (part * width, (part + 1) * width)
        )
        slices.append(array[first:last])
    pairs = chain.from_iterable(_pair_up(np.concatenate(slices)))
    edges = _sort_distinct([np.fromiter(pairs, np.uint64).reshape(-1, 2)])
    with write_atomic(out) as stream:
        np.save(stream, edges)
    return {"num_pairs": len(edges)}


def compare_step(
    edges: str,
    shards: Sequence[str],
    out: str,
    *,
    pairs: Sequence[int],
    min_similarity: float,
    kind: CorpusKind,
) -> dict[str, object]:
    """Writes (pairs, 4) uint64: the two rows of each pair that is alike, and their lengths.

    Args:
        edges: (pairs, 2) rows.
        shards: all of them, in their order.
        out: the file to write.
        pairs: the first pair to compare, and the one after the last.
        min_similarity: see `jaccard_similarity`.
        kind: what the rows are.
    """
    chosen = np.load(edges, mmap_mode="r")[slice(*pairs)].tolist()
    rows = _read_rows(shards, {row for edge in chosen for row in edge}, kind)
    similar = [
        (row, other, len(rows[row][1]), len(rows[other][1]))
        for row, other in chosen
        if _is_near(rows[row], rows[other], min_similarity)
    ]
    with write_atomic(out) as stream:
        np.save(stream, np.array(similar, np.uint64).reshape(-1, 4))
    return {"num_pairs": len(similar)}


def filter_step(
    shard: str, dropped: str, out: str, *, number: int, kind: CorpusKind
) -> dict[str, object]:
    """Writes a shard without the rows that are dropped; counts those, by language.

    Args:
        shard: the file to read.
        dropped: of the rows that go, of all shards, ascending.
        out: the file to write.
        number: of the shard.
        kind: what the rows are.
    """
    arrow = require("pyarrow", "corpus")
    gone = np.load(dropped, mmap_mode="r")
    bounds = np.array([number << _ROW_BITS, (number + 1) << _ROW_BITS], np.uint64)
    _, rows = split_rows(gone[slice(*np.searchsorted(gone, bounds))])
    table = read_shard(shard)
    is_kept = np.ones(table.num_rows, bool)
    is_kept[rows] = False
    write_shard(Path(out), table.filter(arrow.array(is_kept)))
    texts = _table_rows(shard, kind)
    return {"dropped": dict(sorted(Counter(texts[row][0] for row in rows.tolist()).items()))}


def split_rows(rows: _Ids) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the shard of each row of `find_near_copies`, and its place there."""
    low = np.uint64((1 << _ROW_BITS) - 1)
    return (rows >> np.uint64(_ROW_BITS)).astype(np.int64), (rows & low).astype(np.int64)


def jaccard_similarity(text: str, other: str) -> float:
    """Returns the share of the distinct 5-grams of characters, case folded, that both have."""
    grams, others = _shingles(text), _shingles(other)
    return len(grams & others) / len(grams | others)


# ---- tasks -----------------------------------------------------------------------------------


def _sign_tasks(
    shards: Sequence[Path], hashes: Sequence[str], keys: Sequence[Path], kind: CorpusKind
) -> list[Task]:
    tasks = []
    for number, (shard, digest, path) in enumerate(zip(shards, hashes, keys, strict=True)):
        arguments, places = (
            {"number": number, "kind": kind},
            {"shard": str(shard), "out": str(path)},
        )
        name = f"sign/{path.stem}"
        tasks.append(Task(name, sign_step, arguments, digest, (str(path),), places))
    return tasks


def _pair_tasks(keys: Sequence[Path], content: str, work: Path, num_parts: int) -> list[Task]:
    tasks = []
    for part in range(num_parts):
        out = str(work / f"pairs-{part:05}.npy")
        places = {"keys": [str(path) for path in keys], "out": out}
        arguments = {"part": part, "num_parts": num_parts}
        tasks.append(Task(f"pair/{part:05}", pair_step, arguments, content, (out,), places))
    return tasks


def _join_edges(tasks: Sequence[Task]) -> _Ids:
    """Returns all pairs of rows, sorted, each once: two may share bands of several parts."""
    edges, pending = _EMPTY[:, :2], [_EMPTY[:, :2]]
    for task in tasks:
        pending.append(np.load(task.outputs[0]))
        if sum(map(len, pending)) > max(len(edges), _COMPARED_PAIRS):
            edges, pending = _sort_distinct([edges, *pending]), []
    return _sort_distinct([edges, *pending])


def _sort_distinct(edges: Sequence[_Ids]) -> _Ids:
    both = np.concatenate(edges)
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    is_first = np.ones(len(both), bool)
    is_first[1:] = (both[1:] != both[:-1]).any(axis=1)
    return both[is_first]


def _compare_tasks(
    shards: Sequence[Path],
    content: str,
    work: Path,
    num_pairs: int,
    min_similarity: float,
    kind: CorpusKind,
) -> list[Task]:
    tasks = []
    for first in range(0, num_pairs, _COMPARED_PAIRS):
        out = str(work / f"similar-{first:012}.npy")
        pairs = [first, min(first + _COMPARED_PAIRS, num_pairs)]
        arguments = {"pairs": pairs, "min_similarity": min_similarity, "kind": kind}
        places = {"edges": str(work / "edges.npy"), "shards": list(map(str, shards)), "out": out}
        name = f"compare/{first:012}"
        tasks.append(Task(name, compare_step, arguments, content, (out,), places))
    return tasks


def _filter_tasks(
    shards: Sequence[Path],
    hashes: Sequence[str],
    folder: Path,
    dropped: Path,
    digest: str,
    kind: CorpusKind,
) -> list[Task]:
    tasks = []
    for number, (shard, of_shard) in enumerate(zip(shards, hashes, strict=True)):
        out = str(folder / shard.name)
        places = {"shard": str(shard), "dropped": str(dropped), "out": out}
        inputs, arguments = f"{of_shard} {digest}", {"number": number, "kind": kind}
        name = f"filter/{shard.stem}"
        tasks.append(Task(name, filter_step, arguments, inputs, (out,), places))
    return tasks


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


def _choose_num_parts(num_rows: int) -> int:
    """Returns a power of 2: so many parts that the keys of one fit into a task."""
    num_bytes = num_rows * _NUM_BANDS * 2 * 8
    return 1 << max(_LEAST_PART_BITS, (num_bytes // _PART_BYTES).bit_length())


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
    shards: Sequence[str], wanted: set[int], kind: CorpusKind
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


def _choose_dropped(similar: _Ids) -> _Ids:
    """Returns the rows that are near copies of one that stays, going from long to short.

    A row that is like a dropped one only is kept: likeness is not handed on.

    Args:
        similar: (pairs, 4) both rows of each pair, and their lengths.
    """
    rows, firsts, places = np.unique(similar[:, :2], return_index=True, return_inverse=True)
    lengths = similar[:, 2:].ravel()[firsts].astype(np.int64)

    # The rows that each is like stand one after another in `others`.
    pairs = places.reshape(-1, 2)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    others, edges = both[:, 1], np.searchsorted(both[:, 0], np.arange(len(rows) + 1)).tolist()

    is_kept = np.zeros(len(rows), bool)
    for row in np.argsort(-lengths, kind="stable").tolist():
        is_kept[row] = not is_kept[others[edges[row] : edges[row + 1]]].any()
    dropped: _Ids = rows[~is_kept]
    return dropped


def _shingles(text: str) -> set[str]:
    text = text.casefold().ljust(_ORDER)
    return {text[place : place + _ORDER] for place in range(len(text) - _ORDER + 1)}
