"""Sentence pairs to a release: what `labse web bitext` does, as one call.

Takes: a folder of `web_align` and an encoder. Gives: a file of pairs with their scores and
    addresses, a card that tells what was left out at each stage, and a picture of it.
Source: docs/web.md. First all beads are scored, some thousand at a time; then bounds, copies and
    the pages to take out decide.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from labse import __version__
from labse.cleaning.bounds import FilterBounds, recommend_bounds
from labse.corpus.writers import check_outputs
from labse.encoder.protocol import Encoder
from labse.encoder.source import EncoderSource, load_encoder
from labse.errors import UsageError
from labse.files.atomic import write_atomic
from labse.files.stage import Stage, hash_content, open_stage
from labse.files.text import read_lines
from labse.mining.quality import warn_of_other_encoder
from labse.runtime import OnProgress, resumable
from labse.web.addresses import host_of
from labse.web.bead_scores import Scorer, find_reasons, score_beads
from labse.web.card import draw_drops, render_card
from labse.web.near_copies import choose_best, choose_near, near_key
from labse.web.pair_records import BEAD_COLUMNS, read_rows, write_rows
from labse.web.pairs import check_stage_folder
from labse.web.release import ReleasedPair, write_release

__all__ = ["MIN_BEAD_SCORE", "WebBitext", "web_bitext"]

MIN_BEAD_SCORE = 0.3
"""The least score of a bead: 0 is as near as random lines of the two pages, 1 the same text."""

_CHUNK_BEADS = 20_000  # Scored together: they are each other's neighbours.
_TOLD_SCORES = ("margin_score", "cosine", "quality", "bead_score")


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
    beads: str | Path,
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

    Beside `out` stand `NAME.card.md`, `NAME.drops.png` and, with `exclude_urls`,
    `NAME.removed.jsonl`.

    Args:
        beads: a folder of `web_align`.
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
    beads, out = Path(beads), Path(out)
    card, picture = _beside(out, "card.md"), _beside(out, "drops.png")
    removed = _beside(out, "removed.jsonl") if exclude_urls else None
    check_outputs(out, inputs=[exclude_urls], kind="release")
    manifest = check_stage_folder(beads, "web_align")
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
        "beads": hash_content(beads),
        "model_sha256": model_sha256,
        "k": k,
        "scorers": [repr(scorer) for scorer in scorers],
    }
    total = sum(cast("dict[str, int]", manifest["num_beads"]).values())
    work = out.with_name(f"{out.name}.work") if work is None else work
    with resumable(work), open_stage(work, key) as stage:
        if stage.manifest is None:
            _score(beads, stage, used, k, scorers, total, on_progress)
            stage.finish({"kind": "web_scores", "labse_version": __version__, "num_beads": total})

        # Decide, and write.
        copies = _Copies(near_copies, min_similarity, one_sided_copies)
        plan = _decide(work, bounds, min_bead_score, copies)
        release = _Release(plan, excluded, model_sha256)
        write_release(out, release.iter_pairs(work))
        if removed is not None:
            _write_removed(removed, release.removed)
    result = WebBitext(
        total,
        dict(release.num_pairs.most_common()),
        dict((plan.drops + release.drops).most_common()),
        dict(release.hosts.most_common()),
    )
    folders = {"align": beads, **(stages or {})}
    with write_atomic(card) as stream:
        stream.write(
            render_card(out, result, folders, bounds, min_bead_score, model_sha256).encode()
        )
    with write_atomic(picture) as stream:
        stream.write(draw_drops(result, folders))
    return result


def _beside(out: Path, name: str) -> Path:
    stem = out.name.partition(".")[0] or out.name
    return out.with_name(f"{stem}.{name}")


# ---- scores --------------------------------------------------------------------------------------


def _score(
    beads: Path,
    stage: Stage,
    encoder: Encoder,
    k: int,
    scorers: Sequence[Scorer],
    total: int,
    on_progress: OnProgress,
) -> None:
    num_done = 0
    for number, rows in enumerate(_iter_chunks(beads)):
        name = f"part-{number:05}"
        if stage.result(name) is None:
            scores = score_beads(rows, encoder, k=k, scorers=scorers)
            columns = BEAD_COLUMNS | dict.fromkeys(
                (n for n in scores if n not in BEAD_COLUMNS), float
            )
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
    """Yields the beads of whole parts of one shard, about 20,000 at a time."""
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


# ---- decision ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What becomes of each scored bead.

    Attributes:
        stays: (N,) the number of the bead in whose place it stands; -1: left out.
        drops: beads left out, by reason.
    """

    stays: NDArray[np.int64]
    drops: Counter[str]


@dataclass(frozen=True, slots=True)
class _Copies:
    """Which pairs are one: see `web_bitext`."""

    near: bool
    min_similarity: float | None
    one_sided: bool


