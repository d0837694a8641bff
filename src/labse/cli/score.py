"""The command `labse score`."""

import json as json_format
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from labse.cli.console import check_out, print_lines, say
from labse.cli.options import (
    ColumnOption,
    DeviceOption,
    JsonOption,
    KOption,
    MemoryOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    SourceVectorsOption,
    TargetVectorsOption,
    ThreadsOption,
    WorkOption,
    parse_size,
)
from labse.cli.pair_inputs import (
    ModelChoice,
    build_key,
    check_device,
    embed_sides,
    load_needed_encoder,
    open_side,
    search_sides,
)
from labse.mining.bitext import warn_of_small_corpora
from labse.mining.pair_scores import aligned_cosines, aligned_margins, check_aligned
from labse.mining.workplace import open_workplace

__all__ = ["score"]


def score(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Text, one sentence a line, .tsv, .jsonl or .parquet; .gz and .zst too. Or "
            "vectors of labse encode.",
            show_default=False,
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="The translations, line by line.", show_default=False
        ),
    ],
    model: ModelOption = None,
    margin: Annotated[
        Literal["ratio", "distance", "absolute", "none"],
        typer.Option(
            help="Second score: cosine over or minus that of the neighbourhood; none skips the "
            "search for it."
        ),
    ] = "ratio",
    k: KOption = 4,
    json: JsonOption = False,
    out: Annotated[
        Path | None,
        typer.Option(help="File to write, in place of standard output.", show_default=False),
    ] = None,
    column: ColumnOption = None,
    source_vectors: SourceVectorsOption = None,
    target_vectors: TargetVectorsOption = None,
    work: WorkOption = None,
    memory: MemoryOption = "1GB",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Score the pairs of two line-aligned files: a line of cosine and margin for each.

    The neighbours of the margin are those among all lines of the two files, repeated lines taken
    once. A pair with a blank side has 0 for both.

    [bold]Examples[/bold]

    labse score news.de news.en > scores.tsv

    labse score news.de news.en --margin none | paste - news.de news.en | sort -gr | head
    """
    memory_bytes = parse_size(memory)
    check_out(out)
    check_device(device)
    sides = (
        open_side("source", source, source_vectors, column),
        open_side("target", target, target_vectors, column),
    )
    choice = ModelChoice(model, precision, runtime, threads)
    encoder = load_needed_encoder(sides, choice)

    with open_workplace(work, build_key(sides, encoder, choice, k)) as folder:
        embedded = embed_sides(sides, encoder, folder)
        check_aligned(*embedded)
        cosines = aligned_cosines(*embedded)
        columns = {"cosine": cosines}
        if margin != "none":
            warn_of_small_corpora(len(embedded[0].lines), len(embedded[1].lines), k)
            found = search_sides(embedded, k, folder, memory_bytes, device=device)
            columns["margin"] = aligned_margins(cosines, *embedded, found, margin)
    print_lines(_format(columns, as_json=json), out)
    if encoder is not None and encoder.num_truncated:
        say(f"{encoder.num_truncated:,} lines cut to {encoder.max_seq_length} tokens")


def _format(columns: "dict[str, NDArray[np.float32]]", *, as_json: bool) -> Iterator[str]:
    for row in zip(*(values.tolist() for values in columns.values()), strict=True):
        if as_json:
            yield json_format.dumps(dict(zip(columns, row, strict=True)))
        else:
            yield "\t".join(f"{value:.4f}" for value in row)
