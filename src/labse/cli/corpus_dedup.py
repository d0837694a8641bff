"""The command `labse corpus dedup`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from labse.cleaning.dedup import dedup_files
from labse.cli.console import print_json, progress, say
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
from labse.corpus.shards import ROWS_PER_SHARD
from labse.corpus.tables import parse_columns

__all__ = ["dedup"]


def dedup(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES",
            help="Text (with --lang), tables, or folders of shards, such as that of labse corpus "
            "clean. With --kind pairs, tables of pairs, TMX, or two aligned text files.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to make, or to go on in.")],
    kind: KindOption = "mono",
    lang: LangOption = None,
    source_lang: SourceLangOption = None,
    target_lang: TargetLangOption = None,
    columns: ColumnsOption = None,
    skip_unknown: SkipUnknownOption = False,
    near: Annotated[
        float | None,
        typer.Option(
            min=0.7,
            max=1,
            help="Drop near copies too: rows of one language whose 5-grams of characters have this "
            "Jaccard similarity or more, 0.8 for example; of pairs, both sides.",
        ),
    ] = None,
    workers: WorkersOption = 1,
    cluster: ClusterOption = None,
    rows_per_shard: RowsPerShardOption = ROWS_PER_SHARD,
    json: JsonOption = False,
) -> None:
    """Keep each row once, across all files.

    Rows come out sorted by a hash of their content. So the result depends on the set of rows alone,
    whatever their order. Of near copies the longest stays.

    [bold]Examples[/bold]

    labse corpus dedup clean --out unique

    labse corpus dedup a.parquet b.parquet --kind pairs --near 0.8 --out unique --workers 8
    """
    with open_workers(workers, cluster) as executor, progress("dedup") as on_progress:
        report = dedup_files(
            files,
            out,
            kind=kind,
            lang=lang,
            langs=(source_lang, target_lang),
            columns=parse_columns(columns),
            skip_unknown=skip_unknown,
            min_similarity=near,
            workers=executor,
            rows_per_shard=rows_per_shard,
            on_progress=on_progress,
        )
    if json:
        print_json({"out": str(out), **asdict(report)})
    else:
        say(
            f"{out}: {sum(report.kept.values()):,} of {report.num_rows:,} rows; "
            f"{report.num_exact:,} copies and {report.num_near:,} near copies dropped"
        )
