"""Document pairs and sentence pairs as Parquet rows.

Takes: rows as dictionaries. Gives: Parquet whose columns do not depend on whether there are rows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labse.corpus.shards import open_shard
from labse.files.atomic import write_atomic
from labse.runtime import require

__all__ = [
    "BEAD_COLUMNS",
    "MINED_COLUMNS",
    "PAIR_COLUMNS",
    "count_rows",
    "open_rows",
    "read_rows",
    "write_rows",
]

_BATCH_ROWS = 4096

PAIR_COLUMNS = {
    **{"source_shard": str, "source_row": int, "target_shard": str, "target_row": int},
    **{"source_lang": str, "target_lang": str},
    **{
        "source_urls": list,
        "target_urls": list,
        "score": float,
        "lead": float,
        "hreflang": int,
        "address": bool,
    },
    **{"cosine": float, "numbers": float, "words": float, "order": float, "reason": str},
}
"""Of a document pair: its pages by row of a shard, their addresses, and what speaks for it."""

BEAD_COLUMNS = {
    **{"source": str, "target": str, "source_lang": str, "target_lang": str, "score": float},
    **{"source_lines": int, "target_lines": int, "source_start": int, "target_start": int},
    **{"source_block": int, "target_block": int, "document_score": float, "site": str},
    **{"source_urls": list, "target_urls": list, "dates": list, "method": str},
}
"""Of a sentence pair: its texts, where they stand, and the addresses of their pages.

`dates` are the first and the last day on which the pages were fetched.
"""

MINED_COLUMNS = {
    **{"source": str, "target": str, "source_lang": str, "target_lang": str, "score": float},
    **{"site": str, "source_urls": list, "target_urls": list, "dates": list, "method": str},
    **{"margin_score": float},
}
"""Of a pair that was found without documents: its margin is among all sentences."""


@contextmanager
def open_rows(
    path: Path, columns: Mapping[str, type] = PAIR_COLUMNS
) -> Iterator[Callable[[Mapping[str, object]], None]]:
    """Gives what adds a row to a file that stands there, whole, when the block ends well."""
    arrow, parquet = require("pyarrow", "corpus"), require("pyarrow.parquet", "corpus")
    types = {str: arrow.string(), int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_()}
    types[list] = arrow.list_(arrow.string())
    schema = arrow.schema([(name, types[kind]) for name, kind in columns.items()])
    held: list[Mapping[str, object]] = []

    def flush() -> None:
        table = {name: [row[name] for row in held] for name in columns}
        writer.write_table(arrow.table(table, schema=schema))
        held.clear()

    def add(row: Mapping[str, object]) -> None:
        held.append(row)
        if len(held) >= _BATCH_ROWS:
            flush()

    with (
        write_atomic(path) as stream,
        parquet.ParquetWriter(stream, schema, compression="zstd") as writer,
    ):
        yield add
        flush()


def write_rows(
    path: Path, rows: Iterable[Mapping[str, object]], columns: Mapping[str, type] = PAIR_COLUMNS
) -> None:
    """Writes rows atomically."""
    with open_rows(path, columns) as add:
        for row in rows:
            add(row)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yields rows, read some thousand at a time.

    Raises:
        LabseError: no such file, or not whole Parquet.
    """
    with open_shard(path) as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            yield from batch.to_pylist()


def count_rows(path: Path) -> int:
    """Returns how many rows a file has; errors are those of `read_rows`."""
    with open_shard(path) as file:
        return int(file.metadata.num_rows)
