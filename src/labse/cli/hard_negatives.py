"""The command `labse hard-negatives`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import count, print_json, progress, say
from labse.cli.options import (
    ColumnsOption,
    JsonOption,
    MemoryOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    SkipUnknownOption,
    ThreadsOption,
    WorkOption,
    load_encoder,
    parse_size,
)
from labse.corpus.tables import parse_columns
from labse.mining.hard_negatives import NegativeOptions, mine_hard_negatives

__all__ = ["hard_negatives"]


def hard_negatives(
    pairs: Annotated[
        list[Path],
        typer.Argument(
            metavar="PAIRS...",
            help="Files of pairs: .tsv, .jsonl (.gz and .zst too) or .parquet.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="The pairs and their negatives: .parquet, .jsonl or .tsv (.gz and .zst too).",
        ),
    ],
    model: ModelOption = None,
    k: Annotated[
        int, typer.Option("--k", min=1, help="Negatives of a pair and side, at most.")
    ] = 4,
    relative_margin: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help=(
                "Least distance of a negative's cosine below the positive's, as a share of the "
                "positive's. What is nearer may be a translation that no pair tells of."
            ),
        ),
    ] = 0.05,
    absolute_margin: Annotated[
        float,
        typer.Option(
            min=0,
            max=2,
            help="Least distance of a negative's cosine below the positive's, as a number.",
        ),
    ] = 0.0,
    neighbours: Annotated[
        int,
        typer.Option(min=1, help="Nearest sentences to choose from, translations included."),
    ] = 32,
    both_sides: Annotated[
        bool,
        typer.Option("--both-sides", help="Add negatives of the source's language too."),
    ] = False,
    source_lang: Annotated[
        str | None,
        typer.Option(
            help="Language of every source, for files without a column source_lang.",
        ),
    ] = None,
    target_lang: Annotated[
        str | None,
        typer.Option(help="Language of every target."),
    ] = None,
    columns: ColumnsOption = None,
    skip_unknown: SkipUnknownOption = False,
    json: JsonOption = False,
    work: WorkOption = None,
    memory: MemoryOption = "1GB",
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Add to pairs the sentences that are hard to tell from their translations.

    For each pair: the nearest sentences of the target's language to its source, among the targets
    of the same language pair. Known translations and copies are never taken. They stand in the
    columns target_negative_1, target_negative_2, ..., the hardest first, empty where there are
    fewer; labse train reads them with data.hard_negatives. Rows are sorted by language pair.

    [bold]Examples[/bold]

    labse hard-negatives pairs.parquet --out hard.parquet --k 8

    labse hard-negatives a.tsv b.tsv --out hard.jsonl --model my-model --both-sides

    labse train config.toml --init default --out run --set data.hard_negatives=4
    """
    with progress("hard negatives") as update:
        mined = mine_hard_negatives(
            pairs,
            out,
            NegativeOptions(k, neighbours, relative_margin, absolute_margin, both_sides),
            encoder=partial(load_encoder, model, precision, runtime, threads),
            langs=(source_lang, target_lang),
            columns=parse_columns(columns),
            skip_unknown=skip_unknown,
            work=work,
            memory_bytes=parse_size(memory),
            on_progress=update,
        )
    counts, num_groups = mined.counts, mined.num_groups
    if mined.num_altered:
        say(
            f"{mined.num_altered:,} rows hold a tab, which became a space; .jsonl and .parquet "
            "keep it"
        )
    say(
        f"left out: {counts['known']:,} neighbours that are translations or copies, "
        f"{counts['guarded']:,} by the margin"
    )
    say(
        f"{counts['pairs']:,} pairs of {count(num_groups, 'language pair')}, "
        f"{counts['negatives']:,} negatives; {counts['without']:,} pairs have none "
        f"({counts['blank']:,} of them blank)"
    )
    if json:
        names = ("pairs", "negatives", "without", "blank", "known", "guarded")
        sums = {f"num_{name}": counts[name] for name in names}
        print_json({"out": str(out), "language_pairs": num_groups, **sums})
