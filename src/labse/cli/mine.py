"""The command `labse mine`."""

import contextlib
import json as json_format
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from labse.cli.console import check_out, print_lines, say
from labse.cli.options import (
    JsonOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    ThreadsOption,
    VisibleEncoder,
    load_encoder,
)
from labse.errors import LabseError, UsageError

if TYPE_CHECKING:
    from labse.mining.bitext import MinedSentencePair

__all__ = ["mine"]

# What would end a cell or a row of the table, which has no quoting.
_SEPARATORS = str.maketrans("\t\r", "  ")


def mine(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Text, one sentence a line; .gz and .zst too; - is standard input.",
            show_default=False,
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="The same in the other language.", show_default=False
        ),
    ],
    model: ModelOption = None,
    k: Annotated[
        int, typer.Option("--k", min=1, help="Neighbours that make the margin of a pair.")
    ] = 4,
    margin: Annotated[
        Literal["ratio", "distance", "absolute"],
        typer.Option(help="Cosine over, minus or without that of the neighbourhood."),
    ] = "ratio",
    min_score: Annotated[
        float | None,
        typer.Option(
            help="Leave out pairs below; with the ratio, 1.05 to 1.10 is a usual start.",
            show_default=False,
        ),
    ] = None,
    retrieval: Annotated[
        Literal["forward", "backward", "intersect", "max"],
        typer.Option(
            help="Best target of each source, best source of each target, pairs that are both, or "
            "the best of either while both lines are free."
        ),
    ] = "intersect",
    ids: Annotated[
        bool, typer.Option("--ids", help="Add the line numbers, from 1, of both sides.")
    ] = False,
    json: JsonOption = False,
    out: Annotated[
        Path | None,
        typer.Option(help="File to write, in place of standard output.", show_default=False),
    ] = None,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Find the lines of two files that translate each other, best first.

    Prints score, source and target with tabs between; --ids adds both line numbers at the end.
    A tab or carriage return inside a line becomes a space, and how often is told; --json, one
    object a line, keeps the text as it is. Blank lines are left out, repeated ones taken once.

    [bold]Examples[/bold]

    labse mine news.de news.en --min-score 1.06 --out pairs.tsv

    labse mine news.de.gz news.en.gz --ids --json | head
    """
    _check_files(source, target)
    if min_score is not None and not math.isfinite(min_score):
        raise UsageError(f"--min-score {min_score}: give a number")
    check_out(out)
    source_sentences, target_sentences = _read(source), _read(target)
    encoder = load_encoder(model, precision, runtime, threads)

    from labse.mining.bitext import mine_sentences

    pairs = mine_sentences(
        VisibleEncoder(encoder),
        source_sentences,
        target_sentences,
        k=k,
        margin=margin,
        min_score=min_score,
        retrieval=retrieval,
    )
    print_lines(_format_json(pairs, ids) if json else _format_rows(pairs, ids), out)

    if num_changed := 0 if json else sum(_has_separator(pair) for pair in pairs):
        say(f"{num_changed:,} pairs hold a tab or carriage return, printed as a space")
    say(
        f"{len(pairs):,} pairs; {encoder.num_truncated:,} lines cut to "
        f"{encoder.max_seq_length} tokens"
    )


def _check_files(source: str, target: str) -> None:
    is_same = source == target
    with contextlib.suppress(OSError):
        is_same = is_same or Path(source).samefile(target)
    if is_same:
        raise UsageError(f"{source} is given as both source and target; give two files")


def _read(path: str) -> list[str]:
    from labse.files import read_lines

    lines = list(read_lines(path))
    if not any(line.strip() for line in lines):
        what = f"all its {len(lines)} lines are blank" if lines else "empty"
        raise LabseError(f"{path}: {what}; there is nothing to mine")
    return lines


def _format_rows(pairs: Iterable["MinedSentencePair"], with_ids: bool) -> Iterator[str]:
    for pair in pairs:
        texts = (text.translate(_SEPARATORS) for text in (pair.source, pair.target))
        numbers = (str(pair.source_index + 1), str(pair.target_index + 1)) if with_ids else ()
        yield "\t".join((f"{pair.margin_score:.4f}", *texts, *numbers))


def _format_json(pairs: Iterable["MinedSentencePair"], with_ids: bool) -> Iterator[str]:
    for pair in pairs:
        row: dict[str, object] = {
            "margin_score": pair.margin_score,
            "source": pair.source,
            "target": pair.target,
        }
        if with_ids:
            row |= {"source_line": pair.source_index + 1, "target_line": pair.target_index + 1}
        yield json_format.dumps(row, ensure_ascii=False)


def _has_separator(pair: "MinedSentencePair") -> bool:
    return any(mark in text for text in (pair.source, pair.target) for mark in "\t\r")
