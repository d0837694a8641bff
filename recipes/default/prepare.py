"""Training and validation pairs of the default model from folders of Parquet files.

Use: python recipes/default/prepare.py DATA_FOLDER ... EVAL_FOLDER OUT_FOLDER [--without SOURCE ...]

Writes OUT/pairs/SOURCE.parquet (lang, english, text), OUT/validation/ (held-out pairs in the layout
of LASER's Tatoeba sets) and OUT/report.json (rows kept and dropped, by reason and source; hashes of
all that was read). Where the report is there nothing is done, but with other inputs it is refused.
"""

import argparse
import hashlib
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from labse.cleaning.overlap import (
    HeldOutSentences,
    find_test_files,
    fold_text,
    read_held_out_sentences,
)
from labse.corpus.languages import canonical_tag, find_language
from labse.files.atomic import read_json, sha256_file, write_atomic, write_json

MAX_CHARACTERS = 400
MIN_PAIRS = 100  # of a language; 261 of the 823 have fewer, 14,278 pairs in all.
VALIDATION_SHARE = 1 / 200  # of English sentences, by hash: the same ones whatever the sources.
VALIDATION_PAIRS = (
    40,
    400,
)  # A language with fewer held-out pairs has no set; more are left unused.


@dataclass(frozen=True, slots=True)
class Row:
    """A pair and what its sides are compared by."""

    lang: str
    english: str
    text: str
    english_key: str
    text_key: str


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

    test_set = read_held_out_sentences(options.evaluation)
    # What a killed run left: it may be of other sources.
    for name in ("pairs", "validation"):
        shutil.rmtree(options.out / name, ignore_errors=True)
        (options.out / name).mkdir(parents=True)
    counts: dict[str, Counter[str]] = {}
    held_out, num_clean = find_held_out(files, test_set)
    num_sets = write_validation(held_out, options.out / "validation")
    held_out_keys = {fold_text(text) for pairs in held_out.values() for text in pairs.values()}
    seen: set[bytes] = set()
    for file in files:
        reasons = partial(reason_to_leave_out, held_out_keys, num_clean, seen)
        out = options.out / "pairs" / file.name
        counts[file.stem] = write_training_pairs(file, out, test_set, reasons)
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


def find_held_out(
    files: list[Path], test_set: HeldOutSentences
) -> tuple[dict[str, dict[str, str]], Counter[str]]:
    """Returns the held-out pairs (lang, english, text) and the clean rows of each language.

    They must be known before the first training row is written.
    """
    held_out: dict[str, dict[str, str]] = defaultdict(dict)
    num_clean: Counter[str] = Counter()
    for file in files:
        for row in read_rows(file):
            if reason_to_drop(row, test_set):
                continue
            num_clean[row.lang] += 1
            if is_held_out(row.english_key):
                held_out[row.lang].setdefault(row.english, row.text)
    return held_out, num_clean


def write_training_pairs(
    file: Path, out: Path, test_set: HeldOutSentences, reason_to_leave_out: Callable[[Row], str]
) -> Counter[str]:
    """Writes the rows of a source that pass all checks; returns counts by reason."""
    schema = pa.schema([(name, pa.string()) for name in ("lang", "english", "text")])
    counts: Counter[str] = Counter()
    kept: list[tuple[str, str, str]] = []
    for row in read_rows(file):
        reason = reason_to_drop(row, test_set) or reason_to_leave_out(row)
        counts[reason or "kept"] += 1
        if not reason:
            kept.append((row.lang, row.english, row.text))
    columns = [pa.array([row[i] for row in kept], pa.string()) for i in range(len(schema))]
    with write_atomic(out) as stream:
        pq.write_table(pa.table(columns, schema=schema), stream, compression="zstd")
    return counts


def read_rows(file: Path) -> Iterator[Row]:
    """Yields the pairs of a source, languages as canonical tags."""
    for batch in pq.ParquetFile(file).iter_batches(columns=["lang", "english", "text"]):
        columns = (column.to_pylist() for column in batch.columns)
        for lang, english, text in zip(*columns, strict=True):
            yield Row(canonical_tag(lang), english, text, fold_text(english), fold_text(text))


def reason_to_drop(row: Row, test_set: HeldOutSentences) -> str:
    """Returns why a row is no good, or an empty string."""
    if not row.english_key or not row.text_key:
        return "no letters or digits"
    if row.english_key == row.text_key:
        return "untranslated"
    if max(len(row.english), len(row.text)) > MAX_CHARACTERS:
        return f"over {MAX_CHARACTERS} characters"
    if row.text.isascii() and find_language(row.lang).script != "Latn":
        return "wrong script"
    if row.english in test_set or row.text in test_set:
        return "test sentence"
    return ""


def reason_to_leave_out(
    held_out_keys: set[str], num_clean: Counter[str], seen: set[bytes], row: Row
) -> str:
    """Returns why a good row is not trained on, or an empty string; remembers it in `seen`."""
    if is_held_out(row.english_key) or row.text_key in held_out_keys:
        return "held out for validation"
    if num_clean[row.lang] < MIN_PAIRS or row.lang == "und":
        return f"language with under {MIN_PAIRS} pairs"
    digest = hashlib.blake2b(
        f"{row.lang}\t{row.english}\t{row.text}".encode(), digest_size=12
    ).digest()
    if digest in seen:
        return "pair of another source"
    seen.add(digest)
    return ""


def is_held_out(english_key: str) -> bool:
    """Chooses by hash, so that all translations of a sentence are held out together."""
    digest = hashlib.blake2b(english_key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < VALIDATION_SHARE * 2**64


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
