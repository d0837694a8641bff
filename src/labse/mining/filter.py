"""Filtering of a parallel corpus: what `labse filter` does, as one call.

Takes: pairs. Gives: first all scores, one record a pair, then the pairs that the bounds keep.
Source: OpusFilter (Aulamo et al. 2020), score first and decide later: new bounds need no new
scores. The records are a JSON object a line, as OpusFilter writes them.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.bounds import FilterBounds, Scores, iter_broken, recommend_bounds
from labse.cluster.tasks import Executor
from labse.corpus.file_formats import choose_layout
from labse.corpus.tables import ColumnNames
from labse.corpus.writers import check_outputs, open_output, write_rows
from labse.encoder.job.inputs import LineBlock
from labse.encoder.source import EncoderSource
from labse.errors import LabseError, UsageError
from labse.files.stage import open_stage
from labse.files.text import read_lines
from labse.mining.bitext import SearchOptions
from labse.mining.margin import Margin
from labse.mining.pair_corpus import MINED_SCORE, PairCorpus, open_pair_corpus
from labse.mining.pair_scores import score_sides
from labse.mining.quality import (
    side_nearby_cosines,
    warn_of_other_vectors,
)
from labse.mining.sides import embed_sides
from labse.mining.text_scores import (
    NEARBY,
    UNKNOWN_LANGUAGE,
    Chunk,
    PairSelector,
    run_chunk_tasks,
    score_chunk,
)
from labse.runtime import OnProgress

__all__ = [
    "EMPTY",
    "FilterReport",
    "decide",
    "filter_pairs",
    "find_broken",
    "read_scores",
]

EMPTY = "empty"
"""The reason why a pair with a blank side is dropped, whatever the bounds."""

UNKNOWN = "unknown"
"""The reason why a pair is dropped, whatever the bounds, if the model knows no piece of a side."""

_CHUNK_ROWS = 8192
_REQUIRED = {
    *("source_characters", "target_characters"),
    *("length_ratio", "overlap", "number_mismatch", "name_mismatch"),
}
_OPTIONAL = {
    *("cosine", "margin", "quality", UNKNOWN, UNKNOWN_LANGUAGE, MINED_SCORE),
    *("cds", "cds_forward", "cds_backward", "word_gain", "dual_cross_entropy"),
    *("moore_lewis_source", "moore_lewis_target"),
    *("source_language_match", "target_language_match"),
}


@dataclass(slots=True)
class FilterReport:
    """How many pairs each bound dropped.

    Attributes:
        num_read: all pairs.
        num_kept: those that break no bound.
        num_altered: kept pairs with a character that the format of the output cannot hold.
        broken: for each bound the pairs that break it, perhaps with others.
        only: for each bound the pairs that break it alone.
    """

    num_read: int = 0
    num_kept: int = 0
    num_altered: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    only: Counter[str] = field(default_factory=Counter)


def filter_pairs(
    source: str | Path,
    target: str | Path | None = None,
    out: str | Path | None = None,
    *,
    bounds: FilterBounds | None = None,
    langs: tuple[str | None, str | None] = (None, None),
    rejects: str | Path | None = None,
    scores: str | Path | None = None,
    from_scores: str | Path | None = None,
    vectors: tuple[str | Path | None, str | Path | None] = (None, None),
    encoder: EncoderSource = None,
    margin: Margin = "ratio",
    k: int = 4,
    search: SearchOptions | None = None,
    selector: PairSelector | None = None,
    columns: ColumnNames | None = None,
    shard: LineBlock | None = None,
    skip_unknown: bool = False,
    work: Path | None = None,
    on_progress: OnProgress | None = None,
) -> FilterReport:
    """Scores all pairs of a corpus, then writes those that keep the bounds.

    A pair with a blank side is always dropped, and so is one with a side of which the model that
    scores it knows no piece. A model is loaded only where a bound or `scores`
    needs vectors. Of a table, the columns of languages and `margin_score` go on to `out`.

    Args:
        source: lines of text; without `target` a table with the columns `source` and `target`.
        target: the translations, line by line.
        out: a file for the kept pairs, in the format of its suffix; None needs `scores`.
        bounds: what a pair must keep, `labse.FilterBounds`; None takes `recommend_bounds`, or none
            without `out`. Without `min_margin` no neighbours are searched, and `min_score` is for
            tables with the column `margin_score`.
        langs: of both sides, where no column tells, for `min_language_match` and TMX.
        rejects: a file for the other pairs: JSON lines with line number and reasons.
        scores: a file for all scores: a JSON line for each pair.
        from_scores: such a file of an earlier call; no model is needed then.
        vectors: of the lines of each side, where they are there already.
        encoder: embeds a side without vectors; None loads the model that comes with labse.
        margin: formula of the margin score.
        k: neighbours that make the margin score.
        search: how neighbours are searched, `labse.SearchOptions`; its `workers` score texts too,
            unless there is a selector.
        selector: adds columns of its own, see `labse.selection.cds.load_cds`.
        columns: where a table of others has source, target, their languages and margin_score.
        shard: the block of pairs to read, so that several machines share a corpus; the outputs of
            all blocks, without their headers, are those of the whole. No `min_margin` then.
        skip_unknown: whether pairs of a language that is not known are dropped, not an error.
        work: a folder that keeps lines, vectors and neighbours, for the same call to go on with.
        on_progress: called with the lines done and their number, of each step anew.

    Raises:
        LabseError: broken data, or a bound on a score that `from_scores` does not have.
        UsageError: options that do not go together.
        ResourceError: a file cannot be written, or a package is missing.
    """
    # What can go wrong is told before hours of work.
    if out is None and scores is None:
        raise UsageError("give --out FILE for the kept pairs, or --scores FILE to score only")
    if scores is not None and from_scores is not None:
        raise UsageError("--scores would copy --from-scores; leave one out")
    if str(out) == "-":
        raise UsageError("--out -: the counts go to standard output; give a file for the pairs")
    check_outputs(out, rejects, scores, inputs=(source, target, from_scores))
    search = search or SearchOptions()
    search.check_device()
    corpus = open_pair_corpus(
        source, target, vectors=vectors, langs=langs, columns=columns, shard=shard
    )
    if bounds is None:
        has_langs = corpus.has_langs and from_scores is None
        bounds = FilterBounds() if out is None else recommend_bounds(has_langs=has_langs)
    _check_bounds(bounds, corpus, out, shard, selector, is_scored=from_scores is not None)
    report = FilterReport()

    with contextlib.ExitStack() as stack:
        # Score all pairs, or take the scores of an earlier call.
        if from_scores is None:
            known: dict[str, NDArray[np.float32]] = {}
            of_vectors = (bounds.min_cosine, bounds.min_margin, bounds.min_quality, selector)
            needs_vectors = any(need is not None for need in of_vectors)
            if needs_vectors or scores is not None:
                embedded = stack.enter_context(
                    embed_sides(
                        corpus.sides,
                        encoder,
                        work=work,
                        settings={"--k": k},
                        is_aligned=True,
                        on_progress=on_progress,
                    )
                )
                stage = embedded.stage
                asked = None if bounds.min_margin is None else margin
                cosines, margins = score_sides(embedded, asked, k, search, on_progress)
                known = {"cosine": cosines} | ({} if margins is None else {"margin": margins})
                if bounds.min_quality is not None or selector is not None:
                    warn_of_other_vectors(corpus.sides, embedded.encoder)
                    known[NEARBY] = side_nearby_cosines(embedded).astype(np.float32)
                unknown = embedded.source.lines.is_unknown | embedded.target.lines.is_unknown
                known |= {UNKNOWN: unknown.astype(np.float32)} if unknown.any() else {}
            else:
                stage = stack.enter_context(open_stage(None, {}))
            from_scores = scores or stage.folder / "scores.jsonl"
            _write_scores(
                from_scores,
                corpus,
                known,
                skip_unknown,
                selector,
                search.workers,
                (work or stage.folder) / ".text_scores",
                on_progress,
            )

        # Decide, and write what is kept.
        first_line = corpus.rows[0] if corpus.rows else 0
        pairs = corpus.read()
        kept = decide(pairs, from_scores, bounds, report, rejects, first_line=first_line)
        if out is None:
            for _ in kept:
                pass
        else:
            report.num_altered = write_rows(
                out, corpus.columns, map(corpus.typed, kept)
            ).num_altered
    num_dropped = report.num_read - report.num_kept
    if not report.only.total() <= num_dropped <= report.broken.total():
        raise LabseError("the counts of dropped pairs do not add up; please report this")
    return report


def _check_bounds(
    bounds: FilterBounds,
    corpus: PairCorpus,
    out: str | Path | None,
    shard: LineBlock | None,
    selector: PairSelector | None,
    *,
    is_scored: bool,
) -> None:
    """Refuses bounds and outputs for which the pairs lack something.

    Raises:
        UsageError: text, languages, a column or all lines are missing.
    """
    path = corpus.sides[0].path
    if not corpus.has_text:
        raise UsageError(f"{path}: filter needs the text; vectors go with --source-vectors")
    if shard is not None and (bounds.min_margin, bounds.min_quality, selector) != (None,) * 3:
        raise UsageError(
            f"--shard {shard}: the margin of a pair needs all lines, and so does its quality; "
            "leave --min-margin, --min-quality and --cds out"
        )
    if not corpus.has_langs:
        if bounds.min_language_match is not None and not is_scored:
            raise UsageError("--min-language-match needs --source-lang and --target-lang")
        if out is not None and choose_layout(out, "pairs") == "tmx":
            raise UsageError(f"--out {out}: TMX needs --source-lang and --target-lang")
    has_cds = bounds.min_cds is not None or bounds.min_cds_forward is not None
    if has_cds and selector is None and not is_scored:
        raise UsageError("--min-cds needs --cds FOLDER, which labse cds train makes")
    if selector is not None and is_scored:
        raise UsageError("--from-scores are scores already; leave out --cds")
    if bounds.min_score is not None and not is_scored and MINED_SCORE not in corpus.columns:
        raise UsageError(
            f"{path}: no column {MINED_SCORE}, which --min-score is for (labse mine writes it); "
            "--min-margin scores pairs anew"
        )


def _write_scores(
    path: str | Path,
    corpus: PairCorpus,
    known: dict[str, NDArray[np.float32]],
    skip_unknown: bool,
    selector: PairSelector | None,
    workers: int | Executor,
    work: Path,
    on_progress: OnProgress | None,
) -> None:
    """Writes a line of scores for each pair of the corpus, those that are known first."""
    num_rows = len(known["cosine"]) if known else None
    num_written = 0
    chunks = _iter_chunks(corpus, known, skip_unknown)
    with open_output(path) as stream:
        scored: Iterator[bytes]
        if workers == 1 or selector is not None:  # It cannot be sent.
            scored = (score_chunk(chunk, selector) for chunk in chunks)
        else:
            scored = run_chunk_tasks(chunks, work, workers)
        for lines in scored:
            stream.write(lines)
            num_written += lines.count(b"\n")
            if on_progress is not None:
                on_progress(num_written, num_rows)
        if num_written != (num_rows or num_written):
            raise LabseError(f"{num_written} scores for {num_rows} lines; did a file change?")


def _iter_chunks(
    corpus: PairCorpus, known: dict[str, NDArray[np.float32]], skip_unknown: bool
) -> Iterator[Chunk]:
    pairs, num_read = corpus.read(), 0
    while rows := list(islice(pairs, _CHUNK_ROWS)):
        columns = dict(zip(corpus.columns, zip(*rows, strict=True), strict=True))
        here = slice(num_read, num_read + len(rows))
        scores = {name: column[here] for name, column in known.items()}
        yield Chunk(columns, scores, skip_unknown=skip_unknown)
        num_read += len(rows)


# ---- scores ----------------------------------------------------------------------------------


def read_scores(path: str | Path) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Reads back what `to_json` wrote, some thousand rows at a time.

    Raises:
        LabseError: a broken line.
    """
    rows = enumerate(read_lines(path), start=1)
    names: list[str] = []
    while lines := list(islice(rows, _CHUNK_ROWS)):
        values = []
        for number, line in lines:
            try:
                record = json.loads(line)
                names = names or _check_names(record)
                values.append([float(record.pop(name)) for name in names])
                if record:
                    raise ValueError(f"unknown key {next(iter(record))}")
            except (ValueError, TypeError, AttributeError, LookupError) as error:
                raise LabseError(
                    f"{path}, line {number}: not a line of labse filter --scores ({error})"
                ) from None
        columns = np.array(values, np.float32).T
        yield dict(zip(names, columns, strict=True))


