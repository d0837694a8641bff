"""Training and validation pairs of the default model from folders of Parquet files.

Use: python recipes/default/prepare.py DATA_FOLDER ... EVAL_FOLDER OUT_FOLDER [--without SOURCE ...]

Writes OUT/pairs/SOURCE.parquet (lang, english, text), OUT/validation/ (held-out pairs in the layout
of LASER's Tatoeba sets) and OUT/report.json (rows kept and dropped, by reason and source; hashes of
all that was read). Where the report is there nothing is done, but with other inputs it is refused.
"""

import argparse
import functools
import hashlib
import os
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise, repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from labse.cleaning.overlap import (
    HeldOutSentences,
    find_test_files,
    fold_text,
    read_held_out_sentences,
)
from labse.corpus.languages import canonical_tag, find_language
from labse.errors import LabseError
from labse.files.atomic import read_json, sha256_file, write_atomic, write_json

MAX_CHARACTERS = 400
MIN_PAIRS = 100  # of a language; 261 of the 823 have fewer, 14,278 pairs in all.
VALIDATION_SHARE = 1 / 200  # of English sentences, by hash: the same ones whatever the sources.
VALIDATION_PAIRS = (
    40,
    400,
)  # A language with fewer held-out pairs has no set; more are left unused.
UNKNOWN = "und"
COLUMNS = ("lang", "english", "text")

# Why a row is not trained on; the first is of those that are.
KEPT = "kept"
HELD_OUT = "held out for validation"
RARE = f"language with under {MIN_PAIRS} pairs"
COPY = "pair of another source"
BAD = (
    "unknown language",
    "no letters or digits",
    "untranslated",
    f"over {MAX_CHARACTERS} characters",
    "wrong script",
    "test sentence",
)
REASONS = (KEPT, HELD_OUT, RARE, COPY, *BAD)


@dataclass(frozen=True, slots=True)
class Judged:
    """The N rows of a source, judged by themselves.

    Attributes:
        reasons: (N,) places in `REASONS`: kept, held out by the English side, or bad.
        text_keys: (N,) hashes of the letters and digits of the translations.
        num_clean: rows that are not bad, by language.
        held_out: translations by language and English sentence, of the rows held out.
    """

    reasons: NDArray[np.uint8]
    text_keys: NDArray[np.uint64]
    num_clean: Counter[str]
    held_out: dict[str, dict[str, str]]


