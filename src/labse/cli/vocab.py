"""The command `labse vocab`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from labse.cli.console import count, print_json, print_lines, progress, say
from labse.cli.options import (
    ClusterOption,
    ColumnsOption,
    JsonOption,
    MemoryOption,
    SkipUnknownOption,
    SourceLangOption,
    TargetLangOption,
    WorkersOption,
    open_workers,
    parse_size,
)
from labse.corpus.tables import parse_columns
from labse.errors import UsageError
from labse.vocab.folder import count_files, learn_vocabulary
from labse.vocab.report import REPORT_NAME, load_report, render_report

__all__ = ["vocab"]


_LEARNING = ("vocab_size", "smoothing_exponent", "min_count", "algorithm", "uncased", "report")


def vocab(
    context: typer.Context,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES",
            help="Pairs (.parquet, .tsv, .jsonl, .tmx), of which both sides count, or texts, as "
            "lines or in a table; .gz and .zst too. Also folders that --counts or labse corpus "
            "clean and dedup made.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to make. A vocabulary that this command made there before is replaced; "
            "anything else is refused. Without it, words are only counted (--counts).",
        ),
    ] = None,
    vocab_size: Annotated[
        int, typer.Option(min=1, help="The most pieces (paper: 501,153).")
    ] = 120_000,
    smoothing_exponent: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Weight of languages: 0 makes all equal, 1 leaves them as they are."
        ),
    ] = 0.3,
    min_count: Annotated[
        float, typer.Option(min=0, help="The least smoothed count of a piece.")
    ] = 2,
    algorithm: Annotated[
        Literal["wordpiece", "bpe"],
        typer.Option(help="wordpiece: Google's, top down; bpe: that of tokenizers, bottom up."),
    ] = "wordpiece",
    uncased: Annotated[
        bool,
        typer.Option(
            "--uncased",
            help="Text is folded before it is cut: CAPITALS, Title Case, full-width letters and "
            "the like become plain small letters. The paper's vocabulary is cased.",
        ),
    ] = False,
    counts: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps the word counts: a killed run goes on, and counts of several "
            "machines are merged when their folders are given as FILES.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Folder for report.json and report.png. They have, by language, the rate of [UNK], "
                "pieces a word and characters a piece; and the share of the pieces by script. Also "
                "printed as a table. The picture needs matplotlib: the extra plot."
            ),
        ),
    ] = None,
    memory: MemoryOption = "2GB",
    lang: Annotated[
        str | None,
        typer.Option(
            help="Language of the text files, such as de, deu or German. Without it, their names "
            "tell it, such as news.de."
        ),
    ] = None,
    source_lang: SourceLangOption = None,
    target_lang: TargetLangOption = None,
    columns: ColumnsOption = None,
    skip_unknown: SkipUnknownOption = False,
    workers: WorkersOption = 1,
    cluster: ClusterOption = None,
    json: JsonOption = False,
) -> None:
    """Learn a word-piece vocabulary shared by all languages.

    [bold]Examples[/bold]

    labse vocab pairs.parquet --out vocab --vocab-size 20000

    labse vocab news.deu.txt.zst --lang deu --out vocab

    labse vocab part1.parquet --counts counts1; labse vocab counts1 counts2 --out vocab

    labse vocab counts1 --out vocab-bpe --algorithm bpe --report report-bpe
    """
    # Without --out words are only counted.
    memory_bytes = parse_size(memory)
    if out is None:
        counts = _check_counting(context, counts)
        with open_workers(workers, cluster) as executor, progress("count", unit="rows") as update:
            tables = count_files(
                files,
                counts,
                lang=lang,
                langs=(source_lang, target_lang),
                columns=parse_columns(columns),
                skip_unknown=skip_unknown,
                memory_bytes=memory_bytes,
                workers=executor,
                on_progress=update,
            )
        num_words = tables.totals.total()
        say(f"{counts}: {num_words:,} words of {count(len(tables.totals), 'language')} counted")
        if json:
            print_json({"counts": str(counts), "totals": dict(tables.totals)})
        return

    # Else a vocabulary is learnt from all counts together.
    with open_workers(workers, cluster) as executor, progress("vocab") as update:
        summary = learn_vocabulary(
            files,
            out,
            vocab_size=vocab_size,
            smoothing_exponent=smoothing_exponent,
            min_count=min_count,
            lang=lang,
            langs=(source_lang, target_lang),
            columns=parse_columns(columns),
            skip_unknown=skip_unknown,
            algorithm=algorithm,
            uncased=uncased,
            counts=counts,
            report=report,
            memory_bytes=memory_bytes,
            workers=executor,
            on_progress=update,
        )

    # What was learnt, and how it does on the words.
    if summary.num_pieces < vocab_size:
        say(f"the words give fewer than {vocab_size:,} pieces")
    say(
        f"{out}: {summary.num_pieces:,} pieces from {summary.num_word_tokens:,} words "
        f"({summary.num_words:,} distinct) of {count(summary.num_langs, 'language')}"
    )
    measured = None if report is None else load_report(report / REPORT_NAME)
    if json:
        described = {} if measured is None else {"report": asdict(measured)}
        print_json({"out": str(out), **asdict(summary), **described})
    elif measured:
        print_lines(render_report(measured), None)


def _check_counting(context: typer.Context, counts: Path | None) -> Path:
    """Returns the folder of counts; no option of learning may stand there without `--out`."""
    if counts is None:
        raise UsageError(
            "Missing option '--out', or '--counts' to count only; see labse vocab --help"
        )
    for name in _LEARNING:
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option} is for learning; give --out too, or leave it out")
    return counts