def _decide(
    work: Path, bounds: FilterBounds, min_bead_score: float | None, copies: _Copies
) -> _Plan:
    drops: Counter[str] = Counter()
    paths = sorted(work.glob("part-*.parquet"))
    sizes: list[int] = []
    digests: dict[str, list[bytes]] = {"pair": [], "source": [], "target": []}
    scores: list[float] = []
    is_kept: list[bool] = []
    for path in paths:
        rows = list(read_rows(path))
        sizes.append(len(rows))
        names = [n for n, value in rows[0].items() if isinstance(value, float)] if rows else []
        columns = {n: np.array([row[n] for row in rows], np.float32) for n in names}
        reasons = find_reasons(columns, bounds, min_bead_score) if rows else []
        drops.update(filter(None, reasons))
        is_kept += [not reason for reason in reasons]
        for row in rows:
            langs = f"{row['source_lang']}-{row['target_lang']}"
            pair = (row["source"], row["target"], langs)
            digests["pair"].append(near_key(*pair) if copies.near else _digest(*pair))
            digests["source"].append(_digest(langs, row["source"]))
            digests["target"].append(_digest(langs, row["target"]))
            scores.append(row["margin_score"])

    # Of pairs with one key the best stays.
    number = np.flatnonzero(is_kept)
    stays = np.full(len(is_kept), -1, np.int64)
    ranks = np.array(scores, np.float32)
    if len(number):
        best = choose_best(_halves(digests["pair"])[number], ranks[number])
        stays[number] = number[best]
        is_copy = best != np.arange(len(number))
        drops["copy or near copy of a better pair"] += int(is_copy.sum())
    if copies.min_similarity is not None:
        is_first = stays == np.arange(len(stays))
        near = choose_near(paths, sizes, is_first, ranks, copies.min_similarity)
        drops["near copy of a better pair"] += int((near != np.arange(len(near))).sum())
        stays[stays >= 0] = near[stays[stays >= 0]]
    # Then of each sentence the best pair, if one translation is wanted.
    for side in () if copies.one_sided else ("source", "target"):
        number = np.flatnonzero(stays == np.arange(len(stays)))
        best = choose_best(_halves(digests[side])[number], ranks[number])
        gone = number[best != np.arange(len(number))]
        stays[np.isin(stays, gone)] = -1
        drops[f"{side} has a better pair"] += len(gone)
    return _Plan(stays, +drops)


def _digest(*parts: str) -> bytes:
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).digest()


def _halves(digests: Sequence[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2)


class _Release:
    """Reads the pairs that stay, with the addresses of all that they stand for."""

    def __init__(self, plan: _Plan, excluded: set[str], model_sha256: str) -> None:
        self._plan = plan
        self._excluded = excluded
        self._model_sha256 = model_sha256
        self.drops: Counter[str] = Counter()
        self.num_pairs: Counter[str] = Counter()
        self.hosts: Counter[str] = Counter()
        self.removed: list[dict[str, object]] = []

    def iter_pairs(self, work: Path) -> Iterator[ReleasedPair]:
        stays = self._plan.stays
        is_copy = (stays >= 0) & (stays != np.arange(len(stays)))
        taken: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for number, row in self._iter_rows(work):
            if is_copy[number]:
                kept = ("source_urls", "target_urls", "source_date", "target_date")
                taken[int(stays[number])].append({name: row[name] for name in kept})
        for number, row in self._iter_rows(work):
            if stays[number] == number and (pair := self._build(row, taken.get(number, []))):
                yield pair

    def _iter_rows(self, work: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        number = 0
        for path in sorted(work.glob("part-*.parquet")):
            for row in read_rows(path):
                yield number, row
                number += 1

    def _build(
        self, row: Mapping[str, Any], copies: Sequence[Mapping[str, Any]]
    ) -> ReleasedPair | None:
        urls = {}
        for name in ("source_urls", "target_urls"):
            found = dict.fromkeys(url for one in (row, *copies) for url in one[name])
            urls[name] = [url for url in found if url not in self._excluded]
            if len(urls[name]) < len(found):
                gone = [url for url in found if url in self._excluded]
                self.removed.append(
                    {"source": row["source"], "target": row["target"], "urls": gone}
                )
        if not (urls["source_urls"] and urls["target_urls"]):
            self.drops["stands under excluded addresses alone"] += 1
            return None
        days = sorted(
            {one[n][:10] for one in (row, *copies) for n in ("source_date", "target_date")} - {""}
        )
        self.num_pairs[f"{row['source_lang']}-{row['target_lang']}"] += 1
        self.hosts.update({host_of(url) for name in urls for url in urls[name]})
        scores = {
            name: value
            for name, value in row.items()
            if isinstance(value, float) and name not in ("score", "document_score")
        }
        return ReleasedPair(
            row["source"],
            row["target"],
            row["source_lang"],
            row["target_lang"],
            {name: scores.pop(name) for name in _TOLD_SCORES} | scores,
            tuple(urls["source_urls"]),
            tuple(urls["target_urls"]),
            tuple(sorted({days[0], days[-1]})) if days else (),
            row["method"],
            __version__,
            self._model_sha256,
        )


def _write_removed(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with write_atomic(path) as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
