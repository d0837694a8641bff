"""Tokenised pairs, in memory and on disk.

Dimensions: N distinct sentences, P pairs, B sentences asked for, T tokens.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from labse.corpus.records import SentencePair
from labse.errors import LabseError
from labse.files import read_json, write_atomic, write_json

__all__ = ["TokenizedPairs", "tokenize_pairs"]

_ARRAYS = ("input_ids", "offsets", "pairs", "pair_langs", "pair_corpora")


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
    """

    input_ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    pairs: NDArray[np.int32]
    pair_langs: NDArray[np.int16]
    lang_pairs: tuple[str, ...]
    pair_corpora: NDArray[np.int16]
    corpora: tuple[str, ...]
    num_truncated: int

    def save(self, folder: Path) -> None:
        """Writes the arrays as .npy files, then the JSON file that makes them valid."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _ARRAYS:
            with write_atomic(folder / f"{name}.npy") as stream:
                np.save(stream, getattr(self, name))
        names = {"lang_pairs": self.lang_pairs, "corpora": self.corpora}
        write_json(folder / "pairs.json", names | {"num_truncated": self.num_truncated})

    @classmethod
    def load(cls, folder: Path) -> "TokenizedPairs":
        """Maps a folder written by `save` into memory.

        Raises:
            LabseError: a file is missing or not an array.
        """
        summary = read_json(folder / "pairs.json")
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
        starts = self.offsets[sentences]
        lengths = self.offsets[sentences + 1] - starts
        ends = np.cumsum(lengths)
        positions = np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1])
        return self.input_ids[positions], lengths


def tokenize_pairs(
    corpora: Mapping[str, Iterable[SentencePair]],
    tokenizer: Tokenizer,
    *,
    max_seq_length: int,
    chunk_sentences: int = 100_000,
) -> TokenizedPairs:
    """Numbers and tokenises the distinct sentences of some corpora, in order of first appearance.

    A pair whose sides are equal is an untranslated copy and teaches nothing; a pair with a blank
    side has no content. Filter them before (the caller counts them).

    Raises:
        LabseError: there are no pairs.
    """
    numbers: dict[str, int] = {}
    langs: dict[str, int] = {}
    pairs, pair_langs, pair_corpora = array("i"), array("h"), array("h")
    for corpus, records in enumerate(corpora.values()):
        for record in records:
            pairs.append(numbers.setdefault(record.source, len(numbers)))
            pairs.append(numbers.setdefault(record.target, len(numbers)))
            lang_pair = f"{record.source_lang}-{record.target_lang}"
            pair_langs.append(langs.setdefault(lang_pair, len(langs)))
            pair_corpora.append(corpus)
    if not pairs:
        raise LabseError("there is not one sentence pair to train on; check the data files")

    input_ids, offsets, num_truncated = _tokenize(
        list(numbers), tokenizer, max_seq_length, chunk_sentences
    )
    return TokenizedPairs(
        input_ids=input_ids,
        offsets=offsets,
        pairs=np.array(pairs, dtype=np.int32).reshape(-1, 2),
        pair_langs=np.array(pair_langs, dtype=np.int16),
        lang_pairs=tuple(langs),
        pair_corpora=np.array(pair_corpora, dtype=np.int16),
        corpora=tuple(corpora),
        num_truncated=num_truncated,
    )


def _tokenize(
    sentences: Sequence[str], tokenizer: Tokenizer, max_seq_length: int, chunk_sentences: int
) -> tuple[NDArray[np.int32], NDArray[np.int64], int]:
    """Returns flat ids (T,), offsets (N + 1,) and the number of sentences cut."""
    whole = Tokenizer.from_str(tokenizer.to_str())
    whole.no_padding()
    whole.no_truncation()
    lengths = np.empty(len(sentences), dtype=np.int64)
    chunks: list[NDArray[np.int32]] = []
    num_truncated = 0
    for start in range(0, len(sentences), chunk_sentences):
        encodings = whole.encode_batch_fast(sentences[start : start + chunk_sentences])
        rows = [encoding.ids for encoding in encodings]
        num_truncated += sum(len(row) > max_seq_length for row in rows)
        # The cut keeps the last token, [SEP].
        rows = [r if len(r) <= max_seq_length else r[: max_seq_length - 1] + r[-1:] for r in rows]
        lengths[start : start + len(rows)] = [len(row) for row in rows]
        chunks.append(np.array([piece for row in rows for piece in row], dtype=np.int32))
    return np.concatenate(chunks), np.concatenate([[0], np.cumsum(lengths)]), num_truncated