def _check_names(record: dict[str, object]) -> list[str]:
    if not _REQUIRED <= record.keys() <= _REQUIRED | _OPTIONAL:
        raise ValueError(f"its keys are {', '.join(record)}")
    return list(record)


# ---- decision --------------------------------------------------------------------------------


def find_broken(scores: Scores, bounds: FilterBounds) -> list[tuple[str, ...]]:
    """Returns for each row the names of the bounds that it breaks.

    Of a blank side it is `empty` instead, and `unknown` where the model knows no piece of a side;
    `unknown_language` where such pairs are asked away.

    Raises:
        LabseError: a bound on a score that is not known.
    """
    is_broken: dict[str, NDArray[np.bool_]] = {}
    for check, rows in iter_broken(scores, bounds):
        is_broken[check.bound] = is_broken.get(check.bound, False) | rows
    for bound, limit in bounds:
        if limit is not None and limit is not False and bound not in is_broken:
            name = bound.partition("_")[2]
            raise LabseError(
                f"{bound} is set, and the scores have no {name}; score again with it set"
            )
    is_empty = np.minimum(scores["source_characters"], scores["target_characters"]) < 1
    found: list[tuple[str, ...]] = [()] * len(is_empty)
    nothing = np.zeros(len(is_empty), np.float32)
    reasons = {EMPTY: is_empty}
    reasons |= {name: scores.get(name, nothing) > 0 for name in (UNKNOWN_LANGUAGE, UNKNOWN)}
    is_any = np.logical_or.reduce([*reasons.values(), *is_broken.values()])
    for row in np.flatnonzero(is_any).tolist():
        names = tuple(name for name, rows in is_broken.items() if rows[row])
        found[row] = next(((name,) for name, rows in reasons.items() if rows[row]), names)
    return found


