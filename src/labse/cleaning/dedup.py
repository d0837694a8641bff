"""Exact copies: each row once, whatever the order and number of the files.

Takes: files of text or pairs. Gives: shards whose rows are sorted by a hash of their content, so
that the same set of rows gives the same bytes; copies are equal in all columns, so it does not
matter which stays. Near copies: `near_copies`.
Source: docs/cleaning.md; hash of Yann Collet, XXH3, 128 bits.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from labse import __version__
from labse.cleaning.near_copies import drop_near_copies
from labse.cluster.run import OnProgress, count_rows, run_tasks
from labse.cluster.tasks import Executor, Task
from labse.corpus.inputs import hash_files
from labse.corpus.languages import canonical_tag, canonical_tags
from labse.corpus.shards import (
    ROWS_PER_SHARD,
    CorpusKind,
    column_names,
    expand_folders,
    iter_rows,
    pair_files,
    read_shard,
    write_shard,
)
from labse.corpus.tables import ColumnNames
from labse.files.atomic import MANIFEST_NAME, check_writable, write_atomic
from labse.files.objects import local_file
from labse.files.stage import Stage, open_stage
from labse.runtime import require, resumable

__all__ = ["DedupReport", "cut_step", "dedup_files", "merge_step", "partition_step"]

_PARTITION_BYTES = 1 << 25  # Of input files, compressed or not, to a partition.
_MAX_PARTITIONS = 256  # Files that are open at once.
_KEYS = ("key_high", "key_low")


@dataclass(frozen=True, slots=True)
class DedupReport:
    """Rows read and written.

    Attributes:
        num_rows: read.
        num_exact: of them, copies of another row.
        num_near: of the rest, near copies of another row.
        kept: rows written, by language, `eng-deu` for pairs.
    """

    num_rows: int
    num_exact: int
    num_near: int
    kept: dict[str, int]


def dedup_files(
    files: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    kind: CorpusKind = "mono",
    lang: str | None = None,
    langs: tuple[str | None, str | None] = (None, None),
    columns: ColumnNames | None = None,
    skip_unknown: bool = False,
    min_similarity: float | None = None,
    workers: int | Executor = 1,
    rows_per_shard: int = ROWS_PER_SHARD,
    on_progress: OnProgress = lambda *_: None,
) -> DedupReport:
    """Writes each row once to `out/part-00000.parquet` and so on.

    Each worker holds a partition of the rows (32 MiB of files); near copies also need the text of
    all candidates.

    Args:
        files: text, tables, or folders of shards; of pairs also TMX, or two aligned text files.
        out: the folder to make, or to go on in.
        kind: what the rows are; a row is a copy if all its columns are equal, the language too.
        lang: the language of text files.
        langs: of source and target of pairs, where no column tells.
        columns: where tables of others have their columns.
        skip_unknown: whether rows of a language that is not known are left out, not an error.
        min_similarity: Jaccard similarity of 5-grams of characters from which two rows of one
            language are near copies; None keeps near copies.
        workers: processes, or what runs the tasks elsewhere.
        rows_per_shard: rows of a shard at most.
        on_progress: called with the rows done and their number, of each step anew.

    Raises:
        LabseError: broken data.
        UsageError: `out` was made of other files or in another way, or another process works there.
        ResourceError: `out` cannot be written, or a package is missing.
    """
    out, lang = Path(out), None if lang is None else canonical_tag(lang)
    langs = canonical_tags(langs)
    check_writable(out / MANIFEST_NAME)
    packages = ["pyarrow.parquet", "xxhash", *(["rensa"] if min_similarity is not None else [])]
    for package in packages:
        require(package, "corpus")
    paths = expand_folders(files)
    targets = pair_files(paths, kind, lang, langs, columns)
    settings: dict[str, object] = {"labse_version": __version__, "inputs": hash_files(paths)}
    settings |= {"kind": kind, "lang": lang, "min_similarity": min_similarity}
    settings |= {"rows_per_shard": rows_per_shard}
    settings |= {} if langs == (None, None) else {"langs": list(langs)}
    settings |= {"columns": dict(columns)} if columns else {}
    settings |= {"skip_unknown": True} if skip_unknown else {}
    with resumable(out), open_stage(out, settings, section=None) as stage:
        if stage.manifest is None:
            num_bytes = sum(local_file(path).stat().st_size for path in paths)
            num_partitions = min(1 + num_bytes // _PARTITION_BYTES, _MAX_PARTITIONS)
            report = _write_distinct(settings, targets, stage, num_partitions, workers, on_progress)
            stage.finish(settings | {"report": asdict(report)})
        return DedupReport(**cast("dict[str, dict[str, int]]", stage.manifest)["report"])  # type: ignore[arg-type]


def _write_distinct(
    settings: dict[str, object],
    targets: Mapping[str, str | None],
    stage: Stage,
    num_partitions: int,
    workers: int | Executor,
    on_progress: OnProgress,
) -> DedupReport:
    # Rows go to the partition of their hash, so that all copies of one meet.
    tasks = _partition_tasks(settings, targets, stage.work, num_partitions)
    parted = run_tasks(tasks, stage, workers=workers, on_result=count_rows(on_progress))
    num_rows = sum(cast("int", result["num_rows"]) for result in parted)

    # Each partition is sorted, and the first of its copies kept.
    tasks = _merge_tasks(settings, stage.work, num_partitions, len(parted))
    count = count_rows(on_progress, num_rows)
    merged = run_tasks(tasks, stage, workers=workers, on_result=count)
    kept: Counter[str] = Counter()
    for result in merged:
        kept.update(cast("dict[str, int]", result["kept"]))
    num_exact = num_rows - kept.total()

    # What is left becomes shards of equal size; near copies are looked for in them.
    min_similarity = cast("float | None", settings["min_similarity"])
    place = stage.folder if min_similarity is None else stage.work / "exact"
    counts = [sum(cast("dict[str, int]", result["kept"]).values()) for result in merged]
    tasks = _cut_tasks(settings, stage.work, counts, place)
    run_tasks(tasks, stage, workers=workers)
    kind = cast("CorpusKind", settings["kind"])
    shards = [Path(task.outputs[0]) for task in tasks]
    num_near = 0
    if min_similarity is not None:
        dropped = drop_near_copies(shards, stage, kind, min_similarity, workers, on_progress)
        num_near = dropped.total()
        kept -= dropped
    return DedupReport(num_rows, num_exact, num_near, dict(sorted(kept.items())))


def partition_step(
    path: str,
    pieces: Sequence[str],
    *,
    kind: CorpusKind,
    lang: str | None,
    target: str | None = None,
    langs: Sequence[str | None] = (None, None),
    columns: ColumnNames | None = None,
    skip_unknown: bool = False,
) -> dict[str, object]:
    """Deals the rows of a file out to pieces by the first bits of their hash.

    Args:
        path: of the file.
        pieces: the Parquet files to write, one a partition.
        kind: what the rows are.
        lang: see `iter_rows`.
        target: likewise.
        langs: likewise.
        columns: likewise.
        skip_unknown: likewise.
    """
    arrow, parquet = require("pyarrow", "corpus"), require("pyarrow.parquet", "corpus")
    names = column_names(kind)
    fields = [(name, arrow.string()) for name in names]
    schema = arrow.schema(fields + [(key, arrow.uint64()) for key in _KEYS])
    num_rows = 0
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(write_atomic(piece)) for piece in pieces]
        writers = [stack.enter_context(parquet.ParquetWriter(s, schema)) for s in streams]
        rows = iter_rows(
            path,
            kind,
            lang,
            target=target,
            langs=(langs[0], langs[1]),
            columns=columns,
            skip_unknown=skip_unknown,
        )
        while batch := list(islice(rows, ROWS_PER_SHARD)):
            num_rows += len(batch)
            keys = _hash_rows(batch)
            texts = [arrow.array(column) for column in zip(*batch, strict=True)]
            table = arrow.table([*texts, *keys], schema=schema)
            places = (keys[0] >> np.uint64(32)) * np.uint64(len(pieces)) >> np.uint64(32)
            for number, writer in enumerate(writers):
                chosen = np.flatnonzero(places == number)
                if len(chosen):
                    writer.write_table(table.take(chosen))
    return {"num_rows": num_rows}


def merge_step(pieces: Sequence[str], out: str, *, kind: CorpusKind) -> dict[str, object]:
    """Writes the rows of one partition, sorted by hash, each once."""
    arrow = require("pyarrow", "corpus")
    table = arrow.concat_tables([read_shard(piece) for piece in pieces])
    order = require("pyarrow.compute", "corpus").sort_indices(
        table, sort_keys=[(key, "ascending") for key in _KEYS]
    )
    table = table.take(order)
    high, low = (table.column(key).to_numpy() for key in _KEYS)
    is_first = np.ones(len(high), bool)
    is_first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    kept = table.select(list(column_names(kind))).filter(arrow.array(is_first))
    write_shard(Path(out), kept)
    langs = [kept.column(name).to_pylist() for name in column_names(kind) if "lang" in name]
    counts = Counter("-".join(tags) for tags in zip(*langs, strict=True))
    return {"num_rows": table.num_rows, "kept": dict(sorted(counts.items()))}


def cut_step(
    parts: Sequence[str], out: str, *, start: int, num_rows: int, kind: CorpusKind
) -> dict[str, object]:
    """Writes some rows of partitions that follow each other, from row `start` of the first on."""
    arrow = require("pyarrow", "corpus")
    tables = [read_shard(part) for part in parts]
    table = arrow.concat_tables(tables).slice(start, num_rows).select(list(column_names(kind)))
    write_shard(Path(out), table.combine_chunks())
    return {"num_rows": table.num_rows}


def _hash_rows(rows: Sequence[tuple[str, ...]]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Returns the upper and the lower half of the hash of each row; no text has a line feed."""
    digest = require("xxhash", "corpus").xxh3_128_digest
    digests = b"".join([digest("\n".join(row).encode()) for row in rows])
    halves = np.frombuffer(digests, ">u8").reshape(-1, 2).astype(np.uint64)
    return np.ascontiguousarray(halves[:, 0]), np.ascontiguousarray(halves[:, 1])


