"""Documents as files: `align_files` does what `labse align` does, as one call.

Takes: two documents, or folders or lists of them, and an encoder. Gives: their alignments as files,
and how many beads are right where gold ones are given.
Source: docs/design.md, promises: a killed run goes on and gives the same bytes.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from labse import __version__
from labse.alignment.accuracy import AlignmentCounts, count_right
from labse.alignment.align import SKIP_PERCENTILE, Bead, align_documents
from labse.alignment.batch import AlignmentJob, pair_folders, pair_lists
from labse.alignment.formats import BeadFormat, format_beads, link_lines, read_links
from labse.corpus.file_formats import check_readable, choose_layout
from labse.corpus.languages import canonical_tag
from labse.corpus.output_files import open_output
from labse.corpus.readers import read_texts
from labse.corpus.writers import check_outputs
from labse.encoder.protocol import Encoder
from labse.encoder.source import (
    AnyEncoderSource,
    ObservedEncoder,
    describe_encoder,
    load_any_encoder,
)
from labse.errors import LabseError, ResourceError, UsageError
from labse.files.stage import open_stage
from labse.runtime import OnProgress, resumable

__all__ = [
    "AlignOptions",
    "AlignedFiles",
    "align_files",
]

_LOGGER = logging.getLogger(__name__)
# The mean of Swahili and English TICO-19 is .49, that of the UDHR and TICO-19 .013.
_UNRELATED = 0.1
_DEFAULT_FORMAT: BeadFormat = "tsv"


@dataclass(frozen=True, slots=True)
class AlignOptions:
    """What an alignment depends on beside the model and the documents.

    Attributes:
        bead_format: see `format_beads`; None takes that of the suffix of `out`, else tsv.
        max_size: lines of a bead, both sides together.
        skip_percentile: see `align_embeddings`.
        seed: seed of the sample of lines in long documents.
        ids: whether TSV has the numbers of the lines.
        min_score: leaves out beads with a lower score; 0 is as near as random lines, 1 the same.
        langs: languages of source and target, written to all but ladders; TMX needs them.
    """

    bead_format: BeadFormat | None = None
    max_size: int = 4
    skip_percentile: float = SKIP_PERCENTILE
    seed: int = 1
    ids: bool = False
    langs: tuple[str | None, str | None] = (None, None)
    min_score: float | None = None


@dataclass(frozen=True, slots=True)
class AlignedFiles:
    """What `align_files` tells of its work.

    Attributes:
        num_documents: pairs of documents.
        num_done_before: those of them that an earlier call has aligned.
        num_beads: beads of the others.
        num_left_out: beads with an empty side, which TMX cannot hold.
        num_changed: texts with a character that the format cannot hold.
        num_below: beads below `min_score`.
        counts: beads that are right against gold; all are 0 without it.
        num_truncated: spans of lines that the encoder cut; 0 if that is not known.
        max_seq_length: tokens to which it cut them; None if that is not known.
    """

    num_documents: int
    num_done_before: int
    num_beads: int
    num_left_out: int
    num_changed: int
    num_below: int
    bead_format: BeadFormat
    counts: AlignmentCounts
    num_truncated: int
    max_seq_length: int | None


def align_files(
    source: str | Path,
    target: str | Path,
    out: str | Path | None = None,
    *,
    lists: bool = False,
    gold: str | Path | None = None,
    encoder: AnyEncoderSource = None,
    options: AlignOptions | None = None,
    on_progress: OnProgress | None = None,
) -> AlignedFiles:
    """Aligns two documents, or all documents of two folders or of two lists.

    Many documents are resumable: the same call goes on with those that are left and those that
    have changed.

    Args:
        source: a document, one sentence a line, or subtitles, a cue a row (`-` is standard input),
            or a folder of documents.
        target: the same in the other language.
        out: file to write (`-` is standard output), for many documents a folder; None writes none.
        lists: whether `source`, `target` and `gold` are files that name a document a line.
        options: what the alignment depends on beside, `labse.AlignOptions`.
        gold: alignment to judge by, for many documents a folder or list of them.
        encoder: an encoder, its name or folder, or what loads one; None is the model that comes
            with labse.
        on_progress: called with the documents done and their number; of a single document, with
            the spans of lines embedded and their number.

    Raises:
        UsageError: options that do not apply, documents without counterpart, or an `out` that was
            begun with other options.
        LabseError: a document or gold alignment cannot be read, or does not fit.
        ResourceError: an alignment cannot be written.
        InterruptedRunError: Ctrl-C, where the same call goes on.
    """
    source, target = Path(source), Path(target)
    out, gold = (None if path is None else Path(path) for path in (out, gold))
    is_batch = lists or source.is_dir() or target.is_dir()
    options = _complete(options or AlignOptions(), None if is_batch else out)
    jobs = _list_jobs(source, target, gold, out, options, is_batch=is_batch, lists=lists)
    for job in jobs:
        check_readable(job.source)
        check_readable(job.target)
    loaded = load_any_encoder(encoder)

    used, tell = loaded, on_progress
    if on_progress is not None and not is_batch:
        used, tell = ObservedEncoder(loaded, on_progress), None
    totals: Counter[str] = Counter()
    counts = AlignmentCounts()
    key = {
        "kind": "alignment",
        "labse_version": __version__,
        **describe_encoder(loaded),
        **{name: value for name, value in asdict(options).items() if name != "min_score"},
    }
    key |= {} if options.min_score is None else {"min_score": options.min_score}
    failures: list[str] = []
    folder = out if is_batch else None
    with resumable(folder), open_stage(folder, key, section=None) as stage:
        for number, job in enumerate(jobs):
            if tell is not None:
                tell(number, len(jobs))
            try:
                documents = [list(read_texts(path)) for path in (job.source, job.target)]
                name, inputs = job.out.name if job.out else "", _hash_documents(documents)
                if job.out and job.out.exists() and gold is None and stage.result(name, inputs):
                    totals["num_done_before"] += 1
                    continue
                result, right = _align(used, job, documents, options)
            except LabseError as error:
                if not is_batch or isinstance(error, ResourceError):  # Which ends them all.
                    raise
                _LOGGER.warning(f"not aligned: {error}")
                failures.append(str(error))
                continue
            stage.add(name, result, inputs)
            totals.update(result)
            counts += right
        if tell is not None:
            tell(len(jobs), len(jobs))
        if failures:
            raise LabseError(
                f"{len(failures)} of {len(jobs)} pairs of documents could not be aligned, the "
                f"others are done; the first: {failures[0]}"
            )
        stage.finish(key, keep_journal=True)
    return AlignedFiles(
        num_documents=len(jobs),
        num_done_before=totals["num_done_before"],
        num_beads=totals["num_beads"],
        num_left_out=totals["num_left_out"],
        num_changed=totals["num_changed"],
        num_below=totals["num_below"],
        bead_format=options.bead_format or _DEFAULT_FORMAT,
        counts=counts,
        num_truncated=getattr(loaded, "num_truncated", 0),
        max_seq_length=getattr(loaded, "max_seq_length", None),
    )


def _complete(options: AlignOptions, out: Path | None) -> AlignOptions:
    """Checks the options; the format and the tags of the languages are filled in."""
    bead_format = choose_layout("-" if out is None else out, "beads", options.bead_format)
    assert bead_format != "txt"
    source_lang, target_lang = options.langs
    if options.min_score is not None and bead_format == "ladder":
        raise UsageError("--min-score leaves beads out, which a ladder cannot; give --format tsv")
    if options.ids and bead_format not in ("tsv", "parquet"):
        raise UsageError(f"--ids is for tsv and parquet; {bead_format} needs no such option")
    if bead_format == "ladder" and (source_lang or target_lang):
        raise UsageError("--source-lang and --target-lang are not for --format ladder")
    if not (source_lang and target_lang):
        if bead_format == "tmx":
            raise UsageError("--format tmx names languages; give --source-lang and --target-lang")
        if source_lang or target_lang:
            raise UsageError("give both --source-lang and --target-lang, or neither")
        return replace(options, bead_format=bead_format, langs=("", ""))
    langs = canonical_tag(source_lang), canonical_tag(target_lang)
    return replace(options, bead_format=bead_format, langs=langs)


def _hash_documents(documents: Sequence[Sequence[str]]) -> str:
    digest = hashlib.sha256()
    for lines in documents:
        digest.update(f"{len(lines)}\n".encode())
        digest.update("\n".join(lines).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _align(
    encoder: Encoder, job: AlignmentJob, documents: Sequence[list[str]], options: AlignOptions
) -> tuple[dict[str, int], AlignmentCounts]:
    """Aligns two documents and writes the alignment; returns what there is to count."""
    source_lines, target_lines = documents
    gold = None
    if job.gold:
        sizes = {"num_source": len(source_lines), "num_target": len(target_lines)}
        gold = read_links(job.gold, **sizes)
    beads = align_documents(
        encoder,
        source_lines,
        target_lines,
        max_size=options.max_size,
        skip_percentile=options.skip_percentile,
        seed=options.seed,
    )
    _warn_if_unrelated(job, beads)
    shown = beads
    if options.min_score is not None:
        shown = [bead for bead in beads if bead.score >= options.min_score]
    source_lang, target_lang = options.langs
    formatted = format_beads(
        shown,
        source_lines,
        target_lines,
        options.bead_format or _DEFAULT_FORMAT,
        ids=options.ids,
        langs=(source_lang or "", target_lang or ""),
    )
    if job.out:
        with open_output(job.out) as stream:
            stream.write(formatted.payload)
    result = {
        "num_beads": len(beads),
        "num_left_out": formatted.num_left_out,
        "num_changed": formatted.num_changed,
        "num_below": len(beads) - len(shown),
    }
    return result, AlignmentCounts() if gold is None else count_right(map(link_lines, beads), gold)


def _warn_if_unrelated(job: AlignmentJob, beads: Sequence[Bead]) -> None:
    """Logs that the beads with two sides are hardly nearer than random lines, whose score is 0."""
    scores = [
        bead.score
        for bead in beads
        if bead.source_start < bead.source_stop and bead.target_start < bead.target_stop
    ]
    if scores and (mean := sum(scores) / len(scores)) < _UNRELATED:
        _LOGGER.warning(
            f"{job.source} and {job.target} look unrelated: the mean score of their "
            f"{len(scores):,} beads is {mean:.3f}, and random lines have 0; --min-score 0.3 leaves "
            "such beads out"
        )


def _list_jobs(
    source: Path,
    target: Path,
    gold: Path | None,
    out: Path | None,
    options: AlignOptions,
    *,
    is_batch: bool,
    lists: bool,
) -> list[AlignmentJob]:
    if not is_batch:
        if str(source) == str(target) == "-":
            raise UsageError("only one document can be standard input (-)")
        if out is not None and str(out) != "-":
            inputs = (source, target, gold)
            check_outputs(out, inputs=inputs, kind="beads", layout=options.bead_format)
        return [AlignmentJob(source, target, gold, out)]
    if (out is None and gold is None) or str(out) == "-":
        raise UsageError("many documents need --out, the folder of their alignments, or --gold")
    pair = pair_lists if lists else pair_folders
    return pair(source, target, gold, out, options.bead_format or _DEFAULT_FORMAT)