def main() -> None:
    """Parses the arguments and runs the steps in order."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--without", nargs="*", default=[], help="sources to leave out")
    options = parser.parse_args()

    for folder in options.data:
        if not any(folder.glob("*.parquet")):
            sys.exit(f"{folder}: no Parquet files")
    files = sorted((f for folder in options.data for f in folder.glob("*.parquet")), key=_name)
    files = [f for f in files if f.stem not in options.without]
    check_names(files)
    inputs: dict[str, object] = {
        "sources": {file.stem: sha256_file(file) for file in files},
        "evaluation": hash_folder(options.evaluation),
    }
    if is_done(options.out, inputs):
        return

    # What a killed run left: it may be of other sources.
    for name in ("pairs", "validation"):
        shutil.rmtree(options.out / name, ignore_errors=True)
        (options.out / name).mkdir(parents=True)

    # Rows are judged by themselves, some files side by side; what is held out must be known before
    # the first training row is written. What two files have in common is left to the first.
    test_set = read_test_set(options.evaluation)
    with ProcessPoolExecutor(os.cpu_count(), get_context("fork")) as pool:
        judged = list(pool.map(judge_rows, files, repeat(options.evaluation)))
    num_clean = sum((rows.num_clean for rows in judged), Counter())
    held_out = merge_held_out(rows.held_out for rows in judged)
    num_sets = write_validation(held_out, options.out / "validation")
    texts = {fold_text(text) for of_lang in held_out.values() for text in of_lang.values()}
    held_out_keys = np.array(sorted(map(hash_key, texts)), np.uint64)
    seen: set[bytes] = set()
    counts = {
        file.stem: write_training_pairs(
            file, options.out / "pairs" / file.name, rows, held_out_keys, num_clean, seen
        )
        for file, rows in zip(files, judged, strict=True)
    }
    report: dict[str, object] = {
        "inputs": inputs,
        "sources": counts,
        "total": dict(sum(counts.values(), Counter())),
        "test_sentences_checked": len(test_set),
        "validation_sets": num_sets,
    }
    write_json(options.out / "report.json", report)
    print(report["total"])


def check_names(files: list[Path]) -> None:
    """Refuses two files of one name: the second would replace the first."""
    for first, second in pairwise(files):
        if first.name == second.name:
            sys.exit(f"{first} and {second}: two sources have one name; rename one")


def hash_folder(folder: Path) -> str:
    """Returns a SHA-256 of the names and contents of all test files."""
    names_and_hashes = [
        f"{file.relative_to(folder)}\t{sha256_file(file)}\n" for file in find_test_files(folder)
    ]
    return hashlib.sha256("".join(names_and_hashes).encode()).hexdigest()


def is_done(out: Path, inputs: dict[str, object]) -> bool:
    """Says whether `out` holds the pairs of these inputs; exits if it holds those of others."""
    if not (out / "report.json").is_file():
        return False
    if read_json(out / "report.json").get("inputs") != inputs:
        sys.exit(
            f"{out}: made from other sources or checked against other test sets; delete it or "
            "name another output folder"
        )
    print(f"{out}: prepared before, from these inputs")
    return True


@functools.cache
def read_test_set(folder: Path) -> HeldOutSentences:
    """Reads the test sets once."""
    return read_held_out_sentences(folder)


@functools.lru_cache(1 << 20)
def read_english(folder: Path, english: str) -> tuple[str, bool, bool]:
    """Returns the key of an English sentence, and whether it is held out or a test sentence."""
    key = fold_text(english)
    return key, is_held_out(key), english in read_test_set(folder)


def judge_rows(file: Path, evaluation: Path) -> Judged:
    """Judges each row of a source by itself."""
    test_set = read_test_set(evaluation)
    numbers = {reason: number for number, reason in enumerate(REASONS)}
    reasons: list[int] = []
    text_keys: list[int] = []
    num_clean: Counter[str] = Counter()
    held_out: dict[str, dict[str, str]] = {}
    for lang, english, text in read_rows(file):
        english_key, is_chosen, is_test = read_english(evaluation, english)
        text_key = fold_text(text)
        reason = reason_to_drop(lang, english, text, english_key, text_key)
        if not reason and (is_test or text in test_set):
            reason = "test sentence"
        if not reason:
            num_clean[lang] += 1
            reason = HELD_OUT if is_chosen else KEPT
        if reason == HELD_OUT:
            held_out.setdefault(lang, {}).setdefault(english, text)
        reasons.append(numbers[reason])
        text_keys.append(hash_key(text_key))
    return Judged(np.array(reasons, np.uint8), np.array(text_keys, np.uint64), num_clean, held_out)


def read_rows(file: Path) -> Iterator[tuple[str, str, str]]:
    """Yields the pairs of a source, languages as canonical tags."""
    for batch in pq.ParquetFile(file).iter_batches(columns=list(COLUMNS)):
        columns = (column.to_pylist() for column in batch.columns)
        for lang, english, text in zip(*columns, strict=True):
            yield known_tag(lang), english, text


@functools.cache
def known_tag(lang: str) -> str:
    """Returns the canonical tag, or `UNKNOWN` for a code that labse does not know."""
    try:
        return canonical_tag(lang)
    except LabseError:
        return UNKNOWN


def reason_to_drop(lang: str, english: str, text: str, english_key: str, text_key: str) -> str:
    """Returns why a row is no good, or an empty string."""
    if lang == UNKNOWN:
        return "unknown language"
    if not english_key or not text_key:
        return "no letters or digits"
    if english_key == text_key:
        return "untranslated"
    if max(len(english), len(text)) > MAX_CHARACTERS:
        return f"over {MAX_CHARACTERS} characters"
    if text.isascii() and not is_latin(lang):
        return "wrong script"
    return ""


@functools.cache
def is_latin(lang: str) -> bool:
    """Says whether a language is written in Latin letters."""
    return find_language(lang).script == "Latn"


def is_held_out(english_key: str) -> bool:
    """Chooses by hash, so that all translations of a sentence are held out together."""
    digest = hashlib.blake2b(english_key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < VALIDATION_SHARE * 2**64


def hash_key(key: str) -> int:
    """Returns 8 bytes of a text's letters and digits as a number."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


