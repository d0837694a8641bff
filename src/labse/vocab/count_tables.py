r"""Count tables: word counts on disk, in bounded memory, resumable and mergeable.

Takes: sentences of files, or the folders that other machines made.
Gives: a folder of sorted tables with a manifest; their words with smoothed weights.
Source: external merge sort (Knuth, TAOCP vol. 3, section 5.4).

A table is zstd text, a line `word \t language \t count`, sorted. It is written when the memory is
full, when `_CHECKPOINT_CHARS` of text are counted and at the end; the manifest then says how many
rows of which file are in. A killed run counts on from there: what stands beside the manifest and is
not named by it is deleted.
"""

import hashlib
import heapq
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path

import zstandard

import labse
from labse.corpus.inputs import InputFile
from labse.errors import LabseError, ResourceError, UsageError
from labse.files.atomic import MANIFEST_NAME, read_json, write_atomic, write_json
from labse.files.text import read_lines
from labse.vocab.counts import WordCounter, language_coefficients

__all__ = [
    "COUNTS_KIND",
    "CountTables",
    "SmoothedWords",
    "TableWriter",
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


@dataclass(slots=True)
class CountTables:
    """What the manifest of a folder of tables says.

    Attributes:
        folder: where the tables are.
        inputs: the files counted, with the rows counted so far.
        tables: SHA-256 of each table by name.
        totals: word tokens of each language, 0 where it had text without words.
        lang: the language of the text files among them.
        is_complete: all rows of all files are counted.
    """

    folder: Path
    inputs: list[InputFile] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)
    lang: str | None = None
    is_complete: bool = False

    def save(self) -> None:
        """Writes the manifest."""
        manifest: dict[str, object] = {
            "kind": COUNTS_KIND,
            "labse_version": labse.__version__,
            "is_complete": self.is_complete,
            "lang": self.lang,
            "inputs": [asdict(file) for file in self.inputs],
            "totals": dict(sorted(self.totals.items())),
            "tables": self.tables,
        }
        write_json(self.folder / MANIFEST_NAME, manifest)


def is_count_folder(path: str | Path) -> bool:
    """Tells whether a path is a folder with tables of word counts."""
    manifest = Path(path) / MANIFEST_NAME
    return manifest.is_file() and read_json(manifest).get("kind") == COUNTS_KIND


def open_tables(folder: str | Path) -> CountTables:
    """Loads the manifest of a folder and checks that its tables are there and whole.

    Raises:
        LabseError: no or a broken manifest, or a table is missing or damaged.
    """
    folder = Path(folder)
    path = folder / MANIFEST_NAME
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
            manifest["is_complete"] is True,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LabseError(f"{path}: damaged ({error}); delete the folder and count again") from None

    for name, digest in tables.tables.items():
        if not (folder / name).is_file() or _sha256(folder / name) != digest:
            raise LabseError(
                f"{folder / name}: missing or damaged (its SHA-256 is not that of the manifest); "
                "delete the folder and count again"
            )
    return tables


class TableWriter:
    """Counts words into a folder of tables; what a killed run counted there stays counted.

    Args:
        folder: made if it is not there.
        hashes: SHA-256 of each input by its name.
        lang: the language of the text files among them.
        max_bytes: the memory that counting may take.

    Raises:
        LabseError: what the folder holds is damaged.
        UsageError: the folder holds something else, or the counts of other files.
        ResourceError: the folder cannot be written.
    """

    def __init__(
        self, folder: Path, hashes: Mapping[str, str], *, lang: str | None, max_bytes: int
    ) -> None:
        self._tables = _resume(folder, hashes, lang)
        self._rows = {file.path: file.num_rows for file in self._tables.inputs}
        self._spill_bytes = int(max_bytes * _SPILL_SHARE)
        self._counter = WordCounter()
        self._num_chars = 0

    def num_rows(self, path: str) -> int:
        """Returns how many rows of a file are in the tables: the first to add is the next."""
        return self._rows[path]

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing left to count."""
        return self._tables.is_complete

    def add_row(self, path: str, sentences: Iterable[tuple[str, str]]) -> None:
        """Counts one row of a file, its texts with their languages; rows come in order."""
        for text, lang in sentences:
            self._counter.add(text, lang)
            self._num_chars += len(text)
        self._rows[path] += 1
        if self._counter.num_bytes >= self._spill_bytes or self._num_chars >= _CHECKPOINT_CHARS:
            self._spill()

    def close(self) -> CountTables:
        """Writes what is not written yet and marks the folder as complete."""
        if not self.is_complete:
            self._tables.is_complete = True
            self._spill()
        return self._tables

    def _spill(self) -> None:
        lines: list[str] = []
        totals: Counter[str] = Counter(self._tables.totals)
        for lang, words in self._counter.pop_languages():
            totals[lang] += words.total()
            lines.extend(f"{word}\t{lang}\t{count}\n" for word, count in words.items())
        lines.sort()
        tables = self._tables
        if lines:
            name = f"table-{len(tables.tables):05d}.tsv.zst"
            tables.tables[name] = _write_table(tables.folder / name, lines)
        tables.totals = totals
        tables.inputs = [
            InputFile(file.path, file.sha256, self._rows[file.path]) for file in tables.inputs
        ]
        tables.save()
        self._num_chars = 0
        _LOGGER.info("%s words counted", f"{totals.total():,}")


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
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _resume(folder: Path, hashes: Mapping[str, str], lang: str | None) -> CountTables:
    """Returns what the folder holds of these inputs; leftovers of a killed run are deleted."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"{folder}: cannot be written: {error.strerror or error}") from None
    found = sorted(path for path in folder.iterdir() if path.name != MANIFEST_NAME)
    if (folder / MANIFEST_NAME).is_file():
        tables = open_tables(folder)
        same = {file.path: file.sha256 for file in tables.inputs} == dict(hashes)
        if not same or tables.lang != lang:
            raise UsageError(
                f"--counts {folder}: holds the counts of other files; give another folder"
            )
        _LOGGER.info("%s: going on after %s rows", folder, f"{_num_rows(tables):,}")
    else:
        inputs = [InputFile(path, digest, 0) for path, digest in hashes.items()]
        tables = CountTables(folder, inputs, lang=lang)

    leftovers = [path for path in found if path.name not in tables.tables]
    for path in leftovers:
        if not path.name.lstrip(".").startswith(("table-", MANIFEST_NAME)):
            raise UsageError(f"--counts {folder}: holds {path.name!r}, not ours; give another")
    for path in leftovers:
        path.unlink()
    tables.save()
    return tables


def _num_rows(tables: CountTables) -> int:
    return sum(file.num_rows for file in tables.inputs)
