"""The commands `labse web pages`, `pairs`, `align`, `bitext` and `run`."""

import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from labse.cleaning.bounds import FilterBounds, recommend_bounds
from labse.cli.console import print_json, progress, say
from labse.cli.options import (
    ClusterOption,
    JsonOption,
    KOption,
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    ThreadsOption,
    WorkersOption,
    load_encoder,
    open_workers,
)
from labse.errors import UsageError
from labse.rating.calibration import read_min_score
from labse.runtime import OnProgress
from labse.selection.cds import CdsScorer
from labse.web.beads import WebBeads, web_align
from labse.web.bitext import MIN_BEAD_SCORE, WebBitext, web_bitext
from labse.web.pages import WebPages, web_pages
from labse.web.pairs import Signal, WebPairs, web_pairs
from labse.web.run import web_run
from labse.web.site_pairs import MIN_SCORE

__all__ = ["align", "bitext", "pages", "pairs", "run"]

InputsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="CRAWL...",
        help="WARC or WET files, plain or .gz; or folders of HTML, with --base-url.",
    ),
]
BaseUrlOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Address of the folders, such as https://example.com/docs."),
]
LangsOption = Annotated[
    str, typer.Option(metavar="LANGS", help="Languages, such as de,en; the first is the source.")
]
PagesArgument = Annotated[Path, typer.Argument(metavar="PAGES", help="Folder of labse web pages.")]
FolderOption = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder to write.")]
ExcludeOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Addresses of pages to take out, one a line; what is taken out stands in "
        "NAME.removed.jsonl.",
    ),
]


def pages(
    inputs: InputsArgument,
    out: FolderOption,
    base_url: BaseUrlOption = None,
    workers: WorkersOption = 1,
    cluster: ClusterOption = None,
    json: JsonOption = False,
) -> None:
    """Read web archives or HTML into page records: Parquet, all pages of a site in one file.

    A record has the sentences of a page and the blocks they stand in, its address, date, links to
    other languages, and the language of its text. Stopped, the same command goes on.

    [bold]Examples[/bold]

    labse web pages CC-MAIN-1.warc.gz CC-MAIN-2.warc.gz --out W/pages

    labse web pages mirror/ --base-url https://example.com --out W/pages
    """
    with open_workers(workers, cluster) as executor, progress("pages") as update:
        done = web_pages(inputs, out, base_url=base_url, workers=executor, on_progress=update)
    _tell_pages(done)
    say(f"{out}: {done.num_pages:,} pages of {done.num_sites:,} sites")
    if json:
        print_json(asdict(done))


