"""Hard negatives of pairs: the nearest sentences of a side's language that translate nothing.

Takes: files of pairs, an encoder. Gives: a file of pairs and their negatives, one language pair
after the other. Source: Guo et al. 2018, arXiv 1807.11906; the margins follow NV-Retriever (Moreira
et al. 2024, arXiv 2407.15831).

Dimensions: N pairs, K neighbours.
"""

import codecs
import itertools
import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse import __version__
from labse.corpus.inputs import hash_files
from labse.corpus.languages import canonical_tags
from labse.corpus.readers import read_pairs
from labse.corpus.records import SentencePair
from labse.corpus.shards import expand_folders
from labse.corpus.tables import ColumnNames
from labse.corpus.writers import check_outputs, write_rows
from labse.dual_encoder.data.negatives import negative_columns
from labse.encoder.protocol import Encoder
from labse.encoder.source import EncoderSource, describe_encoder, load_encoder
from labse.errors import LabseError, UsageError
from labse.files.atomic import make_folder, sha256_file
from labse.files.stage import Stage, open_stage
from labse.files.text import read_lines
from labse.mining.bitext import SearchOptions, find_neighbours
from labse.mining.pair_scores import aligned_cosines
from labse.mining.sides import (
    EmbeddedSide,
    EmbeddedSides,
    LineStore,
    embed_side,
)
from labse.runtime import OnProgress, resumable
from labse.search.knn import Neighbours

__all__ = [
    "HardNegatives",
    "NegativeOptions",
    "PairGroup",
    "group_pairs",
    "iter_hard_negatives",
    "mine_hard_negatives",
    "negative_row_columns",
]

_LOGGER = logging.getLogger(__name__)

_CHUNK_PAIRS = 8192
_SPARE = 4  # Neighbours beyond the wanted ones that are read, for some may be copies.
_BUFFERED_CHARS = 1 << 24


