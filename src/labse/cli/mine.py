"""The command `labse mine`."""

import contextlib
import math
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import typer

from labse.cleaning.pair_scores import FLAGS
from labse.cli.console import check_out, say
from labse.cli.mine_estimate import print_estimate
from labse.cli.mined_output import OutputFormat, choose_output, write_mined
from labse.cli.options import (
    JsonOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    ThreadsOption,
)
from labse.cli.pair_inputs import (
    ColumnOption,
    DeviceOption,
    Index,
    KOption,
    MemoryOption,
    ModelChoice,
    Side,
    SourceVectorsOption,
    TargetVectorsOption,
    WorkOption,
    build_key,
    check_device,
    embed_sides,
    load_needed_encoder,
    open_side,
    parse_bytes,
    search_sides,
)
from labse.errors import LabseError, UsageError
from labse.mining.bitext import select_pairs, warn_of_small_corpora
from labse.mining.workplace import EmbeddedSide, open_workplace

__all__ = ["mine"]

_OUTPUT_PANEL = "Output"
_LARGE_PANEL = "Large corpora"


def mine(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Text, one sentence a line, .tsv, .jsonl or .parquet; .gz and .zst too; - is "
            "standard input. Or vectors of labse encode: a .npy file or a folder.",
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
    k: KOption = 4,
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
        bool,
        typer.Option(
            "--ids",
            help="Add the line numbers, from 1, of both sides.",
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = False,
    flags: Annotated[
        bool,
        typer.Option(
            "--flags",
            help="Add what is odd: copy (not translated), number or name (one side has another).",
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = False,
    drop: Annotated[
        str | None,
        typer.Option(
            metavar="FLAGS",
            help="Leave out pairs with one of these flags, commas between: copy,number.",
            rich_help_panel=_OUTPUT_PANEL,
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File to write, in place of standard output: .tsv, .jsonl, .parquet or .tmx. For "
            "moses, the name to which .LANG is added.",
            rich_help_panel=_OUTPUT_PANEL,
            show_default=False,
        ),
    ] = None,
    format: Annotated[
        OutputFormat | None,
        typer.Option(
            help="Without it, that of --out's suffix, else tsv.",
            rich_help_panel=_OUTPUT_PANEL,
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
    source_lang: Annotated[
        str | None,
        typer.Option(
            help="Language of the source, for tmx and moses.",
            rich_help_panel=_OUTPUT_PANEL,
            show_default=False,
        ),
    ] = None,
    target_lang: Annotated[
        str | None,
        typer.Option(
            help="The same of the target.", rich_help_panel=_OUTPUT_PANEL, show_default=False
        ),
    ] = None,
    column: ColumnOption = None,
    source_vectors: SourceVectorsOption = None,
    target_vectors: TargetVectorsOption = None,
    work: WorkOption = None,
    memory: MemoryOption = "1GB",
    device: DeviceOption = "auto",
    index: Annotated[
        Index,
        typer.Option(
            help="exact compares all with all; the others, of faiss, are faster and miss some, and "
            "tell how many. auto is exact up to 2 million lines a side.",
            rich_help_panel=_LARGE_PANEL,
        ),
    ] = "auto",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only tell time, memory and disk, from a sample.",
            rich_help_panel=_LARGE_PANEL,
        ),
    ] = False,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Find the lines of two files that translate each other, best first.

    Prints score, source and target with tabs between; --ids adds both line numbers, --flags what is
    odd. A tab or line end inside a text becomes a space, and how often is told; --json, one object
    a line, keeps the text as it is. Blank lines are left out, repeated ones taken once. Of two
    files of vectors the row numbers are printed, from 0, which --ids does then not repeat.

    [bold]Examples[/bold]

    labse mine news.de news.en --min-score 1.06 --out pairs.tsv

    labse mine news.de.gz news.en.gz --ids --json | head

    labse mine big.de big.en --work work --out pairs.tmx --source-lang de --target-lang en
    """
    _check_files(source, target)
    if min_score is not None and not math.isfinite(min_score):
        raise UsageError(f"--min-score {min_score}: give a number")
    memory_bytes, dropped = parse_bytes(memory), _parse_flags(drop)
    output = choose_output(
        "jsonl" if json else format,
        out,
        langs=(source_lang, target_lang),
        with_ids=ids,
        with_flags=flags,
    )
    check_out(out)
    if device == "cuda" and index not in ("auto", "exact"):
        raise UsageError(f"--device cuda is for --index exact; {index} searches on the CPU")
    check_device(device)
    if work is not None and "-" in (source, target):
        raise UsageError("--work needs files that can be read again, not standard input (-)")
    sides = (
        open_side("source", source, source_vectors, column),
        open_side("target", target, target_vectors, column),
    )
    if sides[0].has_text != sides[1].has_text:
        raise UsageError("give two texts or two sets of vectors; text has --source-vectors too")
    choice = ModelChoice(model, precision, runtime, threads)
    if dry_run:
        print_estimate(sides, choice, k=k, memory_bytes=memory_bytes)
        return
    encoder = load_needed_encoder(sides, choice)

    with open_workplace(work, build_key(sides, encoder, choice, k)) as folder:
        embedded = embed_sides(sides, encoder, folder)
        for side, done in zip(sides, embedded, strict=True):
            _check_not_empty(side, done)
        warn_of_small_corpora(len(embedded[0].lines), len(embedded[1].lines), k)
        found = search_sides(embedded, k, folder, memory_bytes, index, device)
        mined = select_pairs(found, margin=margin, min_score=min_score, retrieval=retrieval)
        counts = write_mined(mined, embedded, output, drop=dropped)
    _tell(counts, has_text=sides[0].has_text)
    if encoder is not None:
        now = " of those embedded now" if work is not None else ""
        say(f"{encoder.num_truncated:,} lines{now} cut to {encoder.max_seq_length} tokens")


def _check_files(source: str, target: str) -> None:
    is_same = source == target
    with contextlib.suppress(OSError):
        is_same = is_same or Path(source).samefile(target)
    if is_same:
        raise UsageError(f"{source} is given as both source and target; give two files")
    for path in map(Path, (source, target)):
        if path.is_file() and not path.stat().st_size:  # Told before anything is embedded.
            raise LabseError(f"{path}: empty; there is nothing to mine")


def _parse_flags(names: str | None) -> frozenset[str]:

    flags = frozenset(names.split(",") if names else ())
    if unknown := sorted(flags.difference(FLAGS)):
        raise UsageError(f"--drop {unknown[0]}: the flags are {', '.join(FLAGS)}")
    return flags


def _check_not_empty(side: Side, embedded: "EmbeddedSide") -> None:
    if not len(embedded.lines):
        num_lines = len(embedded.lines.distinct)
        what = f"all its {num_lines} lines are blank" if num_lines else "empty"
        raise LabseError(f"{side.path}: {what}; there is nothing to mine")


def _tell(counts: Counter[str], *, has_text: bool) -> None:
    if counts["altered"]:
        say(
            f"{counts['altered']:,} pairs hold a character that the format cannot; another is in "
            "its place"
        )
    if has_text:
        say(
            f"{counts['copy']:,} pairs look like copies, {counts['number']:,} have other numbers, "
            f"{counts['name']:,} other names; --flags shows them"
        )
    dropped = f"; {counts['dropped']:,} dropped by flag" if counts["dropped"] else ""
    say(f"{counts['written']:,} pairs{dropped}")