def pairs(
    folder: PagesArgument,
    out: FolderOption,
    langs: LangsOption,
    signals: Annotated[
        str,
        typer.Option(
            help="What may speak for a pair: hreflang, url, text; the text is always looked at."
        ),
    ] = "hreflang,url,text",
    min_score: Annotated[
        float,
        typer.Option(
            help="Least score of a pair: what speaks for it, and how much more than for its best "
            "rival."
        ),
    ] = MIN_SCORE,
    k: Annotated[
        int,
        typer.Option("--k", min=1, help="Nearest pages of the other language that are looked at."),
    ] = 16,
    across_hosts: Annotated[
        bool, typer.Option("--across-hosts", help="Pair pages of different sites too.")
    ] = False,
    model: ModelOption = None,
    json: JsonOption = False,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Find the pages that are one document in two languages, one to one for each site.

    With --across-hosts all sites are one: what a site has translated of another is found too.

    Links (hreflang), addresses and texts vote. Candidates that are no pairs go to rejects-*.parquet
    with the reason. Stopped, the same command goes on.

    [bold]Examples[/bold]

    labse web pairs W/pages --langs de,en --out W/pairs

    labse web pairs W/pages --langs de,en,fr --signals text --out W/pairs
    """
    with progress("pairs") as update:
        done = web_pairs(
            folder,
            out,
            langs=_split(langs),
            signals=_parse_signals(signals),
            min_score=min_score,
            k=k,
            across_hosts=across_hosts,
            encoder=partial(load_encoder, model, precision, runtime, threads),
            on_progress=update,
        )
    _tell_pairs(done)
    say(f"{out}: {sum(done.num_pairs.values()):,} document pairs")
    if json:
        print_json(asdict(done))


def align(
    folder: PagesArgument,
    pairs: Annotated[Path, typer.Argument(metavar="PAIRS", help="Folder of labse web pairs.")],
    out: FolderOption,
    max_size: Annotated[
        int, typer.Option(min=2, max=20, help="Lines of a bead, both sides together.")
    ] = 4,
    model: ModelOption = None,
    json: JsonOption = False,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Align the sentences of document pairs, as labse align does.

    Stopped, the same command goes on.

    [bold]Examples[/bold]

    labse web align W/pages W/pairs --out W/beads
    """
    with progress("align") as update:
        done = web_align(
            folder,
            pairs,
            out,
            max_size=max_size,
            encoder=partial(load_encoder, model, precision, runtime, threads),
            on_progress=update,
        )
    _tell_beads(done)
    say(f"{out}: {sum(done.num_beads.values()):,} beads of {done.num_documents:,} document pairs")
    if json:
        print_json(asdict(done))


def bitext(
    beads: Annotated[Path, typer.Argument(metavar="BEADS", help="Folder of labse web align.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="File to write: .tmx, .tsv, .jsonl or .parquet.")
    ],
    min_score: Annotated[
        float | None,
        typer.Option(help="Least margin score, among the sentences of the pair's site."),
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
    bounds = recommend_bounds(has_langs=True)
    bounds = FilterBounds(
        **{
            **dict(bounds),
            "min_score": min_score,
            "min_cosine": min_cosine,
            "min_quality": min_quality,
            "min_cds": min_cds,
        }
    )
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
    _tell_bitext(done, out)
    if json:
        print_json(asdict(done))


def run(
    inputs: InputsArgument,
    out: FolderOption,
    langs: LangsOption,
    base_url: BaseUrlOption = None,
    name: Annotated[
        str, typer.Option(help="Name of the release in the folder: .tmx, .tsv, .jsonl or .parquet.")
    ] = "bitext.tmx",
    exclude_urls: ExcludeOption = None,
    workers: WorkersOption = 1,
    cluster: ClusterOption = None,
    model: ModelOption = None,
    json: JsonOption = False,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Read pages, pair them, align them and write a release. Stopped, the same command goes on.

    [bold]Examples[/bold]

    labse web run CC-MAIN-1.warc.gz --langs de,en --out W
    """
    with open_workers(workers, cluster) as executor, contextlib.ExitStack() as stack:

        def begin(stage: str) -> OnProgress:
            stack.close()
            update: OnProgress = stack.enter_context(progress(stage))
            return update

        done = web_run(
            inputs,
            out,
            langs=_split(langs),
            base_url=base_url,
            name=name,
            workers=executor,
            encoder=partial(load_encoder, model, precision, runtime, threads),
            exclude_urls=exclude_urls,
            on_stage=begin,
        )
    _tell_pages(done.pages)
    _tell_pairs(done.pairs)
    _tell_beads(done.beads)
    _tell_bitext(done.bitext, out / name)
    if json:
        print_json(asdict(done))


# ---- what the commands share -----------------------------------------------------------------


def _split(langs: str) -> list[str]:
    return [lang.strip() for lang in langs.split(",") if lang.strip()]


def _parse_signals(signals: str) -> list[Signal]:
    return [name.strip() for name in signals.split(",")]  # type: ignore[misc]  # The call checks.


def _tell_pages(done: WebPages) -> None:
    say(f"pages: {done.num_pages:,} of {done.num_sites:,} sites; {_list(done.langs)}")
    _tell_drops(done.drops)


def _tell_pairs(done: WebPairs) -> None:
    say(f"document pairs: {_list(done.num_pairs)}; {_list(done.signals)}")
    _tell_drops(done.drops)
    _tell_drops(done.rejects, "no pair")


def _tell_beads(done: WebBeads) -> None:
    say(f"sentence pairs: {_list(done.num_beads)}")
    _tell_drops(done.drops)


def _tell_bitext(done: WebBitext, out: Path) -> None:
    _tell_drops(done.drops)
    say(f"{out}: {_list(done.num_pairs)} of {done.num_beads:,} sentence pairs")


def _tell_drops(drops: Mapping[str, int], label: str = "left out") -> None:
    for reason, number in drops.items():
        if number:
            say(f"  {label}: {number:,} ({reason})")


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items() if number) or "none"
