"""At most so many pairs of each language of each source: what a short run can see anyway.

Use: python recipes/default/draw.py PAIRS_FOLDER OUT_FOLDER MAX_PAIRS

Sources of running text keep four times as many. The pairs are chosen by their hashes, so that the
same ones are whatever the order of the rows.
"""

import hashlib
import sys
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from labse.files.atomic import write_atomic

RUNNING_TEXT = {
    "autshumato",
    "bible",
    "globalvoices-ca",
    "hornmt",
    "indian-parallel",
    "itihasa",
    "lida-stories",
    "nllb-seed",
    "small-enja",
    "sona",
    "storybooks",
    "tatoeba",
    "tigrinya-volunteers",
    "udhr",
}
FACTOR = 4


def main() -> None:
    """Parses the arguments and writes a file for each source."""
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    pairs, out, max_pairs = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    for file in sorted(pairs.glob("*.parquet")):
        factor = FACTOR if file.stem in RUNNING_TEXT else 1
        table = draw(pq.read_table(file), factor * max_pairs)
        with write_atomic(out / file.name) as stream:
            pq.write_table(table, stream, compression="zstd")


def draw(table: pa.Table, max_pairs: int) -> pa.Table:
    """Returns at most `max_pairs` rows of each language, in their order."""
    places_of: dict[str, list[int]] = defaultdict(list)
    for place, lang in enumerate(table["lang"].to_pylist()):
        places_of[lang].append(place)
    kept: list[int] = []
    for places in places_of.values():
        if len(places) > max_pairs:
            rows = table.take(places).select(["english", "text"]).to_pylist()
            keys = [hash_row(row["english"], row["text"]) for row in rows]
            places = [place for _, place in sorted(zip(keys, places, strict=True))[:max_pairs]]
        kept += places
    return table.take(sorted(kept))


def hash_row(english: str, text: str) -> bytes:
    """Returns what a pair is chosen by."""
    return hashlib.blake2b(f"{english}\t{text}".encode(), digest_size=8).digest()


if __name__ == "__main__":
    main()
