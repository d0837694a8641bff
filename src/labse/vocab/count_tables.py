r"""Count tables: word counts on disk, in bounded memory, resumable and mergeable.

Takes: sentences of files, or the folders that other machines made.
Gives: a folder of sorted tables with a manifest; their words with smoothed weights.
Source: external merge sort (Knuth, TAOCP vol. 3, section 5.4).

A table is zstd text, a line `word \t language \t count`, sorted. It is written when the memory is
full, when `_CHECKPOINT_CHARS` of text are counted and at the end; the stage then knows how many
rows of which file are in, and a killed run counts on from there.
"""

import heapq
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import zstandard

import labse
from labse.corpus.inputs import InputFile
from labse.errors import LabseError
from labse.files.atomic import (
    MANIFEST_NAME,
    listed_file,
    read_json,
    sha256_file,
    write_atomic,
)
from labse.files.stage import JOURNAL_NAME, Stage
from labse.files.text import read_lines
from labse.vocab.counts import WordCounter, language_coefficients

__all__ = [
    "COUNTS_KIND",
    "CountTables",
    "SmoothedWords",
    "TableWriter",
    "finish_tables",
    "is_count_folder",
    "iter_merged",
    "open_tables",
    "smooth_tables",
]

COUNTS_KIND = "word-counts"

_LOGGER = logging.getLogger(__name__)
_CHECKPOINT_CHARS = 1 << 29  # The most text that a kill can cost.
# The lines of a table exist beside the counters while it is written, so those get a third.
_SPILL_SHARE = 0.35
_ZSTD_LEVEL = 3


@dataclass(frozen=True, slots=True)
class CountTables:
    """A folder of tables in which all rows of some files are counted.

    Attributes:
        inputs: the files counted, with their rows.
        tables: SHA-256 of each table by name.
        totals: word tokens of each language, 0 where it had text without words.
        lang: the language of the text files among them.
    """

    folder: Path
    inputs: list[InputFile] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)
    lang: str | None = None


def is_count_folder(path: str | Path) -> bool:
    """Tells whether a path is a folder with tables of word counts, or one that is being made."""
    manifest = Path(path) / MANIFEST_NAME
    if manifest.is_file():
        return read_json(manifest).get("kind") == COUNTS_KIND
    return (Path(path) / JOURNAL_NAME).is_file()


