"""Hard negatives of a run, from files of pairs to arrays on disk.

Takes: files of pairs with columns that `labse hard-negatives` adds. Gives: `HardNegatives`.
Source: docs/training.md.
"""

import logging
import re
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from labse.corpus.tables import Table, open_table
from labse.dual_encoder.data.negatives import ARRAYS, HardNegatives, ragged
from labse.dual_encoder.data.pairs import TokenizedPairs, tokenize_sentences
from labse.dual_encoder.data.sentence_keys import KeyIndex, pair_keys, sentence_keys, stored_keys
from labse.errors import LabseError, UsageError
from labse.files.atomic import MANIFEST_NAME, write_atomic, write_json
from labse.files.stage import is_cache_of

__all__ = ["negative_columns", "prepare_hard_negatives"]

Side = Literal["source", "target"]

_LOGGER = logging.getLogger(__name__)
_COLUMN = re.compile(r"(source|target)_negative_(\d+)")
_CHUNK_ROWS = 16_384


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
) -> HardNegatives:
    """Reads and tokenises the negatives, or maps what an earlier call left in `cache`.

    Args:
        files: those of the run; files without such columns have none.
        pairs: all pairs of the run, which tell what is a translation of a negative.
        tokenizer: that of the run.
        max_seq_length: that of the run.
        cache: a folder for this function alone.
        key: what the files and the tokenizer are known by.

    Raises:
        LabseError: a file is broken, or there is no negative.
        UsageError: no file has such columns.
    """
    stated = {**key, "max_seq_length": max_seq_length}
    if is_cache_of(cache, stated):
        return HardNegatives.load(cache)

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
    cache.mkdir(parents=True, exist_ok=True)
    (cache / MANIFEST_NAME).unlink(missing_ok=True)
    for name in ARRAYS:
        with write_atomic(cache / f"{name}.npy") as stream:
            np.save(stream, arrays[name])
    write_json(cache / MANIFEST_NAME, {"kind": "hard_negatives", "key": stated})
    _LOGGER.info(
        "hard negatives: %s of %s pairs have some, %s distinct sentences",
        *(f"{n:,}" for n in (len(arrays["pairs"]), len(pairs.pairs), len(columns.sentences))),
    )
    return HardNegatives.load(cache)


def _named_columns(table: Table) -> tuple[str, ...]:
    """Returns the columns of negatives, in the order of the file."""
    return tuple(name for name in table.names if _COLUMN.fullmatch(name))


class _Columns:
    """Takes in the rows of files and numbers the distinct negatives."""

    def __init__(self, tokenizer: Tokenizer, max_seq_length: int) -> None:
        self.sentences: dict[str, int] = {}
        self._tokenizer = tokenizer
        self._max_seq_length = max_seq_length
        self._keys: list[NDArray[np.uint64]] = []
        self._negatives = array("i")
        self._counts = array("q")  # Of the target's place, of the source's, pair by pair.

    def read(self, table: Table) -> None:
        """Takes in the rows that have negatives."""
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
        _, positions = ragged(starts, entries)
        known, known_offsets = _known_translations(sentence_keys(ids, np.diff(offsets)), pairs)
        return {
            "input_ids": ids,
            "sentences": offsets,
            "pairs": keys,
            "negatives": np.array(self._negatives, dtype=np.int32)[positions],
            "offsets": np.concatenate([[0], np.cumsum(np.diff(starts)[entries])]),
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
    _, positions = ragged(starts, numbers)
    lengths = np.diff(starts)[numbers]
    return other[order][positions], np.concatenate([[0], np.cumsum(lengths)])
