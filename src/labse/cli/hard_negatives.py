"""The command `labse hard-negatives`."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from labse import __version__
from labse.cli.console import check_out, print_json, progress, say
from labse.cli.options import (
    JsonOption,
    MemoryOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    ThreadsOption,
    WorkOption,
    parse_size,
)
from labse.cli.pair_inputs import ModelChoice
from labse.corpus.inputs import hash_files
from labse.corpus.readers import read_pairs
from labse.corpus.records import SentencePair
from labse.corpus.writers import choose_layout, write_rows
from labse.errors import LabseError, UsageError
from labse.mining.hard_negatives import NegativeOptions, iter_hard_negatives, negative_row_columns
from labse.mining.pair_spool import spool_pairs
from labse.mining.workplace import open_workplace

__all__ = ["hard_negatives"]


def hard_negatives(
    pairs: Annotated[
        list[Path],
        typer.Argument(
            metavar="PAIRS...",
            help="Files of pairs: .tsv, .jsonl (.gz and .zst too) or .parquet.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="The pairs and their negatives: .parquet, .jsonl or .tsv (.gz and .zst too).",
            show_default=False,
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
            help="A negative's cosine is below the positive's by this share of it at least: what "
            "is nearer may be a translation that no pair tells of.",
        ),
    ] = 0.05,
    absolute_margin: Annotated[
        float,
        typer.Option(min=0, max=2, help="It is also below by this number at least."),
    ] = 0.0,
    neighbours: Annotated[
        int,
        typer.Option(min=1, help="Nearest sentences that are looked at, translations included."),
    ] = 32,
    both_sides: Annotated[
        bool,
        typer.Option("--both-sides", help="Negatives of the source's language too."),
    ] = False,
    source_lang: Annotated[
        str | None,
        typer.Option(
            help="Language of every source, for files without a column source_lang.",
            show_default=False,
        ),
    ] = None,
    target_lang: Annotated[
        str | None,
        typer.Option(help="The same of the target.", show_default=False),
    ] = None,
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
    memory_bytes = parse_size(memory)
    if neighbours <= k:
        raise UsageError(f"--neighbours {neighbours}: give more than --k ({k})")
    if out.resolve() in {file.resolve() for file in pairs}:
        raise UsageError(f"--out {out} is one of the inputs; name another file")
    check_out(out)

    if choose_layout(out) not in ("tsv", "jsonl", "parquet"):
        raise UsageError(f"--out {out}: name a .parquet, .jsonl or .tsv file")
    hashes = hash_files(pairs)
    options = NegativeOptions(k, neighbours, relative_margin, absolute_margin, both_sides)
    encoder = ModelChoice(model, precision, runtime, threads).load()
    key: dict[str, object] = {
        "labse version": __version__,
        "--neighbours": neighbours,
        "inputs": hashes,
        "languages": [source_lang, target_lang],
        "model": encoder.hash_model(),
        "--precision": precision,
    }
    counts: Counter[str] = Counter()
    with open_workplace(work, key) as folder:
        groups = spool_pairs(_read(pairs, source_lang, target_lang), folder)
        if not groups:
            raise LabseError(f"{pairs[0]}: there is not one pair in the input")

        def rows() -> Iterator[tuple[str, ...]]:
            for group in groups:
                with progress(f"{group.source_lang}-{group.target_lang}") as update:

                    def count(done: int, _: int | None, show: Callable[..., None] = update) -> None:
                        show(done)

                    yield from iter_hard_negatives(
                        group,
                        encoder,
                        options,
                        counts,
                        memory_bytes=memory_bytes,
                        on_progress=count,
                    )

        written = write_rows(out, negative_row_columns(options), rows())
    _tell(counts, written.num_altered, num_groups=len(groups))
    if json:
        print_json({"out": str(out), "language_pairs": len(groups), **_as_json(counts)})


def _read(
    files: list[Path], source_lang: str | None, target_lang: str | None
) -> "Iterator[SentencePair]":

    for file in files:
        yield from read_pairs(file, source_lang=source_lang, target_lang=target_lang)


def _as_json(counts: Counter[str]) -> dict[str, int]:
    names = ("pairs", "negatives", "without", "blank", "known", "guarded")
    return {f"num_{name}": counts[name] for name in names}


def _tell(counts: Counter[str], num_altered: int, *, num_groups: int) -> None:
    if num_altered:
        say(f"{num_altered:,} rows hold a tab, which became a space; .jsonl and .parquet keep it")
    say(
        f"left out: {counts['known']:,} neighbours that are translations or copies, "
        f"{counts['guarded']:,} by the margin"
    )
    say(
        f"{counts['pairs']:,} pairs of {num_groups:,} language pairs, {counts['negatives']:,} "
        f"negatives; {counts['without']:,} pairs have none ({counts['blank']:,} of them blank)"
    )
