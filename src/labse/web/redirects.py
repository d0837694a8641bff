"""Redirects: the addresses that lead to a page, whatever the number of steps.

Takes: addresses and those that they redirect to. Gives: Parquet by shard; for each page what leads
    to it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from labse.corpus.shards import open_shard
from labse.files.atomic import write_atomic
from labse.runtime import require

__all__ = ["plain_address", "read_redirects", "write_redirects"]

_MAX_STEPS = 10  # As browsers: after twenty they speak of a circle.


def plain_address(url: str) -> str:
    """Returns an address as links are compared: without scheme and a slash at the end."""
    return url.partition("#")[0].partition("://")[2].rstrip("/")


def write_redirects(
    path: str | Path, by_shard: Mapping[int, Sequence[tuple[str, str]]]
) -> dict[str, list[int]]:
    """Writes pairs of addresses, a row group a shard; returns the row groups of each shard."""
    arrow, parquet = require("pyarrow", "corpus"), require("pyarrow.parquet", "corpus")
    schema = arrow.schema([("url", arrow.string()), ("location", arrow.string())])
    with (
        write_atomic(path) as stream,
        parquet.ParquetWriter(stream, schema, compression="zstd") as writer,
    ):
        for _, pairs in sorted(by_shard.items()):
            columns = dict(zip(schema.names, zip(*pairs, strict=True), strict=True))
            writer.write_table(arrow.table(columns, schema=schema), row_group_size=len(pairs))
    return {str(shard): [number] for number, shard in enumerate(sorted(by_shard))}


def read_redirects(pieces: Iterable[tuple[str, Sequence[int]]]) -> dict[str, list[str]]:
    """Returns the addresses that lead to each, which is without scheme; circles lead nowhere.

    Args:
        pieces: files of `write_redirects`, and which of their row groups.
    """
    locations: dict[str, str] = {}
    urls: dict[str, set[str]] = defaultdict(set)
    for path, groups in pieces:
        with open_shard(path) as file:
            for number in groups:
                for row in file.read_row_group(number).to_pylist():
                    plain = plain_address(row["url"])
                    if plain != plain_address(row["location"]):
                        locations[plain] = plain_address(row["location"])
                        urls[plain].add(row["url"])
    found: dict[str, list[str]] = defaultdict(list)
    for plain, end in locations.items():
        num_steps = 0
        while end in locations and num_steps < _MAX_STEPS:
            end, num_steps = locations[end], num_steps + 1
        if num_steps < _MAX_STEPS:
            found[end] += urls[plain]
    return {end: sorted(addresses) for end, addresses in found.items()}
