"""Tokenised pairs on disk, mapped into memory.

Dimensions: N distinct sentences, P pairs, B sentences asked for, T tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from labse.errors import LabseError
from labse.files.atomic import read_json, write_json
from labse.files.npy import gather_ragged

__all__ = [
    "SentenceOrigin",
    "TokenizedPairs",
    "sides_of",
    "tokenize_sentences",
    "write_summary",
]

_ARRAYS = ("input_ids", "offsets", "pairs", "pair_langs", "pair_corpora", "pair_rows")
_SUMMARY = "pairs.json"


@dataclass(frozen=True, slots=True)
class SentenceOrigin:
    """The place of a sentence in the data.

    Attributes:
        file: its name in the configuration.
        row: number of the row, from 1; a header does not count. None for pairs that are of no file.
        side: `source` or `target`.
        lang_pair: tags of the pair, such as `eng-deu`.
    """

    file: str
    row: int | None
    side: str
    lang_pair: str


@dataclass(frozen=True, slots=True)
class TokenizedPairs:
    """Pairs as numbers of sentences, each distinct sentence tokenised and stored once.

    Attributes:
        input_ids: (T,) int32, all distinct sentences one after the other, [CLS] and [SEP] included.
        offsets: (N + 1,) int64; sentence n is input_ids[offsets[n]:offsets[n + 1]].
        pairs: (P, 2) int32 sentence numbers, source and target; equal numbers are equal text.
        pair_langs: (P,) int16 index into `lang_pairs`.
        lang_pairs: for example ("eng-deu", "eng-fra").
        pair_corpora: (P,) int16 index into `corpora`.
        corpora: what the pairs come from, such as a file each.
        num_truncated: sentences longer than max_seq_length, cut to it.
        pair_rows: (P,) int32, the row of each pair in its file, from 1, a header not counted; None
            for pairs that are of no file.
    """

    input_ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    pairs: NDArray[np.int32]
    pair_langs: NDArray[np.int16]
    lang_pairs: tuple[str, ...]
    pair_corpora: NDArray[np.int16]
    corpora: tuple[str, ...]
    num_truncated: int
    pair_rows: NDArray[np.int32] | None = None

    @classmethod
    def load(cls, folder: Path) -> "TokenizedPairs":
        """Maps the arrays of a folder, `offsets.npy` and so on, and reads its summary.

        Raises:
            LabseError: a file is missing or not an array.
        """
        summary = read_json(folder / _SUMMARY)
        try:
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        except (OSError, ValueError, EOFError) as error:
            raise LabseError(f"{folder}: damaged ({error}); delete it and run again") from None
        return cls(
            **arrays,
            lang_pairs=tuple(summary["lang_pairs"]),  # type: ignore[arg-type]
            corpora=tuple(summary["corpora"]),  # type: ignore[arg-type]
            num_truncated=int(summary["num_truncated"]),  # type: ignore[call-overload]
        )

    def gather(self, sentences: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Returns the flat ids (T,) and the lengths (B,) of some sentences, in the order given."""
        return gather_ragged(self.input_ids, self.offsets, sentences)

    def locate(self, sides: NDArray[np.int64]) -> list[SentenceOrigin]:
        """Tells the file and row of sides of pairs (see `sides_of`)."""
        origins = []
        for pair, side in (divmod(number, 2) for number in sides.tolist()):
            origins.append(
                SentenceOrigin(
                    file=self.corpora[self.pair_corpora[pair]],
                    row=None if self.pair_rows is None else int(self.pair_rows[pair]),
                    side=("source", "target")[side],
                    lang_pair=self.lang_pairs[self.pair_langs[pair]],
                )
            )
        return origins


def sides_of(indices: NDArray[np.integer]) -> NDArray[np.int64]:
    """Returns (B, 2) numbers of sides: 2 * i is the source of pair i, 2 * i + 1 its target."""
    sides: NDArray[np.int64] = 2 * indices.astype(np.int64)[:, None] + np.arange(2)
    return sides


def write_summary(
    folder: Path, *, lang_pairs: Sequence[str], corpora: Sequence[str], num_truncated: int
) -> None:
    """Writes what `TokenizedPairs` holds beside its arrays."""
    names = {"lang_pairs": list(lang_pairs), "corpora": list(corpora)}
    write_json(folder / _SUMMARY, names | {"num_truncated": num_truncated})


def tokenize_sentences(
    sentences: Sequence[str],
    tokenizer: Tokenizer,
    *,
    max_seq_length: int,
    chunk_sentences: int = 100_000,
) -> tuple[NDArray[np.int32], NDArray[np.int64], int]:
    """Returns flat ids (T,), offsets (N + 1,) and the number of sentences cut to the length.

    The tokenizer must be one that neither pads nor truncates, as `load_tokenizer` gives it.
    """
    lengths = np.empty(len(sentences), dtype=np.int64)
    chunks: list[NDArray[np.int32]] = [np.empty(0, dtype=np.int32)]
    num_truncated = 0
    for start in range(0, len(sentences), chunk_sentences):
        encodings = tokenizer.encode_batch_fast(sentences[start : start + chunk_sentences])
        rows = [encoding.ids for encoding in encodings]
        num_truncated += sum(len(row) > max_seq_length for row in rows)
        # The cut keeps the last token, [SEP].
        rows = [r if len(r) <= max_seq_length else r[: max_seq_length - 1] + r[-1:] for r in rows]
        lengths[start : start + len(rows)] = [len(row) for row in rows]
        num_tokens = int(lengths[start : start + len(rows)].sum())
        chunks.append(np.fromiter(chain.from_iterable(rows), np.int32, num_tokens))
    return np.concatenate(chunks), np.concatenate([[0], np.cumsum(lengths)]), num_truncated
