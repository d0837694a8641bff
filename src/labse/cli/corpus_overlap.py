"""The command `labse corpus overlap`."""

from pathlib import Path
from typing import Annotated

import typer

from labse.cleaning.overlap import drop_test_sentences
from labse.cli.console import print_json, print_table, progress, say
from labse.cli.options import (
    ColumnsOption,
    JsonOption,
    KindOption,
    LangOption,
    SkipUnknownOption,
    SourceLangOption,
    TargetLangOption,
)
from labse.corpus.tables import parse_columns

__all__ = ["overlap"]


def overlap(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES",
            help="Training text (with --lang), tables, or folders of shards such as clean/kept. "
            "With --kind pairs, tables of pairs, TMX, or two aligned text files.",
        ),
    ],
    tests: Annotated[
        Path,
        typer.Option(
            help="Folder of test sets: every line of every file below it, and each field between "
            "tabs, is a test sentence.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="File for the other rows, in the format of its suffix; without it they are only "
            "counted.",
        ),
    ] = None,
    kind: KindOption = "mono",
    lang: LangOption = None,
    source_lang: SourceLangOption = None,
    target_lang: TargetLangOption = None,
    columns: ColumnsOption = None,
    skip_unknown: SkipUnknownOption = False,
    json: JsonOption = False,
) -> None:
    """Drop the training rows that stand in test sets, by their letters and digits.

    Case, spaces and punctuation do not hide a test sentence; a word that differs does. Of pairs,
    one side is enough.

    [bold]Examples[/bold]

    labse corpus overlap clean/kept --tests eval --out train.parquet

    labse corpus overlap pairs.parquet --kind pairs --tests eval --json
    """
    with progress("overlap", unit="rows") as on_progress:
        report = drop_test_sentences(
            files,
            tests,
            out,
            kind=kind,
            lang=lang,
            langs=(source_lang, target_lang),
            columns=parse_columns(columns),
            skip_unknown=skip_unknown,
            on_progress=on_progress,
        )
    num_dropped = sum(report.dropped.values())
    if json:
        print_json(
            {
                "test_sentences": report.num_test_sentences,
                "read": report.num_rows,
                "dropped": num_dropped,
                "files": report.dropped,
            }
        )
        return
    rows = [(path, f"{number:,}") for path, number in report.dropped.items()]
    print_table(("file", "rows with a test sentence"), rows, align="lr")
    say(
        f"{num_dropped:,} of {report.num_rows:,} rows have one of the "
        f"{report.num_test_sentences:,} test sentences"
    )
