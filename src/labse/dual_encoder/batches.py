"""Tokenised pairs and the batches drawn from them.

Dimensions: N distinct sentences, P pairs, B pairs of a batch, T tokens.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from labse.corpus.records import SentencePair
from labse.corpus.sampling import smoothed_shares
from labse.errors import LabseError
from labse.files import read_json, write_atomic, write_json

__all__ = ["PairSampler", "TokenizedPairs", "tokenize_pairs"]

_ARRAYS = ("input_ids", "offsets", "pairs", "pair_langs")


@dataclass(frozen=True, slots=True)
class TokenizedPairs:
    """Pairs as numbers of sentences, each distinct sentence tokenised and stored once.

    Attributes:
        input_ids: (T,) int32, all distinct sentences one after the other, [CLS] and [SEP] included.
        offsets: (N + 1,) int64; sentence n is input_ids[offsets[n]:offsets[n + 1]].
        pairs: (P, 2) int32 sentence numbers, source and target; equal numbers are equal text.
        pair_langs: (P,) int16 index into `lang_pairs`.
        lang_pairs: for example ("eng-deu", "eng-fra").
        num_truncated: sentences longer than max_seq_length, cut to it.
    """

    input_ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    pairs: NDArray[np.int32]
    pair_langs: NDArray[np.int16]
    lang_pairs: tuple[str, ...]
    num_truncated: int

    def save(self, folder: Path) -> None:
        """Writes four .npy files, then the JSON file that makes them valid."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _ARRAYS:
            with write_atomic(folder / f"{name}.npy") as stream:
                np.save(stream, getattr(self, name))
        summary = {"lang_pairs": self.lang_pairs, "num_truncated": self.num_truncated}
        write_json(folder / "pairs.json", summary)

    @classmethod
    def load(cls, folder: Path) -> "TokenizedPairs":
        """Maps a folder written by `save` into memory.

        Raises:
            LabseError: a file is missing or not an array.
        """
        summary = read_json(folder / "pairs.json")
        try:
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        except (OSError, ValueError) as error:
            raise LabseError(f"{folder}: damaged ({error}); delete it and run again") from None
        return cls(
            **arrays,
            lang_pairs=tuple(str(pair) for pair in summary["lang_pairs"]),  # type: ignore[attr-defined]
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
    pairs: Iterable[SentencePair],
    tokenizer: Tokenizer,
    *,
    max_seq_length: int,
    chunk_sentences: int = 100_000,
) -> TokenizedPairs:
    """Numbers and tokenises the distinct sentences of some pairs, in order of first appearance.

    A pair whose sides are equal is an untranslated copy and teaches nothing; a pair with a blank
    side has no content. Filter them before (the caller counts them).

    Raises:
        LabseError: there are no pairs.
    """
    numbers: dict[str, int] = {}
    langs: dict[str, int] = {}
    pair_numbers: list[tuple[int, int]] = []
    pair_langs: list[int] = []
    for pair in pairs:
        source = numbers.setdefault(pair.source, len(numbers))
        target = numbers.setdefault(pair.target, len(numbers))
        pair_numbers.append((source, target))
        pair_langs.append(langs.setdefault(f"{pair.source_lang}-{pair.target_lang}", len(langs)))
    if not pair_numbers:
        raise LabseError("there is not one sentence pair to train on; check the data files")

    truncating = Tokenizer.from_str(tokenizer.to_str())
    truncating.no_padding()
    truncating.no_truncation()
    sentences = list(numbers)
    num_truncated = 0
    lengths = np.empty(len(sentences), dtype=np.int64)
    chunks: list[NDArray[np.int32]] = []
    for start in range(0, len(sentences), chunk_sentences):
        encodings = truncating.encode_batch_fast(sentences[start : start + chunk_sentences])
        rows = [encoding.ids for encoding in encodings]
        num_truncated += sum(len(row) > max_seq_length for row in rows)
        # The cut keeps the last token, [SEP].
        rows = [r if len(r) <= max_seq_length else r[: max_seq_length - 1] + r[-1:] for r in rows]
        lengths[start : start + len(rows)] = [len(row) for row in rows]
        chunks.append(np.concatenate([np.asarray(row, dtype=np.int32) for row in rows]))

    return TokenizedPairs(
        input_ids=np.concatenate(chunks),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        pairs=np.asarray(pair_numbers, dtype=np.int32),
        pair_langs=np.asarray(pair_langs, dtype=np.int16),
        lang_pairs=tuple(langs),
        num_truncated=num_truncated,
    )


