"""The commands `labse web pages`, `pairs`, `align`, `mine` and `run`."""

import contextlib
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

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
from labse.cli.web_bitext import ExcludeOption
from labse.cli.web_told import tell_beads, tell_bitext, tell_mined, tell_pages, tell_pairs
from labse.runtime import OnProgress
from labse.web.beads import web_align
from labse.web.mine import web_mine
from labse.web.pages import web_pages
from labse.web.pairs import Signal, web_pairs
from labse.web.run import web_run
from labse.web.site_pairs import MIN_SCORE

__all__ = ["align", "mine", "pages", "pairs", "run"]

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
    tell_pages(done)
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
    tell_pairs(done)
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
    tell_beads(done)
    say(f"{out}: {sum(done.num_beads.values()):,} beads of {done.num_documents:,} document pairs")
    if json:
        print_json(asdict(done))


def mine(
    folder: PagesArgument,
    out: FolderOption,
    langs: LangsOption,
    min_score: Annotated[
        float | None,
        typer.Option(
            help="Least margin score, among all sentences; without it the bound to start from that "
            "labse mine tells."
        ),
    ] = None,
    k: KOption = 4,
    model: ModelOption = None,
    json: JsonOption = False,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Find translations among all sentences of all pages, whatever page they stand on.

    What it finds goes to labse web bitext, alone or beside the beads of labse web align. Stopped,
    the same command goes on.

    [bold]Examples[/bold]

    labse web mine W/pages --langs de,en --out W/mined

    labse web bitext W/beads W/mined --out bitext.tmx
    """
    with progress("mine") as update:
        done = web_mine(
            folder,
            out,
            langs=_split(langs),
            min_score=min_score,
            k=k,
            encoder=partial(load_encoder, model, precision, runtime, threads),
            on_progress=update,
        )
    tell_mined(done)
    say(f"{out}: {sum(done.num_beads.values()):,} sentence pairs")
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
    is_global: Annotated[
        bool,
        typer.Option(
            "--global", help="Mine all sentences of all pages, whatever page they stand on."
        ),
    ] = False,
    workers: WorkersOption = 1,
    cluster: ClusterOption = None,
    model: ModelOption = None,
    json: JsonOption = False,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Read pages, pair them, align them and write a release. Stopped, the same command goes on.

    With --global no pages are paired: labse web mine takes the place of pairs and align.

    [bold]Examples[/bold]

    labse web run CC-MAIN-1.warc.gz --langs de,en --out W

    labse web run CC-MAIN-1.warc.gz --langs de,en --global --out W
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
            is_global=is_global,
            on_stage=begin,
        )
    tell_pages(done.pages)
    if done.pairs and done.beads:
        tell_pairs(done.pairs)
        tell_beads(done.beads)
    if done.mined:
        tell_mined(done.mined)
    tell_bitext(done.bitext, out / name)
    if json:
        print_json(asdict(done))


def _split(langs: str) -> list[str]:
    return [lang.strip() for lang in langs.split(",") if lang.strip()]


def _parse_signals(signals: str) -> list[Signal]:
    return [name.strip() for name in signals.split(",")]  # type: ignore[misc]  # The call checks.
