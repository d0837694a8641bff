"""The command `labse align`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from labse.alignment.accuracy import AlignmentCounts, AlignmentScore
from labse.alignment.batch import (
    AlignedJob,
    AlignmentJob,
    AlignOptions,
    align_job,
    claim_options,
    is_done,
    pair_folders,
    pair_lists,
)
from labse.alignment.formats import BeadFormat
from labse.cli.console import check_out, print_json, print_table, progress, say
from labse.cli.options import (
    JsonOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    ThreadsOption,
    VisibleEncoder,
    load_encoder,
)
from labse.corpus.languages import canonical_tag
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import InterruptedRunError, UsageError
from labse.evaluation.report import build_signature

__all__ = ["align"]


@dataclass(slots=True)
class _Totals:
    """What a run tells at its end."""

    counts: "AlignmentCounts"
    num_documents: int = 0
    num_done_before: int = 0
    num_beads: int = 0
    num_left_out: int = 0
    num_changed: int = 0

    def add(self, aligned: "AlignedJob") -> None:
        self.counts += aligned.counts
        self.num_beads += aligned.num_beads
        self.num_left_out += aligned.formatted.num_left_out
        self.num_changed += aligned.formatted.num_changed


def align(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A document, one sentence a line; .gz and .zst too. Or a folder of documents.",
            show_default=False,
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET", help="The same in the other language.", show_default=False
        ),
    ],
    model: ModelOption = None,
    lists: Annotated[
        bool, typer.Option("--lists", help="SOURCE and TARGET name a document a line.")
    ] = False,
    bead_format: Annotated[
        Literal["ladder", "tsv", "tmx", "jsonl"],
        typer.Option(
            "--format",
            help="ladder: rungs as of Hunalign; tsv: score, source, target; tmx: with both sides "
            "only; jsonl: all of a bead.",
        ),
    ] = "ladder",
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
    ids: Annotated[
        bool, typer.Option("--ids", help="Add the line numbers, from 1, of both sides to tsv.")
    ] = False,
    source_lang: Annotated[
        str | None, typer.Option(help="Language of the source, for tmx.", show_default=False)
    ] = None,
    target_lang: Annotated[
        str | None, typer.Option(help="Language of the target, for tmx.", show_default=False)
    ] = None,
    gold: Annotated[
        Path | None,
        typer.Option(
            help="Print how good the alignment is against this one: a ladder or lines such as "
            "[0, 1]:[2]; for many documents a folder or list of them.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write, in place of standard output; for many documents a folder.",
            show_default=False,
        ),
    ] = None,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Align two documents line by line, m to n: each line of both stands in one bead.

    Many documents are aligned in one run: give two folders (files go together by name without
    suffix) or, with --lists, two lists of files. Stopped, the same command goes on; documents that
    are aligned already, and have not changed since, are not aligned again.

    [bold]Examples[/bold]

    labse align book.de book.en --format tsv --out book.tsv

    labse align book.de book.en --gold book.ladder

    labse align german/ english/ --format jsonl --out aligned/
    """
    langs = _check_options(bead_format, ids, source_lang, target_lang, gold, json)
    is_batch = lists or source.is_dir() or target.is_dir()
    jobs = _list_jobs(source, target, gold, out, lists, bead_format, is_batch)
    if not is_batch:
        check_out(out)
    encoder = load_encoder(model, precision, runtime, threads)

    options = AlignOptions(bead_format, max_size, skip_percentile, seed, ids, langs)
    if is_batch and out:
        claim_options(out, options, encoder.hash_model())
    totals = _Totals(AlignmentCounts())
    shown = encoder if is_batch else VisibleEncoder(encoder)
    # A single document has the bar of its encoder.
    bar = progress("align", len(jobs)) if is_batch else nullcontext(_ignore)
    with _told_as_interrupted(is_batch), bar as update:
        for job in jobs:
            update(totals.num_documents)
            totals.num_documents += 1
            if is_batch and gold is None and is_done(job):
                totals.num_done_before += 1
                continue
            aligned = align_job(shown, job, options)
            totals.add(aligned)
            if job.out is None and gold is None:
                sys.stdout.write(aligned.formatted.payload.decode())
        update(len(jobs))
    _tell(totals, encoder, options)
    if gold:
        _print_scores(totals.counts, options, json)


def _check_options(
    bead_format: str,
    ids: bool,
    source_lang: str | None,
    target_lang: str | None,
    gold: Path | None,
    json: bool,
) -> tuple[str, str]:
    if ids and bead_format != "tsv":
        raise UsageError(f"--ids is for --format tsv; {bead_format} needs no such option")
    if json and not gold:
        raise UsageError("--json prints the scores of --gold; for the alignment: --format jsonl")
    if bead_format == "tmx":
        if not (source_lang and target_lang):
            raise UsageError("--format tmx names languages; give --source-lang and --target-lang")

        return canonical_tag(source_lang), canonical_tag(target_lang)
    if source_lang or target_lang:
        raise UsageError("--source-lang and --target-lang are for --format tmx")
    return "", ""


def _list_jobs(
    source: Path,
    target: Path,
    gold: Path | None,
    out: Path | None,
    lists: bool,
    bead_format: "BeadFormat",
    is_batch: bool,
) -> "list[AlignmentJob]":

    if not is_batch:
        if "-" in (str(source), str(target)) and source == target:
            raise UsageError("only one document can be standard input (-)")
        return [AlignmentJob(source, target, gold, out)]
    if out is None and gold is None:
        raise UsageError("many documents need --out, the folder of their alignments, or --gold")
    pair = pair_lists if lists else pair_folders
    return pair(source, target, gold, out, bead_format)


@contextmanager
def _told_as_interrupted(is_batch: bool) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if not is_batch:
            raise
        raise InterruptedRunError("stopped; the same command goes on where it was") from None


def _ignore(num_done: int) -> None:
    """Shows nothing: a single document has the bar of its encoder."""


def _tell(totals: _Totals, encoder: "SentenceEncoder", options: "AlignOptions") -> None:
    if totals.num_done_before:
        say(f"{totals.num_done_before:,} documents were aligned already")
    if totals.num_left_out:
        say(f"{totals.num_left_out:,} beads with an empty side left out of the TMX")
    if totals.num_changed:
        say(
            f"{totals.num_changed:,} texts hold a character that {options.bead_format} cannot, "
            f"replaced by {'a space' if options.bead_format == 'tsv' else 'U+FFFD'}"
        )
    say(
        f"{totals.num_beads:,} beads; {encoder.num_truncated:,} runs of lines cut to "
        f"{encoder.max_seq_length} tokens; seed {options.seed}"
    )


def _print_scores(counts: "AlignmentCounts", options: "AlignOptions", json: bool) -> None:

    scores = {"strict": counts.strict, "lax": counts.lax}
    signatures = {
        name: build_signature(
            f"alignment_{name}",
            {
                "max_size": options.max_size,
                "skip": f"{options.skip_percentile:g}",
                "seed": options.seed,
            },
        )
        for name in scores
    }
    if json:
        print_json({name: _to_json(score, signatures[name]) for name, score in scores.items()})
        return
    rows = [
        (name, f"{s.precision:.3f}", f"{s.recall:.3f}", f"{s.f1:.3f}", signatures[name])
        for name, s in scores.items()
    ]
    print_table(("", "precision", "recall", "F1", "signature"), rows)


def _to_json(score: "AlignmentScore", signature: str) -> dict[str, object]:
    return {
        "precision": score.precision,
        "recall": score.recall,
        "f1": score.f1,
        "signature": signature,
    }
