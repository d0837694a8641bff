"""Web archives to page records: what `labse web pages` does, as one call.

Takes: WARC and WET files, or folders of HTML. Gives: pages in Parquet, all pages of a site in one
    shard, with their sentences, links and languages; a reason and a count for what is left out.
Source: docs/web.md. Pages go to pieces by their site first and then are counted site by site, so
    memory holds one piece of text and, of each page of a shard, hashes.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from labse import __version__
from labse.cluster.run import OnProgress, count_rows, run_tasks
from labse.cluster.tasks import Executor, Task
from labse.corpus.web_archives import CUT_SHORT, plan_slices
from labse.errors import LabseError, UsageError
from labse.files.atomic import sha256_file
from labse.files.objects import local_file
from labse.files.stage import Stage, open_stage
from labse.files.text import format_suffix
from labse.runtime import resumable
from labse.web.addresses import host_of
from labse.web.page_steps import list_html_files, merge_step, read_step

__all__ = ["WebPages", "web_pages"]

_LOGGER = logging.getLogger(__name__)
_SLICE_RECORDS = 1_500  # Of an archive; a third to a half of them are pages.
_SLICE_FILES = 300
_SHARD_BYTES = 32 << 20  # Of archives on disk for each shard.
_MAX_SHARDS = 512


@dataclass(frozen=True, slots=True)
class WebPages:
    """What `web_pages` tells of its work.

    Attributes:
        num_pages: written.
        num_sites: that they are from.
        langs: pages by language.
        drops: what was left out, by reason.
    """

    num_pages: int
    num_sites: int
    langs: dict[str, int]
    drops: dict[str, int]


def web_pages(
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    base_url: str | None = None,
    workers: int | Executor = 1,
    on_progress: OnProgress = lambda *_: None,
) -> WebPages:
    """Writes the pages of archives or folders to `out/part-00000.parquet` and so on.

    All pages of a site are in one shard. Of several captures of one address in one language the
    latest stays. The same call goes on after a kill and gives the same bytes.

    Args:
        inputs: WARC or WET files, plain or `.gz`; or folders of HTML files.
        out: a folder.
        base_url: the address of the folders, to which the paths of files are added.
        workers: processes, or what runs the tasks elsewhere; the bytes do not differ.
        on_progress: called with the pages read so far.

    Raises:
        LabseError: an input is none of these.
        UsageError: a folder without `base_url`, or an `out` of other inputs.
        ResourceError: a package is missing, or the disk is full.
        InterruptedRunError: Ctrl-C; the same call goes on.
    """
    out = Path(out)
    sources = [_open_source(Path(path), base_url) for path in inputs]
    if not sources:
        raise UsageError("give archives (.warc, .wet) or a folder of HTML")
    num_bytes = sum(source.num_bytes for source in sources)
    num_shards = min(max(1, num_bytes // _SHARD_BYTES), _MAX_SHARDS)
    key = {
        "kind": "web_pages",
        "labse_version": __version__,
        "inputs": [source.sha256 for source in sources],
        "base_url": base_url,
        "num_shards": num_shards,
    }
    with resumable(out), open_stage(out, key) as stage:
        if stage.manifest is None:
            _write_pages(sources, stage, num_shards, workers, on_progress)
        manifest = cast("dict[str, object]", stage.manifest)
    return WebPages(
        cast("int", manifest["num_pages"]),
        cast("int", manifest["num_sites"]),
        cast("dict[str, int]", manifest["langs"]),
        cast("dict[str, int]", manifest["drops"]),
    )


def _write_pages(
    sources: Sequence["_Source"],
    stage: Stage,
    num_shards: int,
    workers: int | Executor,
    on_progress: OnProgress,
) -> None:
    # Pages are read slice by slice; each slice sorts its own by shard.
    drops: Counter[str] = Counter()
    tasks = []
    damaged: set[str] = set()
    for number, source in enumerate(sources):
        slices, problem = source.plan()
        if problem:
            _LOGGER.warning(f"{problem}; the pages before that are read")
            damaged.add(f"{number:05}")
        for place, (start, stop) in enumerate(slices):
            piece = stage.work / f"{number:05}-{place:06}.parquet"
            redirects = piece.with_suffix(".redirects.parquet")
            arguments: dict[str, object] = {
                "path": str(source.path),
                "base_url": source.base_url,
                "out": str(piece),
                "redirects": str(redirects),
            }
            arguments |= {"start": start, "stop": stop, "num_shards": num_shards}
            name = f"read/{number:05}/{place:06}"
            tasks.append(
                Task(name, read_step, arguments, source.sha256, (str(piece), str(redirects)))
            )
    read = run_tasks(tasks, stage, workers=workers, on_result=count_rows(on_progress))
    for task, result in zip(tasks, read, strict=True):
        found = cast("dict[str, int]", result["drops"])
        drops.update({name: count for name, count in found.items() if name != CUT_SHORT})
        if CUT_SHORT in found and (number_of_source := task.name.split("/")[1]) not in damaged:
            # A wrong length swallows what follows: each record looks whole until it is read.
            damaged.add(number_of_source)
            _LOGGER.warning(f"{task.arguments['path']}: damaged; the pages before that are read")
    drops[CUT_SHORT] += len(damaged)
    drops = +drops

    # Then shard by shard: which captures stay, and on how many pages a sentence stands.
    inputs = hashlib.sha256("".join(source.sha256 for source in sources).encode()).hexdigest()
    merges = []
    for shard in range(num_shards):
        path = str(stage.folder / f"part-{shard:05}.parquet")
        told: dict[str, object] = {"out": path}
        for kind, place, name in (("pieces", 0, "groups"), ("redirects", 1, "redirects")):
            told[kind] = [
                [task.outputs[place], groups]
                for task, result in zip(tasks, read, strict=True)
                if (groups := cast("dict[str, list[int]]", result[name]).get(str(shard)))
            ]
        merges.append(Task(f"merge/{shard:05}", merge_step, told, inputs, (path,)))
    merged = run_tasks(merges, stage, workers=workers)

    # What there is to tell.
    langs: Counter[str] = Counter()
    sentences: Counter[str] = Counter()
    hosts: Counter[str] = Counter()
    for result in merged:
        drops.update(cast("dict[str, int]", result["drops"]))
        langs.update(cast("dict[str, int]", result["langs"]))
        sentences.update(cast("dict[str, int]", result["num_sentences"]))
        hosts.update(cast("dict[str, int]", result["hosts"]))
    stage.finish(
        {
            "kind": "web_pages",
            "labse_version": __version__,
            "num_pages": langs.total(),
            "num_sites": sum(cast("int", result["num_sites"]) for result in merged),
            "langs": dict(langs.most_common()),
            "num_sentences": dict(sentences.most_common()),
            "hosts": dict(hosts.most_common(1_000)),
            "drops": dict(drops.most_common()),
        }
    )


# ---- inputs --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Source:
    path: Path
    base_url: str | None
    sha256: str
    num_bytes: int

    def plan(self) -> tuple[list[tuple[int, int | None]], str]:
        if self.base_url is None:
            return plan_slices(self.path, _SLICE_RECORDS)
        num_files = len(list_html_files(self.path))
        starts = range(0, num_files, _SLICE_FILES)
        return [(start, min(start + _SLICE_FILES, num_files)) for start in starts], ""


def _open_source(path: Path, base_url: str | None) -> _Source:
    if path.is_dir():
        if base_url is None:
            raise UsageError(f"{path}: a folder of HTML needs --base-url, the address of its files")
        if not host_of(base_url):
            raise UsageError(f"--base-url {base_url}: give an address such as https://example.com/")
        files = list_html_files(path)
        if not files:
            raise LabseError(f"{path}: no HTML in it (.html, .htm, .xhtml)")
        digest = hashlib.sha256()
        for file in files:
            digest.update(
                f"{file.relative_to(path)}\n{sha256_file(file)}\n".encode(errors="replace")
            )
        return _Source(
            path, base_url, digest.hexdigest(), sum(file.stat().st_size for file in files) // 4
        )
    file = local_file(path)
    if not file.is_file():
        raise LabseError(f"{path}: no such file")
    if format_suffix(path) not in (".warc", ".wet"):
        raise UsageError(f"{path}: give .warc or .wet files, plain or .gz, or a folder of HTML")
    return _Source(path, None, sha256_file(path), file.stat().st_size)
