"""Little parallel text and more text without translations, in ten languages and English.

Use: python recipes/pretrain-helps/prepare.py DATA_FOLDER EVAL_FOLDER OUT_FOLDER

Writes OUT/pairs-full.parquet and, a fixed part of it, OUT/pairs-quarter.parquet (lang, english,
text), OUT/text.parquet (lang, text) with both sides of these pairs and of other rows, shuffled so
that no order tells which are translations, and OUT/report.json.
"""

import argparse
import hashlib
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from labse.cleaning.overlap import HeldOutSentences, fold_text, read_held_out_sentences
from labse.corpus.languages import canonical_tag
from labse.files.atomic import sha256_file, write_atomic, write_json

LANGS = ("ara", "cmn", "fra", "hin", "ind", "mar", "por", "rus", "spa", "swa")
SOURCES = (  # Prose, or near it.
    *("bible", "gnome-help", "mozilla", "po-docs", "python-docs"),
    *("storybooks", "tatoeba", "tldr", "udhr"),
)
MAX_PAIRS = 8000  # Of a language.
MAX_OTHER_ROWS = 30_000
MAX_CHARACTERS = 400

Row = tuple[str, str, str]  # Language, English, text.


def main() -> None:
    """Parses the arguments and runs the steps in order."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("data", "evaluation", "out"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    files = [options.data / f"{source}.parquet" for source in SOURCES]
    test_set = read_held_out_sentences(options.evaluation)
    langs = {canonical_tag(lang) for lang in LANGS}

    rows = {row for file in files for row in read_rows(file, langs) if is_good(row, test_set)}
    full, quarter, others = [], [], []
    for lang in sorted(langs):
        drawn = sorted((row for row in rows if row[0] == lang), key=digest)
        full += drawn[:MAX_PAIRS]
        quarter += drawn[: MAX_PAIRS // 4]
        others += drawn[MAX_PAIRS : MAX_PAIRS + MAX_OTHER_ROWS]
    texts = {(lang, text) for lang, _, text in full + others}
    texts |= {("eng", english) for _, english, _ in full + others}

    write_table(options.out / "pairs-full.parquet", ("lang", "english", "text"), full)
    write_table(options.out / "pairs-quarter.parquet", ("lang", "english", "text"), quarter)
    write_table(options.out / "text.parquet", ("lang", "text"), sorted(texts, key=digest))
    counts = Counter(lang for lang, _ in texts)
    report: dict[str, object] = {
        "sources": {file.stem: sha256_file(file) for file in files},
        "pairs": dict(Counter(lang for lang, _, _ in full)),
        "texts": dict(sorted(counts.items())),
    }
    write_json(options.out / "report.json", report)
    print(len(full), "pairs,", len(quarter), "in the quarter,", len(texts), "texts")


def read_rows(file: Path, langs: set[str]) -> list[Row]:
    """Returns the pairs of a source in these languages, languages as canonical tags."""
    table = pq.read_table(file, columns=["lang", "english", "text"])
    columns = (column.to_pylist() for column in table.columns)
    tagged = ((canonical_tag(row[0]), *row[1:]) for row in zip(*columns, strict=True))
    return [row for row in tagged if row[0] in langs]


def is_good(row: Row, test_set: HeldOutSentences) -> bool:
    """Tells whether both sides have letters and neither is the other or a test sentence."""
    _, english, text = row
    keys = fold_text(english), fold_text(text)
    is_test = english in test_set or text in test_set
    is_short = max(len(english), len(text)) <= MAX_CHARACTERS
    return is_short and all(keys) and keys[0] != keys[1] and not is_test


def digest(row: tuple[str, ...]) -> bytes:
    """Returns what rows are drawn and shuffled by."""
    return hashlib.blake2b("\t".join(row).encode(), digest_size=12).digest()


def write_table(path: Path, names: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Writes rows as a Parquet file of strings."""
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    with write_atomic(path) as stream:
        pq.write_table(pa.table(columns, names=list(names)), stream, compression="zstd")


if __name__ == "__main__":
    main()
