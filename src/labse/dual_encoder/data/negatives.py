"""Hard negatives: from columns of the files of pairs to arrays on disk, and from these to a batch.

Takes: files of pairs with columns that `labse hard-negatives` adds. Gives: for a batch, sentences
that are more candidates of the loss. Source: Gillick et al. 2019, arXiv 1909.10506; Guo et al.
2018, arXiv 1807.11906.

Dimensions: N distinct negatives, P pairs that have some, B pairs of a batch, H negatives drawn,
K translations of a negative in a batch, T tokens.
"""

import logging
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from labse.corpus.tables import Table, open_table
from labse.dual_encoder.data.numbering import KeyIndex, pair_keys, sentence_keys, stored_keys
from labse.dual_encoder.data.pairs import TokenizedPairs, tokenize_sentences
from labse.errors import LabseError, UsageError
from labse.files.npy import gather_ragged, save_array
from labse.files.stage import Stage, make_once

__all__ = ["HardNegatives", "Negatives", "negative_columns", "prepare_hard_negatives"]

Side = Literal["source", "target"]

_LOGGER = logging.getLogger(__name__)
_COLUMN = re.compile(r"(source|target)_negative_(\d+)")
_CHUNK_ROWS = 16_384
_ARRAYS = ("input_ids", "sentences", "pairs", "negatives", "offsets", "known", "known_offsets")


@dataclass(frozen=True, slots=True)
class Negatives:
    """The hard negatives of a batch; no sentence of them is in the batch or stands twice.

    Attributes:
        input_ids: (T,) ids of all H sentences: candidates for sources, then those for targets.
        lengths: (H,) tokens of each.
        num_targets: number of candidates for sources.
        known: (H, K) places, among the B sources and then the B targets of the batch, of known
            translations of each; -1 for none.
    """

    input_ids: NDArray[np.int32]
    lengths: NDArray[np.int64]
    num_targets: int
    known: NDArray[np.int64]

    def rows_of_rank(self, rank: int, num_ranks: int) -> tuple[range, range]:
        """Returns the rows that a process embeds: candidates for sources, and those for targets.

        The numbers of two ranks differ by one at most.
        """
        num_sources = len(self.lengths) - self.num_targets
        first, last = (
            range(start + size * rank // num_ranks, start + size * (rank + 1) // num_ranks)
            for start, size in ((0, self.num_targets), (self.num_targets, num_sources))
        )
        return first, last


@dataclass(frozen=True, slots=True)
class HardNegatives:
    """The negatives of all pairs, mapped from disk; a pair is found by its pieces.

    Attributes:
        input_ids: ids of the distinct negatives, one after the other.
        sentences: (N + 1,) where each begins.
        pairs: (P,) sorted keys of the pairs that have negatives.
        negatives: sentence numbers; those at the target's place of pair p begin at offsets[2 * p],
            those at the source's at offsets[2 * p + 1].
        offsets: (2 * P + 1,).
        known: keys of the translations that some pair of the data tells of, negative by negative.
        known_offsets: (N + 1,).
    """

    input_ids: NDArray[np.int32]
    sentences: NDArray[np.int64]
    pairs: NDArray[np.uint64]
    negatives: NDArray[np.int32]
    offsets: NDArray[np.int64]
    known: NDArray[np.uint64]
    known_offsets: NDArray[np.int64]

    @classmethod
    def load(cls, folder: Path) -> "HardNegatives":
        """Maps what `prepare_hard_negatives` wrote.

        Raises:
            LabseError: a file is missing or not an array.
        """
        try:
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        except (OSError, ValueError, EOFError) as error:
            raise LabseError(f"{folder}: damaged ({error}); delete it and run again") from None
        return cls(**arrays)

    def draw(
        self, keys: NDArray[np.uint64], *, num_per_pair: int, generator: np.random.Generator
    ) -> Negatives:
        """Draws up to `num_per_pair` negatives a side for each pair of a batch, at random.

        A pair that stands the other way round in the data has its negatives turned round too.

        Args:
            keys: (2 * B,) keys of the sources and then of the targets of the batch.
            num_per_pair: 1 at least.
            generator: the one of the step.
        """
        sources, targets = np.split(keys, 2)
        index = KeyIndex(self.pairs)
        as_stored = index.find(pair_keys(sources, targets))
        turned = index.find(pair_keys(targets, sources))

        in_batch = KeyIndex.of(keys)
        drawn = []
        for side in (0, 1):  # In the target's place, in the source's.
            entries = np.where(as_stored >= 0, 2 * as_stored + side, 2 * turned + 1 - side)
            entries = entries[(as_stored >= 0) | (turned >= 0)]
            drawn.append(self._choose(entries, in_batch, num_per_pair, generator))
        sentences = np.concatenate(drawn)
        input_ids, lengths = gather_ragged(self.input_ids, self.sentences, sentences)
        return Negatives(input_ids, lengths, len(drawn[0]), self._find_known(sentences, in_batch))

    def _choose(
        self,
        entries: NDArray[np.int64],
        in_batch: KeyIndex,
        num_per_pair: int,
        generator: np.random.Generator,
    ) -> NDArray[np.int64]:
        negatives, counts = gather_ragged(self.negatives, self.offsets, entries)
        rows, sentences = np.repeat(np.arange(len(entries)), counts), negatives.astype(np.int64)
        # One that is in the batch is a candidate there already, and is not counted twice.
        texts = gather_ragged(self.input_ids, self.sentences, sentences)
        is_new = in_batch.find(sentence_keys(*texts)) < 0
        rows, sentences = rows[is_new], sentences[is_new]
        order = np.lexsort((generator.random(len(rows)), rows))
        rows, sentences = rows[order], sentences[order]
        ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)
        chosen = sentences[ranks < num_per_pair]
        return chosen[np.sort(np.unique(chosen, return_index=True)[1])]

    def _find_known(self, sentences: NDArray[np.int64], in_batch: KeyIndex) -> NDArray[np.int64]:
        known_keys, counts = gather_ragged(self.known, self.known_offsets, sentences)
        rows, places = np.repeat(np.arange(len(sentences)), counts), in_batch.find(known_keys)
        rows, places = rows[places >= 0], places[places >= 0]
        ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)
        known = np.full((len(sentences), int(ranks.max(initial=-1)) + 1), -1)
        known[rows, ranks] = places
        return known


