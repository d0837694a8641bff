"""Training and validation pairs of the default model from the folder of Parquet files.

Use: python recipes/default/prepare.py DATA_FOLDER EVAL_FOLDER OUT_FOLDER [--without SOURCE ...]

Writes OUT/pairs.parquet (lang, english, text, source), OUT/validation/ (held-out pairs in the
layout of LASER's Tatoeba sets) and OUT/report.json (rows kept and dropped, by reason and source).
"""

import argparse
import hashlib
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from labse.corpus.languages import find_language
from labse.errors import LabseError
from labse.files import read_lines, sha256_file, write_atomic, write_json

MAX_CHARACTERS = 400
VALIDATION_SHARE = 1 / 200  # of English sentences, by hash: the same ones whatever the sources.
VALIDATION_PAIRS = (
    40,
    400,
)  # A language with fewer held-out pairs has no set; more are left unused.


def main() -> None:
    """Parses the arguments and runs the steps in order."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--without", nargs="*", default=[], help="sources to leave out")
    options = parser.parse_args()

    files = [f for f in sorted(options.data.glob("*.parquet")) if f.stem not in options.without]
    if not files:
        sys.exit(f"{options.data}: no Parquet files")
    options.out.mkdir(parents=True, exist_ok=True)

    test_keys = read_test_keys(options.evaluation)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    held_out = write_training_pairs(files, test_keys, options.out / "pairs.parquet", counts)
    num_sets = write_validation(held_out, options.out / "validation")
    report: dict[str, object] = {
        "sources": {file.stem: {"sha256": sha256_file(file)} | counts[file.stem] for file in files},
        "total": dict(sum(counts.values(), Counter())),
        "test_sentences_checked": len(test_keys),
        "validation_sets": num_sets,
    }
    write_json(options.out / "report.json", report)
    print(report["total"])


def read_test_keys(folder: Path) -> set[str]:
    """Returns the keys of all sentences of all files below a folder of test sets."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != "README"]
    if not files:
        raise LabseError(f"{folder}: no test sets to check the training data against")
    keys = {key_of(line) for file in files for line in read_lines(file)}
    return keys - {""}


def key_of(text: str) -> str:
    """Returns the letters and digits of a text, lower-cased: near copies have equal keys."""
    return "".join(filter(str.isalnum, text.lower()))


def write_training_pairs(
    files: list[Path], test_keys: set[str], out: Path, counts: dict[str, Counter[str]]
) -> dict[str, dict[str, str]]:
    """Writes the pairs that pass all checks and returns the held-out ones: lang, english, text."""
    held_out: dict[str, dict[str, str]] = defaultdict(dict)
    held_out_keys: set[str] = set()
    seen: set[bytes] = set()
    schema = pa.schema([(name, pa.string()) for name in ("lang", "english", "text", "source")])

    # The held-out texts must be known before the first training row is written.
    for file in files:
        for lang, english, text in read_rows(file):
            english_key, text_key = key_of(english), key_of(text)
            is_clean = not reason_to_drop(lang, english, text, english_key, text_key, test_keys)
            if is_clean and is_held_out(english_key):
                held_out[lang].setdefault(english, text)
                held_out_keys.add(text_key)

    with (
        write_atomic(out) as stream,
        pq.ParquetWriter(stream, schema, compression="zstd") as writer,
    ):
        for file in files:
            kept: list[tuple[str, str, str, str]] = []
            for lang, english, text in read_rows(file):
                english_key, text_key = key_of(english), key_of(text)
                reason = reason_to_drop(lang, english, text, english_key, text_key, test_keys)
                if not reason and (is_held_out(english_key) or text_key in held_out_keys):
                    reason = "held out for validation"
                digest = hashlib.blake2b(
                    f"{lang}\t{english}\t{text}".encode(), digest_size=12
                ).digest()
                if not reason and digest in seen:
                    reason = "pair of another source"
                counts[file.stem][reason or "kept"] += 1
                if not reason:
                    seen.add(digest)
                    kept.append((lang, english, text, file.stem))
            columns = list(zip(*kept, strict=True))
            writer.write_table(pa.table([pa.array(c, pa.string()) for c in columns], schema=schema))
    return held_out


def read_rows(file: Path) -> Iterator[tuple[str, str, str]]:
    """Yields lang, english, text."""
    for batch in pq.ParquetFile(file).iter_batches(columns=["lang", "english", "text"]):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def reason_to_drop(
    lang: str, english: str, text: str, english_key: str, text_key: str, test_keys: set[str]
) -> str:
    """Returns why a row must not be trained on, or an empty string."""
    if not english_key or not text_key:
        return "no letters or digits"
    if english_key == text_key:
        return "untranslated"
    if max(len(english), len(text)) > MAX_CHARACTERS:
        return f"over {MAX_CHARACTERS} characters"
    if text.isascii() and find_language(lang).script != "Latn":
        return "wrong script"
    if english_key in test_keys or text_key in test_keys:
        return "test sentence"
    return ""


def is_held_out(english_key: str) -> bool:
    """Chooses by hash, so that all translations of a sentence are held out together."""
    digest = hashlib.blake2b(english_key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < VALIDATION_SHARE * 2**64


def write_validation(held_out: dict[str, dict[str, str]], folder: Path) -> int:
    """Writes a set for each language that has enough pairs, no sentence twice in it."""
    folder.mkdir(exist_ok=True)
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


def _by_hash(pair: tuple[str, str]) -> bytes:
    return hashlib.blake2b(pair[0].encode(), digest_size=8).digest()


if __name__ == "__main__":
    main()