class PairSampler:
    """Draws batches of pairs: languages smoothed, lengths alike, no sentence twice.

    Batches are drawn a window at a time and a window is a function of (seed, number of the window),
    so batch `step` is the same however the run got there: there is no cursor to store.

    In a window, languages are drawn with probability share^exponent and pairs uniformly within the
    language; a pair with a sentence already in the window, on either side, is left out, for its
    copy would be a false negative. The pairs are sorted by length and cut into batches.

    Raises:
        LabseError: there are fewer distinct pairs than a batch holds.
    """

    def __init__(
        self,
        pairs: TokenizedPairs,
        *,
        batch_size: int,
        smoothing_exponent: float,
        seed: int,
        window_batches: int = 16,
    ) -> None:
        self.batch_size = batch_size
        self._pairs = pairs
        self._seed = seed

        # Pairs of one language lie together: order[starts[l]:starts[l + 1]].
        self._order = np.argsort(pairs.pair_langs, kind="stable")
        counts = np.bincount(pairs.pair_langs, minlength=len(pairs.lang_pairs))
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        shares = smoothed_shares(
            dict(zip(pairs.lang_pairs, counts.tolist(), strict=True)), smoothing_exponent
        )
        self._probs = np.array([shares[lang] for lang in pairs.lang_pairs])

        num_distinct = len(_without_repeats(np.asarray(pairs.pairs)))
        if num_distinct < batch_size:
            raise LabseError(
                f"a batch of {batch_size} pairs needs as many that share no sentence, and there "
                f"are {num_distinct}; lower global_batch_size or give more data"
            )
        self._window_batches = max(1, min(window_batches, num_distinct // (4 * batch_size)))
        self._window_number = -1
        self._window: NDArray[np.int32] = np.empty((0, 0, 2), dtype=np.int32)

    def batch(self, step: int) -> NDArray[np.int32]:
        """Returns the (B, 2) sentence numbers of update `step`, from 0."""
        window_number, position = divmod(step, self._window_batches)
        if window_number != self._window_number:
            self._window = self._draw_window(window_number)
            self._window_number = window_number
        batch: NDArray[np.int32] = self._window[position]
        return batch

    def _draw_window(self, number: int) -> NDArray[np.int32]:
        generator = np.random.default_rng([self._seed, number])
        wanted = self._window_batches * self.batch_size
        drawn = np.empty((0, 2), dtype=np.int32)
        for _ in range(8):
            drawn = _without_repeats(np.concatenate([drawn, self._draw(generator, wanted)]))
            if len(drawn) >= wanted:
                break
        else:
            # Few pairs or very uneven languages: these are enough, as the constructor has checked.
            drawn = generator.permutation(_without_repeats(np.asarray(self._pairs.pairs)))
        return self._cut(drawn[:wanted], generator)

    def _draw(self, generator: np.random.Generator, size: int) -> NDArray[np.int32]:
        langs = generator.choice(len(self._probs), size=size, p=self._probs)
        starts, ends = self._starts[langs], self._starts[langs + 1]
        return np.asarray(self._pairs.pairs[self._order[generator.integers(starts, ends)]])

    def _cut(self, drawn: NDArray[np.int32], generator: np.random.Generator) -> NDArray[np.int32]:
        lengths = np.diff(self._pairs.offsets)[drawn].max(axis=1)
        batches = drawn[np.argsort(lengths, kind="stable")].reshape(-1, self.batch_size, 2)
        shuffled: NDArray[np.int32] = batches[generator.permutation(len(batches))]
        return shuffled


def _without_repeats(pairs: NDArray[np.int32]) -> NDArray[np.int32]:
    """Keeps the pairs both of whose sentences appear there for the first time, in order."""
    is_first = np.zeros(pairs.size, dtype=bool)
    is_first[np.unique(pairs, return_index=True)[1]] = True
    return pairs[is_first.reshape(-1, 2).all(axis=1)]
