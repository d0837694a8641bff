"""Sentence pairs to a release: what `labse web bitext` does, as one call.

Takes: folders of `web_align` or `web_mine` and an encoder. Gives: a file of pairs with their scores
    and addresses, a card that tells what was left out at each stage, and a picture of it.
Source: docs/web.md. First all sentence pairs are scored, some thousand at a time; then bounds,
    copies and the pages to take out decide (`release_plan`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from labse import __version__
from labse.cleaning.bounds import FilterBounds, recommend_bounds
from labse.corpus.writers import check_outputs
from labse.encoder.protocol import Encoder
from labse.encoder.source import EncoderSource, load_encoder
from labse.errors import UsageError
from labse.files.atomic import write_atomic, write_json
from labse.files.stage import Stage, hash_content, open_stage
from labse.files.system import real_path
from labse.files.text import read_lines
from labse.mining.quality import warn_of_other_encoder
from labse.runtime import OnProgress, resumable
from labse.web.bead_scores import Scorer, score_beads
from labse.web.card import draw_drops, render_card
from labse.web.pair_records import BEAD_COLUMNS, MINED_COLUMNS, read_rows, write_rows
from labse.web.pairs import check_stage_folder
from labse.web.release import write_release
from labse.web.release_plan import CopyRules, PlannedRelease, plan_release
from labse.web.report import RELEASE_KIND, REPORT_SUFFIX

__all__ = ["MIN_BEAD_SCORE", "WebBitext", "web_bitext"]

MIN_BEAD_SCORE = 0.3
"""The least score of a bead: 0 is as near as random lines of the two pages, 1 the same text."""

_CHUNK_BEADS = 20_000  # Scored together: they are each other's neighbours.


@dataclass(frozen=True, slots=True)
class WebBitext:
    """What `web_bitext` tells of its work.

    Attributes:
        num_beads: read.
        num_pairs: written, by pair of languages.
        drops: beads left out, by reason.
        hosts: pairs written, by host.
    """

    num_beads: int
    num_pairs: dict[str, int]
    drops: dict[str, int]
    hosts: dict[str, int]


def web_bitext(
    beads: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    bounds: FilterBounds | None = None,
    min_bead_score: float | None = MIN_BEAD_SCORE,
    near_copies: bool = True,
    min_similarity: float | None = None,
    one_sided_copies: bool = True,
    exclude_urls: str | Path | None = None,
    k: int = 4,
    scorers: Sequence[Scorer] = (),
    encoder: EncoderSource = None,
    work: Path | None = None,
    stages: Mapping[str, Path] | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> WebBitext:
    """Writes the pairs that keep the bounds, each once, with all addresses that it stands under.

    Beside `out` stand `NAME.card.md`, `NAME.drops.png`, `NAME.report.json` with the counts and,
    with `exclude_urls`, `NAME.removed.jsonl`.

    Args:
        beads: a folder of `web_align` or `web_mine`, or several, which are joined.
        out: a file, .tmx, .tsv, .jsonl or .parquet.
        bounds: what a pair must keep; None takes those of `recommend_bounds`.
        min_bead_score: the least score of a bead; None lets all pass.
        near_copies: whether pairs that differ in case, punctuation, digits and spaces are one.
        min_similarity: of both sides, from which pairs are one too, the share of 5-grams that both
            have; None: such pairs are several.
        one_sided_copies: whether a sentence may have several translations; else the best stays.
        exclude_urls: a file that names an address a line; what stands under these alone goes.
        k: neighbours that make a margin.
        scorers: add scores of their own.
        encoder: embeds the sentences; None is the model that comes with labse.
        work: a folder for scores, so that other bounds need no new ones; None: `OUT.work`.
        stages: folders of the earlier stages by name, whose counts the card tells.
        on_progress: called with the beads scored and their number.

    Raises:
        LabseError: `beads` is no such folder.
        UsageError: another format, or options that do not apply.
        ResourceError: a package is missing, or the disk is full.
        InterruptedRunError: Ctrl-C; the same call goes on.
    """
    # What can go wrong is told before the work.
    folders = [Path(path) for path in ([beads] if isinstance(beads, str | Path) else beads)]
    out = Path(out)
    check_outputs(out, inputs=[exclude_urls], kind="release")
    card, picture = _beside(out, "card.md"), _beside(out, "drops.png")
    removed = _beside(out, "removed.jsonl") if exclude_urls else None
    manifests = [check_stage_folder(folder, "web_align", "web_mine") for folder in folders]
    if len({real_path(folder) for folder in folders}) < max(1, len(folders)):
        raise UsageError("give one or more folders of sentence pairs, each once")
    excluded = set(read_lines(exclude_urls)) if exclude_urls else set()
    bounds = recommend_bounds(has_langs=True) if bounds is None else bounds
    if min_similarity is not None and not 0 < min_similarity <= 1:
        raise UsageError(f"--min-similarity {min_similarity}: give a share above 0, such as 0.8")
    if bounds.min_margin is not None:
        raise UsageError("min_margin is for pairs without documents; here it is min_score")

    # Score all beads.
    used = load_encoder(encoder)
    hash_model = getattr(used, "hash_model", None)
    model_sha256 = (hash_model and hash_model()) or ""
    if bounds.min_quality is not None:
        warn_of_other_encoder(model_sha256 or None)
    key = {
        "kind": "web_scores",
        "labse_version": __version__,
        "beads": [hash_content(folder) for folder in folders],
        "model_sha256": model_sha256,
        "k": k,
        "scorers": [repr(scorer) for scorer in scorers],
    }
    counts = [cast("dict[str, int]", manifest["num_beads"]) for manifest in manifests]
    total = sum(sum(found.values()) for found in counts)
    work = out.with_name(f"{out.name}.work") if work is None else work
    with resumable(work), open_stage(work, key) as stage:
        if stage.manifest is None:
            _score(folders, stage, used, k, scorers, total, on_progress)
            stage.finish({"kind": "web_scores", "labse_version": __version__, "num_beads": total})

        # Decide, and write.
        copies = CopyRules(near_copies, min_similarity, one_sided_copies)
        parts = sorted(work.glob("part-*.parquet"))
        plan = plan_release(parts, bounds, min_bead_score, copies)
        release = PlannedRelease(plan, excluded, model_sha256)
        write_release(out, release.iter_pairs(parts))
        if removed is not None:
            _write_removed(removed, release.removed)
    result = WebBitext(
        total,
        dict(release.num_pairs.most_common()),
        dict((plan.drops + release.drops).most_common()),
        dict(release.hosts.most_common()),
    )
    told = _name_stages(stages or {}, folders, manifests)
    with write_atomic(card) as stream:
        text = render_card(out, result, told, bounds, min_bead_score, model_sha256)
        stream.write(text.encode())
    with write_atomic(picture) as stream:
        stream.write(draw_drops(result, told))
    head = {"kind": RELEASE_KIND, "labse_version": __version__, "file": out.name}
    write_json(_beside(out, REPORT_SUFFIX.removeprefix(".")), {**head, **asdict(result)})
    return result


def _name_stages(
    earlier: Mapping[str, Path],
    folders: Sequence[Path],
    manifests: Sequence[Mapping[str, object]],
) -> list[tuple[str, Path]]:
    """Returns the folders of all stages, each with the name of its stage."""
    names = [str(manifest["kind"]).removeprefix("web_") for manifest in manifests]
    return [*earlier.items(), *zip(names, folders, strict=True)]


def _beside(out: Path, name: str) -> Path:
    stem = out.name.partition(".")[0] or out.name
    return out.with_name(f"{stem}.{name}")


# ---- scores --------------------------------------------------------------------------------------


def _score(
    folders: Sequence[Path],
    stage: Stage,
    encoder: Encoder,
    k: int,
    scorers: Sequence[Scorer],
    total: int,
    on_progress: OnProgress,
) -> None:
    num_done = 0
    chunks = (chunk for folder in folders for chunk in _iter_chunks(folder))
    for number, rows in enumerate(chunks):
        name = f"part-{number:05}"
        if stage.result(name) is None:
            scores = score_beads(rows, encoder, k=k, scorers=scorers)
            told = BEAD_COLUMNS if "document_score" in rows[0] else MINED_COLUMNS
            columns = told | dict.fromkeys((n for n in scores if n not in told), float)
            values = {n: column.tolist() for n, column in scores.items()}
            scored = [
                {**row, **{n: column[place] for n, column in values.items()}}
                for place, row in enumerate(rows)
            ]
            write_rows(stage.folder / f"{name}.parquet", scored, columns)
            stage.add(name, {"num_rows": len(rows)})
        num_done += len(rows)
        on_progress(num_done, total)


def _iter_chunks(beads: Path) -> Iterator[list[dict[str, Any]]]:
    """Yields the rows of whole parts of one shard, about 20,000 at a time."""
    paths = sorted(beads.glob("part-*.parquet"))
    for _, parts in groupby(paths, key=lambda path: path.stem.rpartition("-")[0]):
        chunk: list[dict[str, Any]] = []
        for path in parts:
            chunk += read_rows(path)
            if len(chunk) >= _CHUNK_BEADS:
                yield chunk
                chunk = []
        if chunk:
            yield chunk


def _write_removed(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with write_atomic(path) as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