def decide(
    pairs: Iterable[tuple[str, ...]],
    scores: str | Path,
    bounds: FilterBounds,
    report: FilterReport,
    rejects: str | Path | None = None,
    *,
    first_line: int = 0,
) -> Iterator[tuple[str, ...]]:
    """Yields the pairs that keep all bounds, counts them in `report` and writes the others.

    Args:
        pairs: source and target of all pairs, blank ones included, and what else goes on.
        scores: a file with a line for each of them.
        bounds: what a pair must keep.
        report: the counts.
        rejects: a file for the other pairs, with line number and reasons; None: not written.
        first_line: of the pairs in their file, from 0.

    Raises:
        LabseError: broken scores, or as many of them as there are not pairs.
        ResourceError: `rejects` cannot be written.
    """
    rest = iter(pairs)
    # A chunk of scores at a time: which bounds does each row break?
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(open_output(rejects)) if rejects else None
        for chunk in read_scores(scores):
            reasons = find_broken(chunk, bounds)
            texts = list(islice(rest, len(reasons)))
            if len(texts) < len(reasons):
                raise _unequal(scores, report.num_read + len(texts))

            # Count each row; yield it, or write down why not.
            for row, broken in zip(texts, reasons, strict=True):
                report.num_read += 1
                if not broken:
                    report.num_kept += 1
                    yield row
                    continue
                report.broken.update(broken)
                report.only.update(broken if len(broken) == 1 else ())
                if stream:
                    record = {"line": first_line + report.num_read, "reasons": broken}
                    record |= {"source": row[0], "target": row[1]}
                    stream.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        if next(rest, None) is not None:
            raise _unequal(scores, report.num_read)


def _unequal(path: str | Path, num_read: int) -> LabseError:
    return LabseError(
        f"{path} does not have one line for each line of the input ({num_read} of both were read)"
    )
