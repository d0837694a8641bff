"""The command `labse web bitext`."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from labse.cleaning.bounds import FilterBounds, recommend_bounds
from labse.cli.console import print_json, progress
from labse.cli.options import (
    JsonOption,
    KOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    ThreadsOption,
    load_encoder,
)
from labse.cli.web_told import tell_bitext
from labse.config import parse_config
from labse.errors import UsageError
from labse.rating.calibration import read_min_score
from labse.selection.cds import CdsScorer
from labse.web.bitext import MIN_BEAD_SCORE, web_bitext

__all__ = ["ExcludeOption", "bitext"]

ExcludeOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Addresses of pages to take out, one a line; what is taken out stands in "
        "NAME.removed.jsonl.",
    ),
]


def bitext(
    beads: Annotated[
        list[Path],
        typer.Argument(
            metavar="BEADS...", help="Folders of labse web align or labse web mine, to be joined."
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="File to write: .tmx, .tsv, .jsonl or .parquet.")
    ],
    min_score: Annotated[
        float | None,
        typer.Option(
            help="Least margin score, among the sentences of the pair's site; of mined pairs, "
            "among all sentences."
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The same, with the bound that labse calibrate --out has written.",
        ),
    ] = None,
    min_quality: Annotated[
        float | None,
        typer.Option(help="Least chance that a person calls the pair a translation."),
    ] = None,
    cds: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Add the scores of a model that labse cds train has made."
        ),
    ] = None,
    min_cds: Annotated[
        float | None, typer.Option(help="Least chance of a good pair by that model; needs --cds.")
    ] = None,
    min_cosine: Annotated[float | None, typer.Option(help="Least cosine.")] = None,
    min_bead_score: Annotated[
        float,
        typer.Option(help="Least score of a bead: 0 is as near as random lines, 1 the same text."),
    ] = MIN_BEAD_SCORE,
    exact_copies: Annotated[
        bool,
        typer.Option(
            "--exact-copies", help="Keep pairs that differ in case, punctuation and digits alone."
        ),
    ] = False,
    min_similarity: Annotated[
        float | None,
        typer.Option(
            help="Also keep the best alone of pairs whose sides are alike by this share of their "
            "5-grams of characters, such as 0.8."
        ),
    ] = None,
    one_to_one: Annotated[
        bool, typer.Option("--one-to-one", help="Keep the best translation of each sentence alone.")
    ] = False,
    exclude_urls: ExcludeOption = None,
    pages_folder: Annotated[
        Path | None,
        typer.Option("--pages", metavar="FOLDER", help="Folder of labse web pages, for the card."),
    ] = None,
    pairs_folder: Annotated[
        Path | None,
        typer.Option("--pairs", metavar="FOLDER", help="Folder of labse web pairs, for the card."),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Keep scores here, so that other bounds need no new ones; without it OUT.work.",
        ),
    ] = None,
    k: KOption = 4,
    model: ModelOption = None,
    json: JsonOption = False,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Score sentence pairs, drop by bounds, keep each once, and write a release with its addresses.

    Beside the file stand NAME.card.md, which tells what was left out at each stage, and
    NAME.drops.png.

    [bold]Examples[/bold]

    labse web bitext W/beads --out bitext.tmx

    labse web bitext W/beads --min-score 1.1 --exclude-urls gone.txt --out bitext.jsonl
    """
    if calibration is not None:
        if min_score is not None:
            raise UsageError("give --min-score or --calibration, not both")
        min_score = read_min_score(calibration)
    if min_cds is not None and cds is None:
        raise UsageError("--min-cds needs --cds FOLDER, which labse cds train makes")
    asked: dict[str, object] = {
        "min_score": min_score,
        "min_cosine": min_cosine,
        "min_quality": min_quality,
        "min_cds": min_cds,
    }
    recommended = recommend_bounds(has_langs=True).model_dump()
    bounds = parse_config(FilterBounds, recommended | asked, where="web bitext")
    named = {"pages": pages_folder, "pairs": pairs_folder}
    with progress("scores") as update:
        done = web_bitext(
            beads,
            out,
            bounds=bounds,
            min_bead_score=min_bead_score,
            near_copies=not exact_copies,
            min_similarity=min_similarity,
            one_sided_copies=not one_to_one,
            exclude_urls=exclude_urls,
            k=k,
            scorers=() if cds is None else (CdsScorer(cds),),
            encoder=partial(load_encoder, model, precision, runtime, threads),
            work=work,
            stages={name: path for name, path in named.items() if path is not None},
            on_progress=update,
        )
    tell_bitext(done, out)
    if json:
        print_json(asdict(done))