def _partition_tasks(
    settings: dict[str, object],
    targets: Mapping[str, str | None],
    work: Path,
    num_partitions: int,
) -> list[Task]:
    tasks = []
    options = {"kind": settings["kind"], "lang": settings["lang"]}
    options["langs"] = settings.get("langs", [None, None])
    options |= {key: settings[key] for key in ("columns", "skip_unknown") if key in settings}
    hashes = cast("dict[str, str]", settings["inputs"])
    for number, (path, target) in enumerate(targets.items()):
        digest = " ".join(hashes[file] for file in (path, target) if file is not None)
        pieces = [str(p) for p in _piece_paths(work, number, range(num_partitions))]
        places = {"path": path, "target": target, "pieces": pieces}
        name = f"partition/{number:06}"
        tasks.append(Task(name, partition_step, options, digest, tuple(pieces), places))
    return tasks


def _merge_tasks(
    settings: dict[str, object], work: Path, num_partitions: int, num_files: int
) -> list[Task]:
    tasks = []
    inputs = " ".join(cast("dict[str, str]", settings["inputs"]).values())
    for partition in range(num_partitions):
        pieces = [str(next(_piece_paths(work, n, [partition]))) for n in range(num_files)]
        merged = str(_merged_path(work, partition))
        arguments, places = {"kind": settings["kind"]}, {"pieces": pieces, "out": merged}
        name = f"merge/{partition:06}"
        tasks.append(Task(name, merge_step, arguments, inputs, (merged,), places))
    return tasks


