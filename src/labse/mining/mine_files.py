"""Two files to the lines in them that translate each other: what `labse mine` does, as one call.

Takes: two files of lines, or of vectors. Gives: a file of scored pairs, best first.
Source: Artetxe & Schwenk 2019 (arXiv 1811.01136), section 3.2.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labse.cleaning.pair_scores import FLAGS
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.source import EncoderSource
from labse.errors import LabseError, UsageError
from labse.mining.bitext import (
    MiningOptions,
    SearchOptions,
    find_neighbours,
    select_pairs,
    warn_of_small_corpora,
)
from labse.mining.mined_output import MinedOutput, MinedTexts, read_mined, write_mined
from labse.mining.quality import warn_of_other_vectors
from labse.mining.rerank import load_rerank, rerank
from labse.mining.sides import LineStore, Side, embed_sides, load_own_encoder, open_sides
from labse.mining.start_score import start_score, warn_of_strange_scores
from labse.runtime import OnProgress

__all__ = ["MinedFiles", "mine_files", "open_two_files"]


@dataclass(frozen=True, slots=True)
class MinedFiles:
    """What `mine_files` tells of its work.

    Attributes:
        num_written: pairs.
        num_dropped: pairs left out by a flag.
        num_altered: pairs with a character that the format cannot hold; another is in its place.
        flags: pairs with each flag; empty where both sides are vectors without text.
        num_truncated: lines embedded now that were cut; None where no encoder was needed.
        max_seq_length: tokens to which they were cut; None likewise.
        start_score: a `min_score` to start from, for the shipped model; None where one was given,
            k is 1, the margin is no ratio, or the pairs were reranked.
        num_below: pairs below it.
        pairs: the pairs, best first; None where they were written.
    """

    num_written: int
    num_dropped: int
    num_altered: int
    flags: Mapping[str, int]
    num_truncated: int | None
    max_seq_length: int | None
    start_score: float | None = None
    num_below: int = 0
    pairs: Sequence[MinedTexts] | None = None


def mine_files(
    source: str | Path,
    target: str | Path,
    output: MinedOutput | str | Path | None = None,
    *,
    vectors: tuple[str | Path | None, str | Path | None] = (None, None),
    column: str | None = None,
    encoder: EncoderSource = None,
    options: MiningOptions | None = None,
    search: SearchOptions | None = None,
    work: Path | None = None,
    on_progress: OnProgress | None = None,
) -> MinedFiles:
    """Finds the lines of two files that translate each other and writes them, best first.

    Blank lines are left out, repeated ones taken once.

    Args:
        source: lines of text, a .tsv, .jsonl or .parquet file, or vectors of `labse encode`; `-` is
            standard input.
        target: the same in the other language.
        output: a file, or all that is to be said of it, `labse.MinedOutput`; `-` is standard
            output. None writes nothing: the pairs are in the result.
        vectors: of the lines of each side, where they are there already.
        column: of tables; None takes `text`.
        encoder: embeds a side without vectors; None loads the model that comes with labse.
        options: how pairs are scored and chosen, `labse.MiningOptions`.
        search: how neighbours are searched, `labse.SearchOptions`.
        work: a folder that keeps lines, vectors and neighbours, for the same call to go on with.
        on_progress: called with the lines done and their number: those of the source embedded,
            those of the target, then those of the source searched, then the pairs reranked.

    Raises:
        LabseError, UsageError: a side is missing, broken, empty or the other one; see also
            `embed_sides`.
        ResourceError: the output cannot be written, or a package or device is missing.
    """
    pairs: list[MinedTexts] | None = None
    if output is None:
        pairs, output = [], MinedOutput()
    elif not isinstance(output, MinedOutput):
        output = MinedOutput(output)
    options, search = options or MiningOptions(), search or SearchOptions()

    # What can go wrong is told before hours of work.
    if pairs is None:
        output.check_writable((source, target))
    sides = open_two_files(source, target, vectors=vectors, column=column)
    if output.with_quality and not sides[0].has_text:
        raise UsageError("--quality needs the text; vectors go with --source-vectors")
    reranker = _load_reranker(sides, encoder) if options.is_reranked else None
    search.check_device()
    if search.workers != 1 and work is None:
        raise UsageError("what runs elsewhere needs `work`, a folder that all machines see")

    with embed_sides(
        sides, reranker or encoder, work=work, settings={"--k": options.k}, on_progress=on_progress
    ) as embedded:
        for side, done in zip(sides, (embedded.source, embedded.target), strict=True):
            _check_not_blank(side, done.lines)
        if options.margin != "absolute":
            warn_of_small_corpora(len(embedded.source.lines), len(embedded.target.lines), options.k)
        found = find_neighbours(embedded, options.k, search, on_progress)
        mined = select_pairs(found, options)
        start = None
        if options.margin == "ratio":
            warn_of_strange_scores(mined.scores)
            if options.min_score is None and options.k > 1 and not options.is_reranked:
                sizes = len(embedded.source.lines), len(embedded.target.lines)
                start = start_score(*sizes, options.k)
        if output.with_quality:
            warn_of_other_vectors(sides, embedded.encoder)
        if reranker is not None:
            least = options.min_rerank_score or 0.0
            mined = rerank(
                mined, found, embedded, reranker, min_score=least, on_progress=on_progress
            )
        if pairs is None:
            counts = write_mined(mined, embedded, output)
        else:
            counts = read_mined(mined, embedded, pairs)

    used = embedded.encoder
    return MinedFiles(
        num_written=counts["written"],
        num_dropped=counts["dropped"],
        num_altered=counts["altered"],
        flags={flag: counts[flag] for flag in FLAGS} if sides[0].has_text else {},
        num_truncated=None if used is None else used.num_truncated,
        max_seq_length=None if used is None else used.max_seq_length,
        start_score=start,
        num_below=0 if start is None else int(np.count_nonzero(mined.scores < start)),
        pairs=pairs,
    )


def open_two_files(
    source: str | Path,
    target: str | Path,
    *,
    vectors: tuple[str | Path | None, str | Path | None] = (None, None),
    column: str | None = None,
) -> tuple[Side, Side]:
    """Opens two sides that can be mined; see `mine_files`.

    Raises:
        LabseError, UsageError: one cannot be read or is empty, both are one file, or only one has
            text.
    """
    is_same = str(source) == str(target)
    with contextlib.suppress(OSError):
        is_same = is_same or Path(source).samefile(target)
    if is_same:
        raise UsageError(f"{source} is given as both source and target; give two files")
    for path in map(Path, (source, target)):
        if path.is_file() and not path.stat().st_size:
            raise LabseError(f"{path}: empty; there is nothing to mine")
    sides = open_sides(source, target, vectors=vectors, columns=(column, column))
    if sides[0].has_text != sides[1].has_text:
        raise UsageError("give two texts or two sets of vectors; text has --source-vectors too")
    return sides


def _load_reranker(sides: tuple[Side, Side], encoder: EncoderSource) -> SentenceEncoder:
    """Loads the model that the vectors are of, given or made: it embeds the pieces too.

    Raises:
        UsageError: there is no text, or the vectors are of another model.
    """
    if not sides[0].has_text:
        raise UsageError("--rerank needs the text; vectors go with --source-vectors")
    loaded = load_own_encoder(sides, encoder, does="--rerank compares words with")
    load_rerank().warn_of_other_encoder(loaded.hash_model())
    return loaded


def _check_not_blank(side: Side, lines: LineStore) -> None:
    if not len(lines):
        fault = "blank, or of pieces that the model does not know" if lines.num_unknown else "blank"
        num_lines = len(lines.distinct)
        what = f"all its {num_lines} lines are {fault}" if num_lines else "empty"
        raise LabseError(f"{side.path}: {what}; there is nothing to mine")
