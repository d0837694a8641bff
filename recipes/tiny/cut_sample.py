"""Cuts the bundled sample from the full data; run once, its output is committed.

Use: python recipes/tiny/cut_sample.py DATA_FOLDER EVAL_FOLDER
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from labse.files.text import read_lines

LANGS = ["ara", "deu", "ell", "fra", "heb", "jpn", "rus", "spa", "tur", "zho"]
EVAL_LANGS = ["ara", "cmn", "deu", "ell", "fra", "heb", "jpn", "rus", "spa", "tur"]
NUM_HIDDEN, NUM_LINES = 200, 500


def main(data: Path, evaluation: Path, out: Path) -> None:
    """Writes the training pairs, ten test sets and two shuffled files with hidden translations."""
    table = pq.read_table(data / "tatoeba.parquet")
    table = table.filter(pc.is_in(table["lang"].cast("string"), value_set=pa.array(LANGS)))
    few = table.take(list(range(0, table.num_rows, 60)))
    for name, rows in (("pairs", table), ("few", few)):
        pq.write_table(rows, out / f"{name}.parquet", compression="zstd", compression_level=19)

    for lang in EVAL_LANGS:
        for side in (lang, "eng"):
            name = f"tatoeba.{lang}-eng.{side}"
            (out / "tatoeba" / name).write_bytes((evaluation / "tatoeba" / name).read_bytes())

    _hide_pairs(evaluation / "tatoeba", out)


def _hide_pairs(tatoeba: Path, out: Path) -> None:
    """Two files of 500 lines; 200 lines of each have their translation in the other."""
    generator = np.random.default_rng(0)
    sides = [list(read_lines(tatoeba / f"tatoeba.deu-eng.{lang}")) for lang in ("deu", "eng")]
    first_of = {text: row for row, text in reversed(list(enumerate(sides[1])))}
    rows = generator.permutation(list(first_of.values()))
    shared, rest = rows[:NUM_HIDDEN], rows[NUM_HIDDEN:]
    own = NUM_LINES - NUM_HIDDEN
    for lang, side, extra in (
        ("deu", sides[0], rest[:own]),
        ("eng", sides[1], rest[own : 2 * own]),
    ):
        lines = [side[row] for row in generator.permutation(np.concatenate([shared, extra]))]
        (out / f"lines.{lang}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    pairs = [f"{sides[0][row]}\t{sides[1][row]}" for row in sorted(shared)]
    (out / "hidden.tsv").write_text("\n".join(pairs) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(__file__).parent / "data")