@dataclass(frozen=True, slots=True)
class NegativeOptions:
    """What is a hard negative.

    Attributes:
        k: negatives of a pair and side, at most.
        num_neighbours: nearest sentences that are looked at, the pair's own included; more than k.
        relative_margin: of the positive's cosine p, the cosine of a negative is at most
            p - relative_margin * |p|.
        absolute_margin: it is also at most p - absolute_margin.
        both_sides: negatives of the source's language too, in place of the target's alone.
    """

    k: int = 4
    num_neighbours: int = 32
    relative_margin: float = 0.05
    absolute_margin: float = 0.0
    both_sides: bool = False

    def __post_init__(self) -> None:
        """Checks that there are neighbours to choose from.

        Raises:
            UsageError: there are not.
        """
        if self.num_neighbours <= self.k:
            raise UsageError(f"--neighbours {self.num_neighbours}: give more than --k ({self.k})")

    def max_cosines(self, positives: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns (N,) the largest cosine of a negative for the cosines of N pairs."""
        limits: NDArray[np.float32] = positives - np.maximum(
            self.relative_margin * np.abs(positives), self.absolute_margin
        )
        return limits


@dataclass(frozen=True, slots=True)
class HardNegatives:
    """What `mine_hard_negatives` tells of its work.

    Attributes:
        num_groups: language pairs.
        num_altered: rows with a character that the format cannot hold.
        counts: `pairs`, `blank` ones, `negatives`, pairs `without` one, and the neighbours left out
            as `known` (translations, copies) or `guarded` (by the margin).
    """

    num_groups: int
    num_altered: int
    counts: Mapping[str, int]


def mine_hard_negatives(
    files: Sequence[Path],
    out: Path,
    options: NegativeOptions | None = None,
    *,
    encoder: EncoderSource = None,
    langs: tuple[str | None, str | None] = (None, None),
    columns: ColumnNames | None = None,
    skip_unknown: bool = False,
    work: Path | None = None,
    memory_bytes: int = 1 << 30,
    on_progress: OnProgress | None = None,
) -> HardNegatives:
    """Adds to pairs the sentences that are hard to tell from their translations.

    Args:
        files: pairs, each with its languages.
        out: a .parquet, .jsonl or .tsv file.
        options: what is a hard negative.
        encoder: gives the vectors; None loads the model that comes with labse.
        langs: of every source and target, for files that do not tell.
        columns: where tables of others have source, target and their languages.
        skip_unknown: whether rows of a language that is not known are left out, not an error.
        work: a folder that keeps what is done, for the same call to go on with.
        memory_bytes: of vectors that are searched at a time.
        on_progress: called with the sentences embedded and their number, then those searched, for
            each language pair anew.

    Raises:
        LabseError: the files are broken or hold no pair.
        UsageError: `out` is an input or of another format; `work` was begun with other inputs.
        ResourceError: something cannot be written.
    """
    options = options or NegativeOptions()
    check_outputs(out, inputs=files, kind="negatives")
    files = list(map(Path, expand_folders(files)))
    langs = canonical_tags(langs)
    search = SearchOptions(memory_bytes)

    # All that the vectors and neighbours depend on; the margins may change.
    key = {"labse version": __version__, "--neighbours": options.num_neighbours}
    key |= {"inputs": hash_files(files), "languages": list(langs)}
    key |= {"--columns": dict(columns)} if columns else {}
    key |= {"--skip-unknown": True} if skip_unknown else {}
    loaded = load_encoder(encoder)
    key |= describe_encoder(loaded)

    counts: Counter[str] = Counter()
    drops: Counter[str] = Counter()
    with resumable(work), open_stage(work, key) as stage:
        source_lang, target_lang = langs
        pairs = (
            pair
            for file in files
            for pair in read_pairs(
                file,
                source_lang=source_lang,
                target_lang=target_lang,
                columns=columns,
                drops=drops if skip_unknown else None,
            )
        )
        groups = group_pairs(pairs, stage)
        for reason, number in drops.most_common():
            _LOGGER.warning(f"left out: {number:,} ({reason})")
        if not groups:
            raise LabseError(f"{files[0]}: there is not one pair in the input")
        rows = (
            row
            for group in groups
            for row in iter_hard_negatives(
                group, loaded, options, counts, search=search, on_progress=on_progress
            )
        )
        written = write_rows(out, negative_row_columns(options), rows)
    return HardNegatives(len(groups), written.num_altered, counts)


@dataclass(frozen=True, slots=True)
class PairGroup:
    """The pairs of one language pair, sorted out of a stream.

    Attributes:
        text: the path of both sides without `.source` and `.target`; line i of one is the
            translation of line i of the other.
        folder: what is embedded and searched of them.
        langs: canonical tags of source and target.
        num_pairs: lines of each side.
    """

    text: Path
    folder: Path
    langs: tuple[str, str]
    num_pairs: int

    def lines(self, side: str) -> Iterator[str]:
        """Reads one side, `source` or `target`."""
        return read_lines(f"{self.text}.{side}")


def group_pairs(
    pairs: Iterable[SentencePair], stage: Stage, *, buffered_chars: int = _BUFFERED_CHARS
) -> list[PairGroup]:
    """Sorts pairs by language pair, first seen first; done once, it is not repeated.

    Raises:
        OSError: they cannot be written.
    """
    folder = stage.folder / "pairs"
    if stage.result("groups") is None:
        num_pairs = _write_groups(pairs, folder, buffered_chars)
        found = [[*langs, num] for langs, num in num_pairs.items()]
        files = [folder / f"{n:05d}.{s}" for n in range(len(found)) for s in ("source", "target")]
        stage.add("groups", {"groups": found}, files={file: sha256_file(file) for file in files})
    groups = (stage.result("groups") or {})["groups"]
    assert isinstance(groups, list)
    return [
        PairGroup(folder / f"{n:05d}", stage.folder / f"{n:05d}", (source, target), num_pairs)
        for n, (source, target, num_pairs) in enumerate(groups)
    ]


def _write_groups(
    pairs: Iterable[SentencePair], folder: Path, buffered_chars: int
) -> dict[tuple[str, str], int]:
    """Appends to two files a language pair, a buffer at a time: no file stays open."""
    num_pairs: dict[tuple[str, str], int] = {}
    numbers: dict[tuple[str, str], int] = {}
    buffers: dict[Path, list[str]] = {}
    num_chars = 0

    def flush() -> None:
        for path, lines in buffers.items():
            with path.open("ab") as stream:
                stream.write("".join(lines).encode())
            lines.clear()

    make_folder(folder)
    for pair in pairs:
        langs = pair.source_lang, pair.target_lang
        number = numbers.setdefault(langs, len(numbers))
        for side, text in (("source", pair.source), ("target", pair.target)):
            path = folder / f"{number:05d}.{side}"
            if langs not in num_pairs:  # In place of what a killed call left.
                path.write_bytes(codecs.BOM_UTF8)
            buffers.setdefault(path, []).append(text + "\n")
            num_chars += len(text)
        num_pairs[langs] = num_pairs.get(langs, 0) + 1
        if num_chars > buffered_chars:
            flush()
            num_chars = 0
    flush()
    return num_pairs


def negative_row_columns(options: NegativeOptions) -> tuple[str, ...]:
    """Returns the names of the columns that `iter_hard_negatives` gives."""
    langs = ("source", "target", "source_lang", "target_lang")
    sources = negative_columns("source", options.k) if options.both_sides else ()
    return (*langs, *negative_columns("target", options.k), *sources)


def iter_hard_negatives(
    group: PairGroup,
    encoder: Encoder,
    options: NegativeOptions,
    counts: Counter[str],
    *,
    search: SearchOptions | None = None,
    on_progress: OnProgress | None = None,
) -> Iterator[tuple[str, ...]]:
    """Yields a row for each pair of one language pair, in order, the hardest negative first.

    No negative is a sentence that shares a translation with the positive, as far as these pairs
    tell, or differs from one of the pair but in case, spaces and punctuation.

    Args:
        group: its folder keeps what a killed call has done.
        encoder: gives the vectors.
        options: what is a hard negative.
        counts: is added to; see `HardNegatives`.
        search: how neighbours are searched.
        on_progress: called with the sentences embedded and their number, then those searched.
    """
    # Embed both sides and search each among the other.
    with open_stage(group.folder, {"languages": list(group.langs)}) as stage:
        source, target = (
            embed_side(name, group.lines(name), encoder, stage, on_progress)
            for name in ("source", "target")
        )
        sides = EmbeddedSides(source, target, stage)
        found = find_neighbours(sides, options.num_neighbours, search, on_progress)
    limits = options.max_cosines(aligned_cosines(source, target))
    directions = [_Direction(source, target, found.forward, options, counts)]
    if options.both_sides:
        directions.append(_Direction(target, source, found.backward, options, counts))

    # Choose among the neighbours, for some pairs at a time.
    lines = zip(group.lines("source"), group.lines("target"), strict=True)
    for start in range(0, group.num_pairs, _CHUNK_PAIRS):
        rows = list(itertools.islice(lines, _CHUNK_PAIRS))
        part = slice(start, start + len(rows))
        columns = [direction.choose(part, rows, limits[part]) for direction in directions]
        for texts, *negatives in zip(rows, *columns, strict=True):
            counts["pairs"] += 1
            counts["blank"] += not (texts[0].strip() and texts[1].strip())
            counts["without"] += not any(map(any, negatives))
            found_texts = [text for side in negatives for text in side]
            counts["negatives"] += sum(map(bool, found_texts))
            yield (*texts, *group.langs, *found_texts)


class _Direction:
    """Chooses the negatives of one side: neighbours of `query` among `candidate`."""

    def __init__(
        self,
        query: EmbeddedSide,
        candidate: EmbeddedSide,
        found: Neighbours,
        options: NegativeOptions,
        counts: Counter[str],
    ) -> None:
        self._queries, self._positives = query.lines.distinct, candidate.lines.distinct
        self._store, self._found = candidate.lines, found
        self._translations = _Translations(candidate.lines, query.lines)
        self._k, self._counts = options.k, counts

    def choose(
        self, part: slice, rows: Sequence[tuple[str, str]], limits: NDArray[np.float32]
    ) -> list[list[str]]:
        """Returns `k` texts for each pair of `part`; empty ones where there are fewer."""
        columns = (self._queries[part].tolist(), self._positives[part].tolist(), limits.tolist())
        chosen = [self._choose_one(*row) for row in zip(*columns, strict=True)]
        numbers = sorted({number for row in chosen for number in row})
        texts = dict(zip(numbers, self._store.read(numbers), strict=True))
        return [
            self._without_copies([texts[number] for number in row], pair)
            for row, pair in zip(chosen, rows, strict=True)
        ]

    def _choose_one(self, query: int, positive: int, limit: float) -> list[int]:
        """Returns the nearest lines that translate nothing; none where a side is blank."""
        chosen: list[int] = []
        if query < 0 or positive < 0:
            return chosen
        neighbours = self._found.neighbours[query].tolist()
        similarities = self._found.similarities[query].tolist()
        for number, cosine in zip(neighbours, similarities, strict=True):
            if len(chosen) == self._k + _SPARE:
                break
            if self._translations.share_one(positive, number):
                self._counts["known"] += number != positive
            elif cosine > limit:
                self._counts["guarded"] += 1
            else:
                chosen.append(number)
        return chosen

    def _without_copies(self, texts: list[str], pair: tuple[str, str]) -> list[str]:
        own = {_plain(text) for text in pair}
        kept = [text for text in texts if _plain(text) not in own]
        self._counts["known"] += len(texts) - len(kept)
        return kept[: self._k] + [""] * (self._k - len(kept))


class _Translations:
    """The translations of each distinct line of a side: an array and offsets."""

    def __init__(self, lines: LineStore, others: LineStore) -> None:
        is_pair = (lines.distinct >= 0) & (others.distinct >= 0)
        own, other = lines.distinct[is_pair], others.distinct[is_pair]
        order = np.argsort(own, kind="stable")
        self._others = other[order]
        self._starts = np.searchsorted(own[order], np.arange(len(lines) + 1))

    def share_one(self, first: int, second: int) -> bool:
        """Tells whether two lines translate one line, as a line and itself do."""
        if first == second:
            return True
        sides = [self._others[self._starts[n] : self._starts[n + 1]] for n in (first, second)]
        if len(sides[0]) == len(sides[1]) == 1:
            return bool(sides[0][0] == sides[1][0])
        return bool(np.isin(sides[0], sides[1]).any())


def _plain(text: str) -> str:
    """Returns the letters and digits of a text, without case."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(filter(str.isalnum, folded)) or text
