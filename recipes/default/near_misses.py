"""Pairs with hard negatives by meaning: another number, another name, a negation more or less.

Use: python recipes/default/near_misses.py PAIRS_FOLDER OUT_FOLDER

Each file keeps its pairs, of which English is the source, and gets the columns source_negative_1 to
3 and target_negative_1 to 3: near-misses of either side, empty where none can be written. `labse
train` draws from them with data.hard_negatives. The names that are swapped in are of the same file
and language. The same files give the same near-misses.
"""

import os
import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from labse.dual_encoder.data.negatives import negative_columns
from labse.evaluation.near_misses import build_near_misses
from labse.files.atomic import write_atomic

NUM_KINDS = 3  # One of each.
SEED = 1


def main() -> None:
    """Parses the arguments and writes a file for each source."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    pairs, out = Path(sys.argv[1]), Path(sys.argv[2])
    files = sorted(pairs.glob("*.parquet"))
    if not files:
        sys.exit(f"{pairs}: no Parquet files")
    out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(os.cpu_count(), get_context("fork")) as pool:
        for line in pool.map(partial(write_near_misses, out=out), files):
            print(line, flush=True)


def write_near_misses(file: Path, out: Path) -> str:
    """Writes a file into `out` with near-misses of its pairs; returns what is to be told of it."""
    table, num_negatives = add_near_misses(pq.read_table(file))
    with write_atomic(out / file.name) as stream:
        pq.write_table(table, stream, compression="zstd")
    return f"{file.name}: {table.num_rows:,} pairs, {num_negatives:,} near-misses"


def add_near_misses(table: pa.Table) -> tuple[pa.Table, int]:
    """Returns pairs (lang, english, text) with near-misses of both sides, and their number."""
    langs, english, texts = (table[name].to_pylist() for name in ("lang", "english", "text"))
    columns = {
        "source_lang": ["eng"] * len(langs),
        "target_lang": langs,
        "source": english,
        "target": texts,
    }
    columns |= dict(
        zip(
            negative_columns("source", NUM_KINDS),
            misses(english, columns["source_lang"]),
            strict=True,
        )
    )
    columns |= dict(zip(negative_columns("target", NUM_KINDS), misses(texts, langs), strict=True))
    num_negatives = sum(
        bool(text) for name in columns if "negative" in name for text in columns[name]
    )
    return pa.table(
        {name: pa.array(values, pa.string()) for name, values in columns.items()}
    ), num_negatives


def misses(sentences: list[str], langs: list[str]) -> list[list[str]]:
    """Returns `NUM_KINDS` columns: the near-misses of each sentence, then empty texts."""
    places_of: dict[str, list[int]] = defaultdict(list)
    for place, lang in enumerate(langs):
        places_of[lang].append(place)
    made: list[list[str]] = [[] for _ in sentences]
    for lang, places in places_of.items():
        chosen = [sentences[place] for place in places]
        for near_miss in build_near_misses(chosen, lang, per_kind=1, seed=SEED):
            made[places[near_miss.index]].append(near_miss.text)
    return [[row[kind] if kind < len(row) else "" for row in made] for kind in range(NUM_KINDS)]


if __name__ == "__main__":
    main()
