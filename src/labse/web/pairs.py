"""Page records to document pairs: what `labse web pairs` does, as one call.

Takes: a folder of `web_pages` and an encoder. Gives: pairs of pages in Parquet, one to one for each
    site and pair of languages; every other candidate with the reason why it is none.
Source: docs/web.md. A shard is worked off after the other: memory holds one row group of text and,
    of each page of the shard, some numbers and its address; vectors and words lie on disk.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

import numpy as np

from labse import __version__
from labse.corpus.languages import canonical_tag
from labse.encoder.source import EncoderSource, load_encoder
from labse.errors import LabseError, UsageError
from labse.files.atomic import MANIFEST_NAME, read_json
from labse.files.stage import hash_content, open_stage
from labse.runtime import OnProgress, resumable
from labse.web.pair_records import open_rows
from labse.web.shard_pages import ShardPages
from labse.web.site_pairs import MIN_SCORE, PairOptions, match_pages

__all__ = ["Signal", "WebPairs", "check_stage_folder", "parse_langs", "web_pairs"]

Signal: TypeAlias = Literal["hreflang", "url", "text"]


@dataclass(frozen=True, slots=True)
class WebPairs:
    """What `web_pairs` tells of its work.

    Attributes:
        num_pairs: by pair of languages, as `deu-eng`.
        signals: pairs that hreflang, the address or the text alone spoke for.
        rejects: candidates that are no pairs, by reason.
        drops: pages that were not looked at, by reason.
    """

    num_pairs: dict[str, int]
    signals: dict[str, int]
    rejects: dict[str, int]
    drops: dict[str, int]


def web_pairs(
    pages: str | Path,
    out: str | Path,
    *,
    langs: Sequence[str],
    signals: Sequence[Signal] = ("hreflang", "url", "text"),
    min_score: float = MIN_SCORE,
    k: int = 16,
    across_hosts: bool = False,
    encoder: EncoderSource = None,
    on_progress: OnProgress = lambda *_: None,
) -> WebPairs:
    """Writes the document pairs of each shard of pages to `out/part-00000.parquet` and so on.

    The same call goes on after a kill and gives the same bytes.

    Args:
        pages: a folder of `web_pages`.
        out: a folder; the other candidates go to `rejects-00000.parquet` and so on.
        langs: two languages or more; of each two, the first is the source.
        signals: what may speak for a pair; the text is always looked at.
        min_score: of a pair: what speaks for it, and how much more than for its best rival.
        k: the nearest pages of the other language that are looked at, from both sides.
        across_hosts: whether pages of different sites may be pairs: all are taken for one site.
        encoder: embeds the sentences; None is the model that comes with labse.
        on_progress: called with the pages done and their number.

    Raises:
        LabseError: `pages` is no such folder, or not finished.
        UsageError: languages or signals that are unknown, or an `out` of other pages or options.
        ResourceError: a package is missing, or the disk is full.
        InterruptedRunError: Ctrl-C; the same call goes on.
    """
    pages, out = Path(pages), Path(out)
    tags = parse_langs(langs)
    if unknown := set(signals) - set(get_args(Signal)):
        raise UsageError(f"--signals: {min(unknown)!r} is none of {', '.join(get_args(Signal))}")
    options = PairOptions("hreflang" in signals, "url" in signals, min_score, k)
    manifest = check_stage_folder(pages, "web_pages")
    used = load_encoder(encoder)
    hash_model = getattr(used, "hash_model", None)
    key = {
        "kind": "web_pairs",
        "labse_version": __version__,
        "pages": hash_content(pages),
        "model_sha256": hash_model and hash_model(),
        "langs": tags,
        **asdict(options),
        **({"across_hosts": True} if across_hosts else {}),
    }
    with resumable(out), open_stage(out, key) as stage:
        if stage.manifest is None:
            paths = sorted(pages.glob("part-*.parquet"))
            results = []
            num_done, num_pages = 0, cast("int", manifest["num_pages"])
            for shards in [paths] if across_hosts else [[path] for path in paths]:
                name = shards[0].stem
                result = stage.result(name)
                if result is None:
                    shard = ShardPages(shards, stage, used, tags, is_one_site=across_hosts)
                    number = name.removeprefix("part-")
                    result = _pair_shard(shard, number, stage.folder, tags, options)
                    stage.add(name, result)
                    shard.forget()
                results.append(result)
                num_done += cast("int", result["num_pages"])
                on_progress(num_done, num_pages)
            stage.finish({"kind": "web_pairs", "labse_version": __version__, **_add_up(results)})
        done = cast("dict[str, dict[str, int]]", stage.manifest)
    return WebPairs(done["num_pairs"], done["signals"], done["rejects"], done["drops"])


def parse_langs(langs: Sequence[str]) -> list[str]:
    """Returns the tags of languages.

    Raises:
        UsageError: fewer than two, one that is unknown or given twice.
    """
    tags = [canonical_tag(lang) for lang in langs]
    if len(set(tags)) < 2 or len(set(tags)) < len(tags):
        raise UsageError(f"--langs {','.join(langs)}: give two languages or more, such as de,en")
    return tags


def check_stage_folder(folder: Path, *kinds: str) -> dict[str, object]:
    """Returns the manifest of a finished stage.

    Raises:
        LabseError: it is none of these kinds, or not finished.
    """
    command = " or ".join(kind.replace("_", " ") for kind in kinds)
    if not (folder / MANIFEST_NAME).is_file():
        raise LabseError(f"{folder}: no finished folder of labse {command}; run that first")
    manifest = read_json(folder / MANIFEST_NAME)
    if manifest.get("kind") not in kinds:
        raise LabseError(
            f"{folder}: holds {manifest.get('kind')}; give a folder of labse {command}"
        )
    return manifest


def _pair_shard(
    shard: ShardPages, name: str, folder: Path, tags: Sequence[str], options: PairOptions
) -> dict[str, object]:
    """Pairs the pages of a shard, site by site, and writes pairs and rejects."""
    counts: dict[str, Counter[str]] = {
        kind: Counter() for kind in ("num_pairs", "signals", "rejects")
    }
    nothing = np.zeros(0, np.int64)
    with (
        open_rows(folder / f"part-{name}.parquet") as add_pair,
        open_rows(folder / f"rejects-{name}.parquet") as add_reject,
    ):
        for by_lang in shard.iter_sites():
            for langs in combinations(tags, 2):
                places = by_lang.get(langs[0], nothing), by_lang.get(langs[1], nothing)
                source, target = (shard.build_side(*sides) for sides in (places, places[::-1]))
                base = shard.base_cosine(*places)
                found = match_pages(source, target, base, options, shard.folder)
                for n, m, told in () if found is None else found.iter_best_first():
                    row = _build_row(shard, langs, (int(places[0][n]), int(places[1][m])), told)
                    if told["reason"]:
                        counts["rejects"][str(told["reason"])] += 1
                        add_reject(row)
                        continue
                    counts["num_pairs"]["-".join(langs)] += 1
                    counts["signals"]["hreflang"] += bool(told["hreflang"])
                    counts["signals"]["url"] += bool(told["address"])
                    counts["signals"]["text alone"] += not (told["hreflang"] or told["address"])
                    add_pair(row)
    return {
        "num_pages": shard.num_pages,
        "drops": dict(shard.drops),
        **{kind: dict(counter) for kind, counter in counts.items()},
    }


def _build_row(
    shard: ShardPages, langs: tuple[str, str], places: tuple[int, int], told: dict[str, object]
) -> dict[str, object]:
    row: dict[str, object] = dict(told)
    for side, lang, place in zip(("source", "target"), langs, places, strict=True):
        row[f"{side}_lang"] = lang
        row[f"{side}_shard"], row[f"{side}_row"], row[f"{side}_urls"] = shard.locate(place)
    return row


def _add_up(results: Sequence[object]) -> dict[str, object]:
    totals: dict[str, Counter[str]] = {}
    for result in results:
        for name in ("num_pairs", "signals", "rejects", "drops"):
            totals.setdefault(name, Counter()).update(
                cast("dict[str, dict[str, int]]", result)[name]
            )
    names = ("num_pairs", "signals", "rejects", "drops")
    return {name: dict(totals.get(name, Counter()).most_common()) for name in names}
