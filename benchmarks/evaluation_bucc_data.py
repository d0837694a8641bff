"""Builds BUCC's layout from aligned lines and distractors, because the official files are not free.

The gold pairs are lines of two aligned files, half of them for the training split, half for the
test split. The source distractors are the other sentences of that language in tables of pairs; the
target distractors are English of other languages' pairs that translates none of them. The test
split is filled up first; the training split gets what is left.

    python benchmarks/evaluation_bucc_data.py es.txt en.txt pairs.parquet... --lang spa \
        --lines 100000 --out bucc/es-en
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from labse.files.text import read_lines


def read_distractors(paths: Sequence[Path], lang: str) -> tuple[list[str], list[str]]:
    """Reads tables of lang, english, text: sentences of a language, and English that is none's."""
    texts: dict[str, None] = {}
    translated: set[str] = set()
    english: dict[str, None] = {}
    for path in paths:
        table = pq.read_table(path)
        columns = (table.column(name).to_pylist() for name in ("lang", "english", "text"))
        for row_lang, row_english, row_text in zip(*columns, strict=True):
            if row_lang == lang:
                texts[row_text] = None
                translated.add(row_english)
            else:
                english[row_english] = None
    return list(texts), [text for text in english if text not in translated]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("distractors", type=Path, nargs="+")
    parser.add_argument("--lang", required=True, help="as in the tables: spa")
    parser.add_argument("--lines", type=int, default=100_000, help="of each side of each split")
    parser.add_argument("--out", type=Path, required=True, help="ends in the pair: bucc/es-en")
    arguments = parser.parse_args()

    gold = list(zip(read_lines(arguments.source), read_lines(arguments.target), strict=True))
    gold = [pair for pair in dict.fromkeys(gold) if all(text.strip() for text in pair)]
    generator = random.Random(1)
    generator.shuffle(gold)
    extra = read_distractors(arguments.distractors, arguments.lang)
    for side, texts in enumerate(extra):
        known = {pair[side] for pair in gold}
        texts[:] = [text for text in texts if text not in known]
        generator.shuffle(texts)

    lang_pair = arguments.out.name
    arguments.out.mkdir(parents=True, exist_ok=True)
    for number, split in enumerate(("test", "training")):
        kept = gold[number::2]
        base = arguments.out / f"{lang_pair}.{split}"
        ids: list[dict[str, str]] = []
        for side, lang in enumerate(lang_pair.split("-")):
            texts = list(dict.fromkeys(pair[side] for pair in kept))
            wanted = arguments.lines - len(texts)
            texts += extra[side][:wanted]
            del extra[side][:wanted]
            generator.shuffle(texts)
            names = {text: f"{lang}-{n:09d}" for n, text in enumerate(texts, start=1)}
            rows = "".join(f"{name}\t{text}\n" for text, name in names.items())
            Path(f"{base}.{lang}").write_text(rows, "utf-8")
            ids.append(names)
            print(f"{base}.{lang}: {len(texts):,} lines")
        rows = "".join(f"{ids[0][source]}\t{ids[1][target]}\n" for source, target in kept)
        Path(f"{base}.gold").write_text(rows, "utf-8")
        print(f"{base}.gold: {len(kept):,} pairs")


if __name__ == "__main__":
    main()