def open_tables(folder: str | Path) -> CountTables:
    """Loads the manifest of a folder and checks that its tables are there and whole.

    Raises:
        LabseError: no or a broken manifest, or a table is missing or damaged.
    """
    folder = Path(folder)
    path = folder / MANIFEST_NAME
    if not path.is_file() and (folder / JOURNAL_NAME).is_file():
        raise LabseError(f"{folder}: counting was stopped; run the command that made it again")
    manifest = read_json(path)
    if manifest.get("kind") != COUNTS_KIND:
        raise LabseError(f"{path}: describes no word counts; make them with `labse vocab --counts`")
    try:
        tables = CountTables(
            folder,
            [InputFile(**file) for file in manifest["inputs"]],  # type: ignore[attr-defined]
            dict(manifest["tables"]),  # type: ignore[call-overload]
            Counter(manifest["totals"]),  # type: ignore[call-overload]
            manifest["lang"],  # type: ignore[arg-type]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LabseError(f"{path}: damaged ({error}); delete the folder and count again") from None
    _check_whole(folder, tables.tables)
    return tables


def _check_whole(folder: Path, tables: Mapping[str, str]) -> None:
    for name, digest in tables.items():
        path = listed_file(folder, name)
        if not path.is_file() or sha256_file(path) != digest:
            raise LabseError(
                f"{path}: missing or damaged (its SHA-256 is not what it was when it was "
                "written); delete the folder and count again"
            )


class TableWriter:
    """Counts words into a folder of tables; what a killed run counted there stays counted.

    Args:
        stage: the folder, held by this process.
        hashes: SHA-256 of each input by its name.
        lang: the language of the text files among them.
        max_bytes: the memory that counting may take.

    Raises:
        LabseError: a table in the folder is damaged.
    """

    def __init__(
        self, stage: Stage, hashes: Mapping[str, str], *, lang: str | None, max_bytes: int
    ) -> None:
        self._stage = stage
        self._hashes = hashes
        self._lang = lang
        self._spill_bytes = int(max_bytes * _SPILL_SHARE)
        self._counter = WordCounter()
        self._num_chars = 0

        # The last table tells how far the killed run came.
        done: dict[str, Any] = {name: dict(result) for name, result in stage.results.items()}
        self._tables: dict[str, str] = {name: table["sha256"] for name, table in done.items()}
        _check_whole(stage.folder, self._tables)
        last: dict[str, Any] = (
            done[max(done)] if done else {"num_rows": [0] * len(hashes), "totals": {}}
        )
        self._rows: dict[str, int] = dict(zip(hashes, last["num_rows"], strict=True))
        self._totals: Counter[str] = Counter(last["totals"])
        if done:
            _LOGGER.info("%s: going on after %s rows", stage.folder, f"{self.num_rows():,}")

    def num_rows(self, path: str | None = None) -> int:
        """Returns how many rows of a file, or of all, are counted: the next to add is the next."""
        return sum(self._rows.values()) if path is None else self._rows[path]

    def add_row(self, path: str, sentences: Iterable[tuple[str, str]]) -> None:
        """Counts one row of a file, its texts with their languages; rows come in order."""
        for text, lang in sentences:
            self._counter.add(text, lang)
            self._num_chars += len(text)
        self._rows[path] += 1
        if self._counter.num_bytes >= self._spill_bytes or self._num_chars >= _CHECKPOINT_CHARS:
            self._spill()

    def close(self) -> CountTables:
        """Writes what is not written yet, and the manifest."""
        self._spill()
        inputs = [InputFile(path, sha, self._rows[path]) for path, sha in self._hashes.items()]
        folder = self._stage.folder
        return finish_tables(
            CountTables(folder, inputs, self._tables, self._totals, self._lang), self._stage
        )

    def _spill(self) -> None:
        """Writes a sorted table of the words in memory, and forgets them."""
        lines: list[str] = []
        for lang, words in self._counter.pop_languages():
            self._totals[lang] += words.total()
            lines.extend(f"{word}\t{lang}\t{count}\n" for word, count in words.items())
        self._num_chars = 0
        if not lines:
            return
        lines.sort()
        name = f"table-{len(self._tables):05d}.tsv.zst"
        self._tables[name] = _write_table(self._stage.folder / name, lines)
        done = {"sha256": self._tables[name], "num_rows": list(self._rows.values())}
        self._stage.add(name, {**done, "totals": dict(self._totals)})
        _LOGGER.info("%s words counted", f"{self._totals.total():,}")


def finish_tables(tables: CountTables, stage: Stage) -> CountTables:
    """Writes the manifest of the tables in a stage; returns them."""
    stage.finish(
        {
            "kind": COUNTS_KIND,
            "labse_version": labse.__version__,
            "is_complete": True,  # Readers of before 0.2 ask for it.
            "lang": tables.lang,
            "inputs": [asdict(file) for file in tables.inputs],
            "totals": dict(sorted(tables.totals.items())),
            "tables": tables.tables,
        }
    )
    return tables


@dataclass(frozen=True, slots=True)
class SmoothedWords:
    """The merged words.

    Attributes:
        weights: smoothed, sorted by word, of no more than `max_words` words.
        num_words: distinct words, also those left out.
    """

    weights: dict[str, float]
    num_words: int


def smooth_tables(
    folders: Sequence[CountTables], exponent: float, *, max_words: int
) -> SmoothedWords:
    """Merges the tables of all folders into smoothed weights.

    The same as `counts.smooth_counts` on all counts together, bit for bit, while no more than
    `max_words` words are there; of more, the heaviest are kept.

    Raises:
        LabseError: a table is damaged.
        ValueError: the exponent is not in [0, 1], or there is no word.
    """
    totals: Counter[str] = Counter()
    for tables in folders:
        totals.update(tables.totals)
    coefficients = language_coefficients(totals, exponent)

    weights: dict[str, float] = {}
    num_words = 0
    for word, counts in iter_merged(folders):
        num_words += 1
        weight = 0.0
        for lang, count in counts.items():
            weight += coefficients[lang] * count
        weights[word] = weight
        if len(weights) >= 2 * max_words:
            weights = _keep_heaviest(weights, max_words)
    if num_words > max_words:
        _LOGGER.info(
            "of %s words the heaviest %s are kept, to bound the memory",
            f"{num_words:,}",
            f"{max_words:,}",
        )
    return SmoothedWords(_keep_heaviest(weights, max_words), num_words)


def iter_merged(folders: Sequence[CountTables]) -> Iterator[tuple[str, dict[str, int]]]:
    """Yields each word once, in order, with its counts by language, in the order of the tags.

    Raises:
        LabseError: a table is damaged.
    """
    paths = [tables.folder / name for tables in folders for name in tables.tables]
    lines = heapq.merge(*(_read_table(path) for path in paths))
    for word, rows in groupby(lines, key=_first_field):
        counts: dict[str, int] = {}
        for row in rows:
            _, lang, count = row.split("\t")
            counts[lang] = counts.get(lang, 0) + int(count)
        yield word, counts


def _first_field(line: str) -> str:
    return line.partition("\t")[0]


def _read_table(path: Path) -> Iterator[str]:
    before = ""
    for number, line in enumerate(read_lines(path), start=1):
        if line <= before or line.count("\t") != 2 or not line.rpartition("\t")[2].isdecimal():
            raise LabseError(
                f"{path}, line {number}: not a sorted line of word, language and count; "
                "delete the folder and count again"
            )
        yield line
        before = line


def _keep_heaviest(weights: dict[str, float], max_words: int) -> dict[str, float]:
    if len(weights) <= max_words:
        return weights
    heaviest = sorted(weights, key=lambda word: (-weights[word], word))[:max_words]
    return {word: weights[word] for word in sorted(heaviest)}


def _write_table(path: Path, lines: Sequence[str]) -> str:
    with write_atomic(path) as stream:
        compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
        with compressor.stream_writer(stream, closefd=False) as writer:
            for start in range(0, len(lines), 1 << 16):
                writer.write("".join(lines[start : start + (1 << 16)]).encode())
    return sha256_file(path)
