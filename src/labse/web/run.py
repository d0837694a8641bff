"""From archives to a release in one call: what `labse web run` does.

Takes: WARC and WET files, or folders of HTML. Gives: a folder with the stages and the release.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labse.cluster.tasks import Executor
from labse.corpus.file_formats import choose_layout
from labse.encoder.source import EncoderSource, load_encoder
from labse.runtime import OnProgress
from labse.web.beads import WebBeads, web_align
from labse.web.bitext import WebBitext, web_bitext
from labse.web.mine import WebMined, web_mine
from labse.web.pages import WebPages, web_pages
from labse.web.pairs import WebPairs, parse_langs, web_pairs

__all__ = ["WebRun", "web_run"]


@dataclass(frozen=True, slots=True)
class WebRun:
    """What each stage tells of its work; None of those that were not run."""

    pages: WebPages
    pairs: WebPairs | None
    beads: WebBeads | None
    mined: WebMined | None
    bitext: WebBitext


def web_run(
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    langs: Sequence[str],
    base_url: str | None = None,
    name: str = "bitext.tmx",
    workers: int | Executor = 1,
    encoder: EncoderSource = None,
    exclude_urls: str | Path | None = None,
    is_global: bool = False,
    on_stage: Callable[[str], OnProgress] = lambda _: lambda *_: None,
) -> WebRun:
    """Does `web_pages`, `web_pairs`, `web_align` and `web_bitext`, each with its defaults.

    Globally, `web_mine` takes the place of the two in the middle.

    The same call goes on after a kill and gives the same bytes.

    Args:
        inputs: see `web_pages`.
        out: a folder: `pages`, `pairs`, `beads` (or `mined`), `scores` and the release are in it.
        langs: see `web_pairs`.
        base_url: see `web_pages`.
        name: of the release in `out`, .tmx, .tsv, .jsonl or .parquet.
        workers: processes that read pages, or what runs the tasks elsewhere.
        encoder: embeds the sentences; None is the model that comes with labse.
        exclude_urls: see `web_bitext`.
        is_global: whether all sentences are mined, whatever their pages.
        on_stage: called with the name of each stage; gives its `on_progress`.

    Raises:
        LabseError, UsageError, ResourceError, InterruptedRunError: see the stages.
    """
    out = Path(out)
    choose_layout(name, "release")
    parse_langs(langs)
    used = load_encoder(encoder)
    pages = web_pages(
        inputs, out / "pages", base_url=base_url, workers=workers, on_progress=on_stage("pages")
    )
    pairs, beads, mined = None, None, None
    if is_global:
        mined = web_mine(
            out / "pages", out / "mined", langs=langs, encoder=used, on_progress=on_stage("mine")
        )
    else:
        pairs = web_pairs(
            out / "pages", out / "pairs", langs=langs, encoder=used, on_progress=on_stage("pairs")
        )
        beads = web_align(
            out / "pages", out / "pairs", out / "beads", encoder=used, on_progress=on_stage("align")
        )
    bitext = web_bitext(
        out / ("mined" if is_global else "beads"),
        out / name,
        exclude_urls=exclude_urls,
        encoder=used,
        work=out / "scores",
        stages={name: out / name for name in (("pages",) if is_global else ("pages", "pairs"))},
        on_progress=on_stage("bitext"),
    )
    return WebRun(pages, pairs, beads, mined, bitext)