# ---- From files to disk ----


def negative_columns(side: Side, count: int) -> tuple[str, ...]:
    """Returns the names of the columns with the negatives of a side, the hardest first."""
    return tuple(f"{side}_negative_{number}" for number in range(1, count + 1))


def prepare_hard_negatives(
    files: Sequence[Path],
    pairs: TokenizedPairs,
    tokenizer: Tokenizer,
    *,
    max_seq_length: int,
    cache: Path,
    key: Mapping[str, object],
    is_main: bool = True,
) -> HardNegatives:
    """Reads and tokenises the negatives, or maps what an earlier call left in `cache`.

    Args:
        files: the files of pairs; those without such columns have no negatives.
        pairs: the training data, which tells what is a translation of a negative.
        tokenizer: the one that made `pairs`.
        max_seq_length: longer sentences are cut.
        cache: a folder for this function alone.
        key: what the files and the tokenizer are known by.
        is_main: whether this process makes the cache; the others find it made.

    Raises:
        LabseError: a file is broken, or there is no negative; or the main process saw other files.
        UsageError: no file has such columns.
    """
    stated = {**key, "max_seq_length": max_seq_length}

    def make(stage: Stage) -> dict[str, object]:
        arrays = _read_negatives(files, pairs, tokenizer, max_seq_length)
        for name in _ARRAYS:
            save_array(stage.folder / f"{name}.npy", arrays[name])
        return {"kind": "hard_negatives", "key": stated}

    def load(_: object) -> HardNegatives:
        return HardNegatives.load(cache)

    return make_once(cache, stated, make, load, is_main=is_main)[0]


def _read_negatives(
    files: Sequence[Path], pairs: TokenizedPairs, tokenizer: Tokenizer, max_seq_length: int
) -> dict[str, NDArray[np.generic]]:
    """Returns the attributes of `HardNegatives`."""
    columns = _Columns(tokenizer, max_seq_length)
    tables = [open_table(file) for file in files]
    if not any(map(_named_columns, tables)):
        raise UsageError(
            "data.hard_negatives asks for negatives, and no file of data.pairs has columns such as "
            "target_negative_1; make one with labse hard-negatives"
        )
    for table in tables:
        columns.read(table)
    if not columns.sentences:
        raise LabseError(
            "the columns of hard negatives of data.pairs are empty; mine again with smaller margins"
        )
    arrays = columns.arrays(pairs)
    _LOGGER.info(
        "hard negatives: %s of %s pairs have some, %s distinct sentences",
        *(f"{n:,}" for n in (len(arrays["pairs"]), len(pairs.pairs), len(columns.sentences))),
    )
    return arrays