def _cut_tasks(
    settings: dict[str, object], work: Path, counts: Sequence[int], folder: Path
) -> list[Task]:
    """Cuts partitions of so many rows into shards of equal size; there is at least one."""
    size, total = cast("int", settings["rows_per_shard"]), sum(counts)
    ends = np.cumsum(counts)
    inputs = " ".join(cast("dict[str, str]", settings["inputs"]).values())
    tasks = []
    for number, start in enumerate(range(0, max(total, 1), size)):
        stop = min(start + size, total)
        first = int(np.searchsorted(ends, start, side="right")) if total else 0
        last = int(np.searchsorted(ends, stop))
        parts = [str(_merged_path(work, part)) for part in range(first, last + 1)]
        skipped = start - int(ends[first]) + counts[first]
        out = str(folder / f"part-{number:05}.parquet")
        arguments = {"start": skipped, "num_rows": stop - start, "kind": settings["kind"]}
        places = {"parts": parts, "out": out}
        tasks.append(Task(f"cut/{number:06}", cut_step, arguments, inputs, (out,), places))
    return tasks


def _piece_paths(work: Path, number: int, partitions: Sequence[int]) -> Iterator[Path]:
    """Yields where the rows of file `number` in each partition stand."""
    folder = work / "pieces" / f"{number:06}"
    folder.mkdir(parents=True, exist_ok=True)
    for partition in partitions:
        yield folder / f"{partition:04}.parquet"


def _merged_path(work: Path, partition: int) -> Path:
    folder = work / "merged"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{partition:04}.parquet"
