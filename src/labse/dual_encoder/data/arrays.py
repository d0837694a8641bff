"""The steps from files of pairs to the arrays of `TokenizedPairs`; `prepare.py` puts them in order.

Takes: files, a tokenizer. Gives: `.npy` files, which depend on nothing but the files' rows.
Source: docs/training.md.

Dimensions: P pairs, T tokens, N distinct sentences; p pairs that a file keeps, t = 2 p texts of
them, n texts that no earlier file has.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labse.corpus.equal_texts import hash_texts
from labse.corpus.readers import read_pairs
from labse.corpus.records import SentencePair
from labse.dual_encoder.data.pairs import tokenize_sentences
from labse.errors import LabseError
from labse.files.npy import write_array
from labse.files.stage import Result
from labse.vocab.tokenizer import load_tokenizer_file

__all__ = [
    "FileChoice",
    "FileScan",
    "Resources",
    "find_file_starts",
    "join_tokens",
    "scan_step",
    "tokenize_step",
    "write_labels",
]

_CHUNK = 1 << 20
_CHUNK_PAIRS = 20_000


@dataclass(frozen=True, slots=True)
class Resources:
    """What preparation may take.

    Attributes:
        workers: processes, of which one file keeps one busy; 1 works in this one.
        memory_bytes: for numbering sentences; a process takes its own beside, with the tokenizer.
    """

    workers: int = 1
    memory_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True)
class FileChoice:
    """A file of pairs and what is kept of it.

    Attributes:
        path: `.tsv`, `.jsonl` or `.parquet`.
        langs: canonical tags, one of which a side must have; empty keeps all.
        source_lang: language of every source, where no column tells it.
        target_lang: language of every target, where no column tells it.
    """

    path: str
    langs: Sequence[str]
    source_lang: str | None
    target_lang: str | None


@dataclass(frozen=True, slots=True)
class FileScan:
    """What `scan_step` found in a file, and the folder of its arrays."""

    folder: Path
    num_rows: int
    dropped: dict[str, int]
    lang_pairs: list[str]
    langs: list[str]

    def load(self, name: str) -> NDArray[np.generic]:
        """Maps one of the arrays."""
        array: NDArray[np.generic] = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        return array


# ---- What is done with one file, in any process ----


@dataclass(frozen=True, slots=True)
class _KeptPair:
    row: int
    pair: SentencePair


def scan_step(choice: dict[str, object], folder: str) -> Result:
    """Reads a file once: writes `hashes.npy` (t, 2), `langs.npy` (p,) and `rows.npy` (p,).

    Languages are numbered as they appear; rows count from 1, a header is none.

    Returns:
        num_rows, dropped (by reason), lang_pairs and langs (all that were seen).

    Raises:
        LabseError: broken data, or no rows.
        UsageError: see `read_pairs`.
    """
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    file = FileChoice(**choice)  # type: ignore[arg-type]
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    lang_pairs: dict[str, int] = {}
    kept = _iter_kept(file, counts, seen)
    with (
        write_array(out / "hashes.npy", np.uint64, (2,)) as add_hashes,
        write_array(out / "langs.npy", np.int16) as add_langs,
        write_array(out / "rows.npy", np.int32) as add_rows,
    ):
        while chunk := list(islice(kept, _CHUNK_PAIRS)):
            add_hashes(hash_texts(_texts(chunk)))
            add_rows(np.array([item.row for item in chunk]))
            names = (f"{item.pair.source_lang}-{item.pair.target_lang}" for item in chunk)
            add_langs(np.array([lang_pairs.setdefault(name, len(lang_pairs)) for name in names]))
    num_rows = counts.pop("rows", 0)
    if not num_rows:
        raise LabseError(f"{file.path}: empty, it has no rows")
    return {
        "num_rows": num_rows,
        "dropped": dict(counts),
        "lang_pairs": list(lang_pairs),
        "langs": sorted(seen),
    }


def tokenize_step(
    choice: dict[str, object],
    folder: str,
    numbers: str,
    start: int,
    num_before: int,
    tokenizer: str,
    max_seq_length: int,
) -> Result:
    """Reads a file again: writes `input_ids.npy` and `lengths.npy` (n,) of its new texts.

    Args:
        choice: as `scan_step` had it.
        folder: where the arrays go.
        numbers: `.npy`, the numbers of the texts of all files.
        start: texts of the files before.
        num_before: distinct texts of the files before.
        tokenizer: a tokenizer.json.
        max_seq_length: longer sentences are cut, [SEP] stays.

    Returns:
        num_truncated.
    """
    out = Path(folder)
    pieces = load_tokenizer_file(tokenizer)
    numbers_t = np.load(numbers, mmap_mode="r").reshape(-1)
    kept = _iter_kept(FileChoice(**choice), Counter(), set())  # type: ignore[arg-type]
    num_truncated = 0
    with (
        write_array(out / "input_ids.npy", np.int32) as add_ids,
        write_array(out / "lengths.npy", np.int32) as add_lengths,
    ):
        while chunk := list(islice(kept, _CHUNK_PAIRS)):
            texts = _texts(chunk)
            found = numbers_t[start : start + len(texts)]
            # New is what has a higher number than all before it.
            highest = np.maximum.accumulate(np.concatenate([[num_before - 1], found]))
            new = [texts[index] for index in np.flatnonzero(found > highest[:-1])]
            start, num_before = start + len(texts), int(highest[-1]) + 1

            input_ids, offsets, num_cut = tokenize_sentences(
                new, pieces, max_seq_length=max_seq_length
            )
            num_truncated += num_cut
            add_ids(input_ids)
            add_lengths(np.diff(offsets))
    return {"num_truncated": num_truncated}


def _texts(chunk: Sequence[_KeptPair]) -> list[str]:
    return [text for item in chunk for text in (item.pair.source, item.pair.target)]


def _iter_kept(file: FileChoice, counts: Counter[str], seen: set[str]) -> Iterator[_KeptPair]:
    """Yields the pairs to train on; counts rows and, by reason, what it drops."""
    langs = frozenset(file.langs)
    pairs = read_pairs(file.path, source_lang=file.source_lang, target_lang=file.target_lang)
    for row, pair in enumerate(pairs, start=1):
        counts["rows"] += 1
        seen.add(pair.source_lang)
        seen.add(pair.target_lang)
        if reason := _reason_to_drop(pair, langs):
            counts[reason] += 1
        else:
            yield _KeptPair(row, pair)


def _reason_to_drop(pair: SentencePair, langs: frozenset[str]) -> str:
    if langs and langs.isdisjoint((pair.source_lang, pair.target_lang)):
        return "other_langs"
    if not pair.source.strip() or not pair.target.strip():
        return "blank"
    return "copies" if pair.source == pair.target else ""


# ---- The arrays of all files ----


def write_labels(scans: Sequence[FileScan], out: Path) -> list[str]:
    """Writes the language pair, file and row of each pair; returns the language pairs.

    Raises:
        LabseError: more language pairs or files than an int16 can number.
    """
    numbers: dict[str, int] = {}
    for scan in scans:
        for name in scan.lang_pairs:
            numbers.setdefault(name, len(numbers))
    if max(len(numbers), len(scans)) > np.iinfo(np.int16).max:
        raise LabseError(
            f"{len(numbers):,} language pairs in {len(scans):,} files: at most 32,767 of each; "
            "join files, or name less languages in data.langs"
        )
    with (
        write_array(out / "pair_langs.npy", np.int16) as add_langs,
        write_array(out / "pair_corpora.npy", np.int16) as add_corpora,
        write_array(out / "pair_rows.npy", np.int32) as add_rows,
    ):
        for corpus, scan in enumerate(scans):
            table = np.array([numbers[name] for name in scan.lang_pairs], dtype=np.int16)
            for langs in _chunks(scan.load("langs")):
                add_langs(table[langs.astype(np.int64)])
                add_corpora(np.full(len(langs), corpus))
            for rows in _chunks(scan.load("rows")):
                add_rows(rows)
    return list(numbers)


def find_file_starts(scans: Sequence[FileScan], numbers: Path) -> list[tuple[int, int]]:
    """Returns, for each file, how many texts and distinct texts the files before it have."""
    numbers_t = np.load(numbers, mmap_mode="r").reshape(-1)
    starts = [(0, 0)]
    for scan in scans[:-1]:
        start, num_before = starts[-1]
        end = start + len(scan.load("hashes"))
        highest = max((part.max() for part in _chunks(numbers_t[start:end])), default=-1)
        starts.append((end, max(num_before, int(highest) + 1)))
    return starts


def join_tokens(scans: Sequence[FileScan], out: Path) -> None:
    """Writes the tokens of all files one after the other, and where each sentence begins."""
    with (
        write_array(out / "input_ids.npy", np.int32) as add_ids,
        write_array(out / "offsets.npy", np.int64) as add_offsets,
    ):
        end = 0
        add_offsets(np.zeros(1))
        for scan in scans:
            for input_ids in _chunks(scan.load("input_ids")):
                add_ids(input_ids)
            for lengths in _chunks(scan.load("lengths")):
                offsets = end + np.cumsum(lengths, dtype=np.int64)
                end = int(offsets[-1])
                add_offsets(offsets)


def _chunks(rows: NDArray[np.generic]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(rows), _CHUNK):
        yield rows[start : start + _CHUNK]