def merge_held_out(found: Iterable[dict[str, dict[str, str]]]) -> dict[str, dict[str, str]]:
    """Returns the held-out pairs of all files; of two translations the first stays."""
    held_out: dict[str, dict[str, str]] = defaultdict(dict)
    for pairs_of_file in found:
        for lang, pairs in pairs_of_file.items():
            held_out[lang] = pairs | held_out[lang]
    return held_out


def write_training_pairs(
    file: Path,
    out: Path,
    rows: Judged,
    held_out_keys: NDArray[np.uint64],
    num_clean: Counter[str],
    seen: set[bytes],
) -> Counter[str]:
    """Writes the rows of a source that are trained on, and adds them to `seen`.

    Returns:
        Counts by reason.
    """
    table = pq.read_table(file, columns=list(COLUMNS))
    reasons = rows.reasons.copy()
    is_kept = reasons == REASONS.index(KEPT)
    reasons[is_kept & np.isin(rows.text_keys, held_out_keys)] = REASONS.index(HELD_OUT)

    # Rare languages and copies are seen row by row.
    kept: list[tuple[str, str, str]] = []
    places = np.flatnonzero(reasons == REASONS.index(KEPT))
    columns = (table[name].take(pa.array(places)).to_pylist() for name in COLUMNS)
    for place, (code, english, text) in zip(places, zip(*columns, strict=True), strict=True):
        row = known_tag(code), english, text
        digest = hashlib.blake2b("\t".join(row).encode(), digest_size=12).digest()
        if num_clean[row[0]] < MIN_PAIRS:
            reasons[place] = REASONS.index(RARE)
        elif digest in seen:
            reasons[place] = REASONS.index(COPY)
        else:
            seen.add(digest)
            kept.append(row)

    schema = pa.schema([(name, pa.string()) for name in COLUMNS])
    arrays = [pa.array([row[i] for row in kept], pa.string()) for i in range(len(COLUMNS))]
    with write_atomic(out) as stream:
        pq.write_table(pa.table(arrays, schema=schema), stream, compression="zstd")
    numbers, totals = np.unique(reasons, return_counts=True)
    return Counter({REASONS[number]: int(n) for number, n in zip(numbers, totals, strict=True)})


def write_validation(held_out: dict[str, dict[str, str]], folder: Path) -> int:
    """Writes a set for each language that has enough pairs, no sentence twice in it."""
    least, most = VALIDATION_PAIRS
    num_sets = 0
    for lang, pairs in sorted(held_out.items()):
        distinct = {text: english for english, text in sorted(pairs.items(), key=_by_hash)}
        chosen = [(english, text) for text, english in distinct.items()][:most]
        if len(chosen) < least:
            continue
        num_sets += 1
        for side, lines in (("eng", [e for e, _ in chosen]), (lang, [t for _, t in chosen])):
            with write_atomic(folder / f"tatoeba.{lang}-eng.{side}") as stream:
                stream.write("".join(f"{line}\n" for line in lines).encode())
    return num_sets


def _name(file: Path) -> str:
    return file.name


def _by_hash(pair: tuple[str, str]) -> bytes:
    return hashlib.blake2b(pair[0].encode(), digest_size=8).digest()


if __name__ == "__main__":
    main()
