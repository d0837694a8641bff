"""The commands `labse corpus clean` and `labse corpus decide`."""

from pathlib import Path
from typing import Annotated

import typer

from labse.cleaning import pipeline as cleaning
from labse.cleaning.bounds import BOUNDS
from labse.cleaning.pipeline import CleaningReport
from labse.cli.console import print_json, print_table, progress, say
from labse.cli.options import (
    ClusterOption,
    ColumnsOption,
    JsonOption,
    KindOption,
    LangOption,
    RowsPerShardOption,
    SkipUnknownOption,
    SourceLangOption,
    TargetLangOption,
    WorkersOption,
    open_workers,
)
from labse.config import load_config
from labse.corpus.shards import ROWS_PER_SHARD
from labse.corpus.tables import parse_columns
from labse.files.object_store import find_url

__all__ = ["clean", "decide"]

_MAX_LANGS = 30  # In the table; --json has all.

BoundsOption = Annotated[
    Path | None,
    typer.Option(
        help="TOML file of bounds, such as min_characters = 10; the others keep their defaults.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Set one bound, over the file: --set max_overlap=0.9; may be repeated.",
    ),
]
RejectsOption = Annotated[
    bool, typer.Option("--rejects", help="Write the dropped rows too, with reason and scores.")
]


def clean(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES",
            help="Text, a sentence a line (with --lang), tables (.tsv, .jsonl, .parquet) with text "
            "and lang; .gz and .zst too; or folders of shards. With --kind pairs, tables of pairs, "
            "TMX, or two aligned text files.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder to make, or to go on in; or a place in an object store, such as "
            "s3://bucket/clean, with --work."
        ),
    ],
    kind: KindOption = "mono",
    lang: LangOption = None,
    source_lang: SourceLangOption = None,
    target_lang: TargetLangOption = None,
    columns: ColumnsOption = None,
    skip_unknown: SkipUnknownOption = False,
    bounds: BoundsOption = None,
    set_: SetOption = None,
    language_id: Annotated[
        bool,
        typer.Option(
            "--language-id/--no-language-id",
            help="Identify languages: three quarters of the time; needs the extra corpus.",
        ),
    ] = True,
    quality: Annotated[
        Path | None,
        typer.Option(
            help="Quality model, for the score quality_prob and the bound min_quality_prob.",
        ),
    ] = None,
    rejects: RejectsOption = False,
    work: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With --out in an object store: the folder on a disk of this machine that knows "
            "what is done, from which the same command goes on.",
        ),
    ] = None,
    workers: WorkersOption = 1,
    cluster: ClusterOption = None,
    rows_per_shard: RowsPerShardOption = ROWS_PER_SHARD,
    json: JsonOption = False,
) -> None:
    """Score every row, then keep those within the bounds; each drop has a reason and is counted.

    OUT/kept has the rows, OUT/scores all scores, OUT/manifest.json the counts. A killed run goes on
    when the command is given again, to the same bytes. The file's name is the source in the counts.

    [bold]Examples[/bold]

    labse corpus clean news.de.txt.zst --lang de --out clean --rejects

    labse corpus clean pairs.parquet --kind pairs --out clean --workers 8 --set max_length_ratio=2.5

    labse corpus clean a.de a.en --kind pairs --source-lang de --target-lang en --out clean

    labse corpus clean 's3://bucket/raw/*.de.zst' --lang de --out s3://bucket/clean --work run
    """
    with open_workers(workers, cluster) as executor, progress("clean") as on_progress:
        report = cleaning.clean(
            files,
            out,
            bounds=load_config(BOUNDS[kind], bounds, set_ or ()),
            lang=lang,
            langs=(source_lang, target_lang),
            columns=parse_columns(columns),
            skip_unknown=skip_unknown,
            identify=language_id,
            quality=quality,
            rejects=rejects,
            work=work,
            workers=executor,
            rows_per_shard=rows_per_shard,
            on_progress=on_progress,
        )
    _print_report(out, report, json)


def decide(
    folder: Annotated[
        Path,
        typer.Argument(help="Folder that labse corpus clean made."),
    ],
    bounds: BoundsOption = None,
    set_: SetOption = None,
    rejects: RejectsOption = False,
    workers: WorkersOption = 1,
    cluster: ClusterOption = None,
    json: JsonOption = False,
) -> None:
    """Decide anew, with other bounds, from the scores that stand in a folder.

    Replaces FOLDER/kept, FOLDER/rejects and the counts; nothing is scored again.

    [bold]Examples[/bold]

    labse corpus decide clean --set min_characters=20 --rejects

    labse corpus decide clean --bounds strict.toml --json
    """
    limits = load_config(BOUNDS[cleaning.read_kind(folder)], bounds, set_ or ())
    with open_workers(workers, cluster) as executor, progress("decide") as on_progress:
        report = cleaning.decide(
            folder, bounds=limits, rejects=rejects, workers=executor, on_progress=on_progress
        )
    _print_report(folder, report, json)


def _print_report(out: Path, report: "CleaningReport", json: bool) -> None:
    if json:
        print_json({"out": find_url(out) or str(out), "counts": report.counts})
        return
    headers = ("source", "language", "rows", "kept %", "dropped, by reason")
    counts = [
        (sum(reasons.values()), source, lang, reasons)
        for source, langs in report.counts.items()
        for lang, reasons in langs.items()
    ]
    counts.sort(key=lambda row: (-row[0], row[1], row[2]))
    totals = report.total()
    rows = [
        (source, lang, f"{num_rows:,}", *_describe(reasons, num_rows))
        for num_rows, source, lang, reasons in [
            *counts[:_MAX_LANGS],
            (totals.total(), "all", "", totals),
        ]
    ]
    print_table(headers, rows, align="llrrl")
    if len(counts) > _MAX_LANGS:
        say(f"{len(counts) - _MAX_LANGS} smaller rows are left out; {out}/manifest.json has all")


def _describe(reasons: "dict[str, int]", num_rows: int) -> tuple[str, str]:
    dropped = sorted(((-n, reason) for reason, n in reasons.items() if reason != "kept"))
    told = ", ".join(f"{reason} {-number:,}" for number, reason in dropped)
    return f"{100 * reasons.get('kept', 0) / max(num_rows, 1):.1f}", told
