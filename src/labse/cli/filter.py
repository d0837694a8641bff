"""The command `labse filter`."""

import contextlib
import itertools
from pathlib import Path
from typing import Annotated, Literal

import typer

from labse.cleaning.bounds import FilterBounds
from labse.cli.console import check_out, progress
from labse.cli.filter_output import show_report, write_kept
from labse.cli.options import (
    JsonOption,
    KOption,
    MemoryOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    SourceVectorsOption,
    TargetVectorsOption,
    ThreadsOption,
    WorkOption,
    parse_size,
)
from labse.cli.pair_inputs import (
    ModelChoice,
    Side,
    build_key,
    embed_sides,
    load_needed_encoder,
    open_side,
    search_sides,
)
from labse.config import parse_config
from labse.corpus.languages import canonical_tag
from labse.corpus.writers import open_output
from labse.errors import LabseError, UsageError
from labse.mining.filter import FilterReport, decide, score_texts, to_json
from labse.mining.pair_scores import aligned_cosines, aligned_margins, check_aligned
from labse.mining.workplace import EmbeddedSide, open_workplace

__all__ = ["filter"]

_BOUNDS = "Bounds, inclusive"
_OUTPUT = "Output"
_CHUNK = 8192


def filter(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Text, one sentence a line; or with no TARGET a .tsv, .jsonl or .parquet with the "
            "columns source and target.",
            show_default=False,
        ),
    ],
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[TARGET]", help="The translations, line by line.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Kept pairs: .tsv, .jsonl, .parquet or .tmx.",
            rich_help_panel=_OUTPUT,
            show_default=False,
        ),
    ] = None,
    rejects: Annotated[
        Path | None,
        typer.Option(
            help="The others as JSON lines, with line number and reasons.",
            rich_help_panel=_OUTPUT,
            show_default=False,
        ),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            help="All scores as JSON lines, one for each input line, as OpusFilter's.",
            rich_help_panel=_OUTPUT,
            show_default=False,
        ),
    ] = None,
    from_scores: Annotated[
        Path | None,
        typer.Option(
            help="Decide by the scores of an earlier run; no model is needed.", show_default=False
        ),
    ] = None,
    min_cosine: Annotated[
        float | None,
        typer.Option(help="Least cosine of a pair.", rich_help_panel=_BOUNDS, show_default=False),
    ] = None,
    min_margin: Annotated[
        float | None,
        typer.Option(
            help="Asks for the margin score, which needs a search.",
            rich_help_panel=_BOUNDS,
            show_default=False,
        ),
    ] = None,
    max_length_ratio: Annotated[
        float | None,
        typer.Option(
            help="Length of the longer text over that of the shorter, at least 1; both plus 15, a "
            "Han character counts 3.3, kana and Hangul 2.",
            rich_help_panel=_BOUNDS,
            show_default=False,
        ),
    ] = None,
    max_overlap: Annotated[
        float | None,
        typer.Option(
            help="Share of the letters in words of both sides; an untranslated copy has 1.",
            rich_help_panel=_BOUNDS,
            show_default=False,
        ),
    ] = None,
    max_number_mismatch: Annotated[
        float | None,
        typer.Option(
            help="Share of the numbers that the other side has not; 0: all numbers agree, or one "
            "side has none.",
            rich_help_panel=_BOUNDS,
            show_default=False,
        ),
    ] = None,
    min_language_match: Annotated[
        float | None,
        typer.Option(
            help="1: both sides are in their language for sure; 0.5: neither is in another. Needs "
            "--source-lang and --target-lang.",
            rich_help_panel=_BOUNDS,
            show_default=False,
        ),
    ] = None,
    same_names: Annotated[
        bool,
        typer.Option(
            "--same-names",
            help="Drop pairs of which each side has a name, a word with a capital, that the other "
            "has not; Latin script only. Of good pairs it drops 1 to 6 in 100.",
            rich_help_panel=_BOUNDS,
        ),
    ] = False,
    margin: Annotated[
        Literal["ratio", "distance", "absolute"], typer.Option(help="Formula of the margin score.")
    ] = "ratio",
    k: KOption = 4,
    source_lang: Annotated[
        str | None, typer.Option(help="Language of the source.", show_default=False)
    ] = None,
    target_lang: Annotated[
        str | None, typer.Option(help="Language of the target.", show_default=False)
    ] = None,
    model: ModelOption = None,
    source_vectors: SourceVectorsOption = None,
    target_vectors: TargetVectorsOption = None,
    work: WorkOption = None,
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

    labse filter news.de news.en --min-cosine 0.6 --max-length-ratio 3 --out kept.tsv

    labse filter web.tsv --scores scores.jsonl --min-margin 1.05 --out kept.tsv --rejects no.jsonl

    labse filter web.tsv --from-scores scores.jsonl --min-margin 1.1 --max-overlap 0.7 --out a.tsv
    """
    values = {
        "min_cosine": min_cosine,
        "min_margin": min_margin,
        "max_length_ratio": max_length_ratio,
        "max_overlap": max_overlap,
        "max_number_mismatch": max_number_mismatch,
        "min_language_match": min_language_match,
        "same_names": same_names,
    }
    bounds = parse_config(FilterBounds, values, where="filter")
    langs = _choose_langs(source_lang, target_lang, min_language_match, from_scores)
    if "-" in (source, target):
        raise UsageError("filter reads the text twice, so it cannot be standard input (-)")
    if out is None and scores is None:
        raise UsageError("give --out FILE for the kept pairs, or --scores FILE to score only")
    for path in (out, rejects, scores):
        check_out(path)
    sides = _open_sides(source, target, source_vectors, target_vectors)

    with contextlib.ExitStack() as stack:
        if from_scores is not None:
            if scores is not None:
                raise UsageError("--scores would copy --from-scores; leave one out")
            path = from_scores
        else:
            choice = ModelChoice(model, precision, runtime, threads)
            encoder = load_needed_encoder(sides, choice)
            folder = stack.enter_context(open_workplace(work, build_key(sides, encoder, choice, k)))
            embedded = embed_sides(sides, encoder, folder)
            path = scores or folder / "scores.jsonl"
            search = None
            if min_margin is not None:
                search = (k, folder, parse_size(memory))
            _write_scores(path, sides, embedded, langs, search, margin)
        report = FilterReport()
        pairs = zip(sides[0].texts, sides[1].texts, strict=True)
        kept = decide(pairs, path, bounds, report, rejects)
        write_kept(kept, out, langs)
    show_report(report, as_json=json)


def _choose_langs(
    source: str | None,
    target: str | None,
    min_language_match: float | None,
    from_scores: Path | None,
) -> tuple[str, str] | None:

    if (source is None) != (target is None):
        raise UsageError("give both --source-lang and --target-lang, or neither")
    if min_language_match is not None and source is None and from_scores is None:
        raise UsageError("--min-language-match needs --source-lang and --target-lang")
    return (canonical_tag(source), canonical_tag(target)) if source and target else None


def _open_sides(
    source: str, target: str | None, source_vectors: Path | None, target_vectors: Path | None
) -> tuple[Side, Side]:
    columns = (None, None) if target is not None else ("source", "target")
    first = open_side("source", source, source_vectors, columns[0])
    second = open_side("target", source if target is None else target, target_vectors, columns[1])
    for side in (first, second):
        if not side.has_text:
            raise UsageError(
                f"{side.path}: filter needs the text; vectors go with --source-vectors"
            )
    return first, second


def _write_scores(
    path: Path,
    sides: tuple[Side, Side],
    embedded: "tuple[EmbeddedSide, EmbeddedSide]",
    langs: tuple[str, str] | None,
    search: tuple[int, Path, int] | None,
    margin: Literal["ratio", "distance", "absolute"],
) -> None:
    """Writes one line of scores for each line of the corpus, which is asserted."""
    check_aligned(*embedded)
    cosines = aligned_cosines(*embedded)
    margins = None
    if search is not None:
        found = search_sides(embedded, *search)
        margins = aligned_margins(cosines, *embedded, found, margin)
    num_written = 0
    with open_output(path) as stream, progress("score", total=len(cosines)) as update:
        texts = zip(sides[0].texts, sides[1].texts, strict=True)
        while chunk := list(itertools.islice(texts, _CHUNK)):
            here = slice(num_written, num_written + len(chunk))
            sources, targets = zip(*chunk, strict=True)
            known = {"cosine": cosines[here]}
            known |= {} if margins is None else {"margin": margins[here]}
            for line in to_json(known | score_texts(sources, targets, langs)):
                stream.write(line.encode() + b"\n")
                num_written += 1
            update(num_written)
        if num_written != len(cosines):
            raise LabseError(f"{num_written} scores for {len(cosines)} lines; did a file change?")