def _named_columns(table: Table) -> tuple[str, ...]:
    """Returns the columns of negatives, in the order of the file."""
    return tuple(name for name in table.names if _COLUMN.fullmatch(name))


class _Columns:
    """Collects the rows that have negatives, and numbers the distinct ones."""

    def __init__(self, tokenizer: Tokenizer, max_seq_length: int) -> None:
        self.sentences: dict[str, int] = {}
        self._tokenizer = tokenizer
        self._max_seq_length = max_seq_length
        self._keys: list[NDArray[np.uint64]] = []
        self._negatives = array("i")
        self._counts = array("q")  # A pair has two: in the target's place, in the source's.

    def read(self, table: Table) -> None:
        """Collects the rows of a file."""
        names = _named_columns(table)
        if not names:
            return
        sides = [name.startswith("source") for name in names]
        chunk: list[str] = []
        for _, (source, target, *texts) in table.read_rows(("source", "target", *names)):
            if not any(texts):
                continue
            chunk += (source, target)
            for side in (False, True):
                found = [text for text, of_source in zip(texts, sides, strict=True)
                         if of_source is side and text.strip()]  # fmt: skip
                self._counts.append(len(found))
                self._negatives.extend(
                    self.sentences.setdefault(text, len(self.sentences)) for text in found
                )
            if len(chunk) >= 2 * _CHUNK_ROWS:
                self._add_keys(chunk)
                chunk = []
        self._add_keys(chunk)

    def _add_keys(self, texts: list[str]) -> None:
        if texts:
            ids, offsets, _ = tokenize_sentences(
                texts, self._tokenizer, max_seq_length=self._max_seq_length
            )
            keys = sentence_keys(ids, np.diff(offsets))
            self._keys.append(pair_keys(keys[0::2], keys[1::2]))

    def arrays(self, pairs: TokenizedPairs) -> dict[str, NDArray[np.generic]]:
        """Returns the attributes of `HardNegatives`."""
        ids, offsets, _ = tokenize_sentences(
            list(self.sentences), self._tokenizer, max_seq_length=self._max_seq_length
        )
        # Of pairs that stand twice the first counts.
        keys, first = np.unique(np.concatenate(self._keys), return_index=True)
        starts = np.concatenate([[0], np.cumsum(self._counts)])
        entries = np.stack([2 * first, 2 * first + 1], axis=1).reshape(-1)
        negatives, counts = gather_ragged(np.array(self._negatives, np.int32), starts, entries)
        known, known_offsets = _known_translations(sentence_keys(ids, np.diff(offsets)), pairs)
        return {
            "input_ids": ids,
            "sentences": offsets,
            "pairs": keys,
            "negatives": negatives,
            "offsets": np.concatenate([[0], np.cumsum(counts)]),
            "known": known,
            "known_offsets": known_offsets,
        }


def _known_translations(
    keys: NDArray[np.uint64], pairs: TokenizedPairs
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Returns the keys of the other sides of the pairs of each sentence, and their offsets."""
    of_sentences = stored_keys(pairs.input_ids, pairs.offsets)
    distinct, numbers = np.unique(keys, return_inverse=True)
    index = KeyIndex(distinct)
    rows, others = [], []
    for side in (0, 1):
        own = index.find(of_sentences[pairs.pairs[:, side]])
        has_some = np.flatnonzero(own >= 0)
        rows.append(own[has_some])
        others.append(of_sentences[pairs.pairs[has_some, 1 - side]])
    row, other = np.concatenate(rows), np.concatenate(others)
    order = np.argsort(row, kind="stable")
    starts = np.searchsorted(row[order], np.arange(len(distinct) + 1))
    # Sentences of one key, of different text and equal pieces, have the same translations.
    known, counts = gather_ragged(other[order], starts, numbers)
    return known, np.concatenate([[0], np.cumsum(counts)])
