"""The command `labse align`."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from labse.alignment.accuracy import AlignmentCounts
from labse.alignment.align_files import AlignedFiles, AlignOptions, align_files
from labse.alignment.formats import BeadFormat
from labse.cli.console import count, print_json, print_table, progress, say
from labse.cli.options import (
    JsonOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    ThreadsOption,
    load_encoder,
)
from labse.errors import UsageError
from labse.evaluation.report import build_signature

__all__ = ["align"]


def align(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="Document, one sentence a line, or subtitles (.srt, .vtt), .gz and .zst too; or a "
            "folder of documents.",
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(metavar="TARGET", help="The same in the other language."),
    ],
    model: ModelOption = None,
    lists: Annotated[
        bool, typer.Option("--lists", help="Take SOURCE and TARGET as lists: a document a line.")
    ] = False,
    bead_format: Annotated[
        BeadFormat | None,
        typer.Option(
            "--format",
            help="Format of the alignment. tsv, parquet: score, source and target; tmx: beads with "
            "both sides only; jsonl: all of a bead; ladder: the rungs of Hunalign. Without it, "
            "that of --out's suffix, else tsv.",
        ),
    ] = None,
    max_size: Annotated[
        int, typer.Option(min=2, max=20, help="Lines of a bead, both sides together.")
    ] = 4,
    skip_percentile: Annotated[
        float,
        typer.Option(
            min=0,
            max=100,
            help="Percentile of the distances between lines and their nearest counterparts. It "
            "sets the cost of leaving a line alone: a lower one leaves more alone.",
        ),
    ] = 50.0,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the sample of lines in long documents.")
    ] = 1,
    min_score: Annotated[
        float | None,
        typer.Option(
            help="Least score of a bead: 0 is as near as random lines, 1 the same text.",
        ),
    ] = None,
    ids: Annotated[
        bool,
        typer.Option(
            "--ids", help="Add the line numbers of both sides, from 1, to tsv or parquet."
        ),
    ] = False,
    source_lang: Annotated[
        str | None,
        typer.Option(help="Language of the source, for all but ladder."),
    ] = None,
    target_lang: Annotated[
        str | None, typer.Option(help="Language of the target, for tmx.")
    ] = None,
    gold: Annotated[
        Path | None,
        typer.Option(
            help="Alignment to judge by, which prints scores: a ladder, or lines such as "
            "[0, 1]:[2]; for many documents a folder or list of them.",
        ),
    ] = None,
    json: JsonOption = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write, in place of standard output; for many documents a folder.",
        ),
    ] = None,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Align two documents line by line, m to n: each line of both stands in one bead.

    To align many documents at once, give two folders (files go together by their names without
    suffix) or, with --lists, two lists of files. Stopped, the same command goes on: documents that
    are aligned already, and have not changed since, are not aligned again.

    [bold]Examples[/bold]

    labse align book.de book.en --out book.tsv

    labse align book.de book.en --gold book.ladder

    labse align german/ english/ --format jsonl --out aligned/
    """
    if json and not gold:
        raise UsageError("--json prints the scores of --gold; for the alignment: --format jsonl")
    options = AlignOptions(
        bead_format, max_size, skip_percentile, seed, ids, (source_lang, target_lang), min_score
    )
    is_printed = not (gold or lists or source.is_dir())
    with progress("align") as update:
        aligned = align_files(
            source,
            target,
            "-" if out is None and is_printed else out,
            lists=lists,
            gold=gold,
            encoder=partial(load_encoder, model, precision, runtime, threads),
            options=options,
            on_progress=update,
        )
    _tell(aligned, seed)
    if gold:
        _print_scores(aligned.counts, options, json=json)


def _tell(aligned: AlignedFiles, seed: int) -> None:
    if aligned.num_done_before:
        say(f"{aligned.num_done_before:,} documents were aligned already")
    if aligned.num_left_out:
        say(f"{aligned.num_left_out:,} beads with an empty side left out of the TMX")
    if aligned.num_below:
        say(f"{aligned.num_below:,} beads below --min-score left out")
    if aligned.num_changed:
        say(
            f"{aligned.num_changed:,} texts hold a character that {aligned.bead_format} cannot, "
            f"replaced by {'a space' if aligned.bead_format == 'tsv' else 'U+FFFD'}"
        )
    say(
        f"{count(aligned.num_beads, 'bead')}; {aligned.num_truncated:,} spans of lines cut to "
        f"{aligned.max_seq_length} tokens; seed {seed}"
    )


def _print_scores(counts: AlignmentCounts, options: AlignOptions, *, json: bool) -> None:
    skip = f"{options.skip_percentile:g}"
    fields: dict[str, str | int] = {
        "max_size": options.max_size,
        "skip": skip,
        "seed": options.seed,
    }
    scores = {"strict": counts.strict, "lax": counts.lax}
    signatures = {name: build_signature(f"alignment_{name}", fields) for name in scores}
    if json:
        print_json(
            {name: {**asdict(s), "signature": signatures[name]} for name, s in scores.items()}
        )
        return
    rows = [
        (name, f"{s.precision:.3f}", f"{s.recall:.3f}", f"{s.f1:.3f}", signatures[name])
        for name, s in scores.items()
    ]
    print_table(("", "precision", "recall", "F1", "signature"), rows)
