"""The command `labse filter`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from labse.cleaning.bounds import FilterBounds, recommend_bounds
from labse.cli.console import print_json, print_table, progress, say
from labse.cli.options import (
    ClusterOption,
    ColumnsOption,
    JsonOption,
    KOption,
    MemoryOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    ShardOption,
    SkipUnknownOption,
    SourceVectorsOption,
    TargetVectorsOption,
    ThreadsOption,
    WorkOption,
    check_work,
    load_encoder,
    open_workers,
    parse_size,
)
from labse.config import parse_config
from labse.corpus.tables import parse_columns
from labse.encoder.job.inputs import LineBlock
from labse.errors import UsageError
from labse.mining.bitext import SearchOptions
from labse.mining.filter import FilterReport, filter_pairs
from labse.rating.calibration import read_min_score
from labse.selection.cds import load_cds

__all__ = ["filter"]

_BOUNDS = "Bounds, inclusive"
_OUTPUT = "Output"


def filter(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Text, one sentence a line; or with no TARGET a .tsv, .jsonl or .parquet with the "
            "columns source and target.",
        ),
    ],
    target: Annotated[
        str | None,
        typer.Argument(metavar="[TARGET]", help="The translations, line by line."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Kept pairs: .tsv, .jsonl, .parquet or .tmx.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    rejects: Annotated[
        Path | None,
        typer.Option(
            help="The others as JSON lines, with line number and reasons.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            help="All scores as JSON lines, one for each input line, as OpusFilter's.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    from_scores: Annotated[
        Path | None,
        typer.Option(help="Decide by the scores of an earlier run; no model is needed."),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            help="Drop pairs with a lower margin_score, of tables that labse mine wrote.",
            rich_help_panel=_BOUNDS,
        ),
    ] = None,
    min_score_from: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The same, with the bound that labse calibrate --out has written.",
            rich_help_panel=_BOUNDS,
        ),
    ] = None,
    min_cosine: Annotated[
        float | None,
        typer.Option(help="Drop pairs with a lower cosine.", rich_help_panel=_BOUNDS),
    ] = None,
    min_margin: Annotated[
        float | None,
        typer.Option(
            help="Drop pairs with a lower margin score, which needs a search.",
            rich_help_panel=_BOUNDS,
        ),
    ] = None,
    min_quality: Annotated[
        float | None,
        typer.Option(
            help="Drop pairs with a lower quality score, from 0 to 1: what labse score --quality "
            "tells.",
            rich_help_panel=_BOUNDS,
        ),
    ] = None,
    min_cds: Annotated[
        float | None,
        typer.Option(
            help="Drop pairs that are less probably good, from 0 to 1, by a model of labse cds "
            "train; needs --cds.",
            rich_help_panel=_BOUNDS,
        ),
    ] = None,
    min_cds_forward: Annotated[
        float | None,
        typer.Option(
            help=(
                "Drop pairs with a lower contrastive score: log P of the trusted model minus that "
                "of the other, a word. It selects domains too. Needs --cds."
            ),
            rich_help_panel=_BOUNDS,
        ),
    ] = None,
    max_length_ratio: Annotated[
        float | None,
        typer.Option(
            help="Drop pairs of which one text is more than so many times longer: both lengths "
            "plus 15, and a Han character counts 3.3, kana and Hangul 2.",
            rich_help_panel=_BOUNDS,
        ),
    ] = None,
    max_overlap: Annotated[
        float | None,
        typer.Option(
            help="Drop pairs with a larger share of letters in words of both sides; a copy has 1.",
            rich_help_panel=_BOUNDS,
        ),
    ] = None,
    max_number_mismatch: Annotated[
        float | None,
        typer.Option(
            help="Drop pairs with a larger share of numbers that the other side has not; 0 drops "
            "all whose numbers differ. Where one side has none, nothing is said.",
            rich_help_panel=_BOUNDS,
        ),
    ] = None,
    min_language_match: Annotated[
        float | None,
        typer.Option(
            help="Drop pairs with a side in another language: at 0.5 where that is sure, at 1 also "
            "where its own is not. Needs --source-lang and --target-lang.",
            rich_help_panel=_BOUNDS,
        ),
    ] = None,
    same_numbers: Annotated[
        bool,
        typer.Option(
            "--same-numbers",
            help="Drop all pairs whose numbers differ: --max-number-mismatch 0.",
            rich_help_panel=_BOUNDS,
        ),
    ] = False,
    same_names: Annotated[
        bool,
        typer.Option(
            "--same-names",
            help="Drop pairs of which each side has a name (a word with a capital) that the other "
            "has not; Latin script only. It drops 1 to 6 good pairs in 100.",
            rich_help_panel=_BOUNDS,
        ),
    ] = False,
    recommended: Annotated[
        bool,
        typer.Option(
            "--recommended",
            help="Take max-length-ratio 3, max-overlap 0.9 and max-number-mismatch 0.5, with both "
            "languages also min-language-match 0.5; bounds that are given hold in their place.",
            rich_help_panel=_BOUNDS,
        ),
    ] = False,
    margin: Annotated[
        Literal["ratio", "distance", "absolute"], typer.Option(help="Formula of the margin score.")
    ] = "ratio",
    k: KOption = 4,
    cds: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Add the scores of a model that labse cds train has made."
        ),
    ] = None,
    source_lang: Annotated[str | None, typer.Option(help="Language of the source.")] = None,
    target_lang: Annotated[str | None, typer.Option(help="Language of the target.")] = None,
    model: ModelOption = None,
    columns: ColumnsOption = None,
    skip_unknown: SkipUnknownOption = False,
    shard: ShardOption = None,
    source_vectors: SourceVectorsOption = None,
    target_vectors: TargetVectorsOption = None,
    work: WorkOption = None,
    cluster: ClusterOption = None,
    memory: MemoryOption = "1GB",
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Drop the pairs that are no translations, and tell which bound dropped them.

    All pairs are scored first, then the bounds decide: with --scores and --from-scores other bounds
    need no other scores. A pair with a blank side is always dropped.

    [bold]Examples[/bold]

    labse filter news.de news.en --recommended --out kept.tsv

    labse filter news.de news.en --min-cosine 0.6 --max-length-ratio 3 --out kept.tsv

    labse filter mined.tsv --min-score-from calibration.json --out kept.tsv

    labse filter web.tsv --scores scores.jsonl --min-margin 1.05 --out kept.tsv --rejects no.jsonl

    labse filter web.tsv --from-scores scores.jsonl --min-margin 1.1 --max-overlap 0.7 --out a.tsv
    """
    if min_score_from is not None:
        if min_score is not None:
            raise UsageError("give --min-score or --min-score-from, not both")
        min_score = read_min_score(min_score_from)
    given: dict[str, object] = {
        "min_score": min_score,
        "min_cosine": min_cosine,
        "min_margin": min_margin,
        "min_quality": min_quality,
        "min_cds": min_cds,
        "min_cds_forward": min_cds_forward,
        "max_length_ratio": max_length_ratio,
        "max_overlap": max_overlap,
        "max_number_mismatch": 0.0 if same_numbers else max_number_mismatch,
        "min_language_match": min_language_match,
        "same_names": same_names or None,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if recommended:
        has_langs = source_lang is not None and target_lang is not None
        given = recommend_bounds(has_langs=has_langs).model_dump() | given
    elif out is not None and not given:
        raise UsageError("no bound is given; take --recommended, or one such as --min-cosine 0.6")
    bounds = parse_config(FilterBounds, given, where="filter")
    check_work(cluster, work)
    if cluster is not None and from_scores is not None:
        raise UsageError("--cluster: scores pairs, and --from-scores are scores already")
    with open_workers(1, cluster) as executor, progress("filter") as update:
        report = filter_pairs(
            source,
            target,
            out,
            bounds=bounds,
            langs=(source_lang, target_lang),
            rejects=rejects,
            scores=scores,
            from_scores=from_scores,
            vectors=(source_vectors, target_vectors),
            encoder=partial(load_encoder, model, precision, runtime, threads),
            margin=margin,
            k=k,
            search=SearchOptions(parse_size(memory), workers=executor),
            selector=None if cds is None else load_cds(cds),
            columns=parse_columns(columns),
            shard=LineBlock.parse(shard),
            skip_unknown=skip_unknown,
            work=work,
            on_progress=update,
        )
    _print_report(report, as_json=json)


def _print_report(report: FilterReport, *, as_json: bool) -> None:
    if report.num_altered:
        say(
            f"{report.num_altered:,} pairs hold a character that the format cannot; another is in "
            "its place"
        )
    counts = {
        "read": report.num_read,
        "kept": report.num_kept,
        "dropped": report.num_read - report.num_kept,
    }
    if as_json:
        print_json(counts | {"broken": dict(report.broken), "only": dict(report.only)})
        return
    broken = report.broken.most_common()
    rows = [(name, f"{count:,}", f"{report.only[name]:,}") for name, count in broken]
    sums = [(name, f"{counts[name]:,}", "") for name in ("read", "dropped", "kept")]
    print_table(("bound", "pairs that break it", "and no other"), [*rows, (), *sums])
