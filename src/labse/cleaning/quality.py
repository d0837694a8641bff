"""The quality model: how probable it is that a text is clean prose.

Takes: texts. Gives: a calibrated probability each, from a folder of safetensors and JSON.
Source: the paper's classifier is Google's own; this one is logistic regression over hashed n-grams
(Weinberger et al. 2009), trained by `quality_training`. The same code makes the n-grams for both,
with NumPy alone. The probability holds where good and bad are equally frequent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from labse.cleaning.characters import (
    DIGIT,
    HASH_FACTOR,
    SPACE,
    TextBlock,
    build_block,
    kinds_of,
)
from labse.cleaning.normalize import normalize_text
from labse.corpus.records import UNKNOWN_LANG
from labse.corpus.shards import expand_folders, iter_sentences
from labse.errors import LabseError
from labse.files.atomic import MANIFEST_NAME, read_json, sha256_file, write_atomic, write_json
from labse.files.npy import ragged_positions

__all__ = [
    "BUCKET_BITS",
    "Buckets",
    "QualityModel",
    "iter_buckets",
    "iter_quality",
    "load_quality_model",
    "save_quality_model",
]

_WEIGHTS_NAME = "quality.safetensors"
_FORMAT = "labse-quality-1"
_BLOCK_TEXTS = 2000
BUCKET_BITS = 18
_CHARACTER_ORDERS = (1, 2, 3, 4, 5)
_ZERO = np.uint64(ord("0"))


@dataclass(frozen=True, slots=True)
class QualityModel:
    """Logistic regression and its calibration.

    Attributes:
        weights: (2^18,) float32, of each bucket.
        calibration: (2,) float64 scale and offset (Platt 1999).
    """

    weights: NDArray[np.float32]
    calibration: NDArray[np.float64]

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns (N,) probabilities from 0 (noise) to 1 (clean prose); NaN for an empty text."""
        scale, offset = self.calibration
        margins = self.measure([normalize_text(text).text for text in texts])
        probs: NDArray[np.float32] = (1 / (1 + np.exp(-(scale * margins + offset)))).astype(
            np.float32
        )
        return probs

    def measure(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Returns (N,) sums of the weights of normalised texts over the root of their number."""
        margins = np.full(len(texts), np.nan)
        for start in range(0, len(texts), _BLOCK_TEXTS):
            block = texts[start : start + _BLOCK_TEXTS]
            sums, totals = np.zeros(len(block)), np.zeros(len(block))
            for found in iter_buckets(block):
                edges = np.concatenate(([0], np.cumsum(found.counts)))
                running = np.concatenate(
                    ([0.0], np.cumsum(self.weights[found.buckets], dtype=float))
                )
                sums += running[edges[1:]] - running[edges[:-1]]
                totals += found.counts
            has_text = totals > 2  # Both ends of an empty text are a 2-gram.
            np.divide(
                sums, np.sqrt(totals), out=margins[start : start + len(block)], where=has_text
            )
        return margins


def save_quality_model(folder: Path, model: QualityModel, manifest: dict[str, object]) -> None:
    """Writes the model, then its manifest.

    Raises:
        ResourceError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _WEIGHTS_NAME
    with write_atomic(path) as stream:
        stream.write(save({"weights": model.weights, "calibration": model.calibration}))
    described = {"format": _FORMAT, "bucket_bits": BUCKET_BITS, "sha256": sha256_file(path)}
    write_json(folder / MANIFEST_NAME, described | manifest)


@lru_cache(maxsize=2)
def load_quality_model(folder: str | Path) -> QualityModel:
    """Loads and checks a folder that `labse corpus quality train` made.

    Raises:
        LabseError: it is no such folder, or it is damaged.
    """
    folder = Path(folder)
    manifest = read_json(folder / MANIFEST_NAME)
    path = folder / _WEIGHTS_NAME
    if (manifest.get("format"), manifest.get("bucket_bits")) != (_FORMAT, BUCKET_BITS):
        raise LabseError(f"{folder}: not a quality model; make one with labse corpus quality train")
    if manifest.get("sha256") != sha256_file(path):
        raise LabseError(f"{path}: not the file that {MANIFEST_NAME} names; train it again")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise LabseError(f"{path}: cannot be read ({error}); train it again") from None
    weights, calibration = tensors.get("weights"), tensors.get("calibration")
    if weights is None or calibration is None:
        raise LabseError(f"{path}: weights or calibration is missing; train it again")
    if weights.shape != (1 << BUCKET_BITS,) or calibration.shape != (2,):
        raise LabseError(f"{path}: tensors of a wrong shape; train it again")
    if not (np.isfinite(weights).all() and np.isfinite(calibration).all()):
        raise LabseError(f"{path}: a weight is not finite; train it again")
    return QualityModel(weights, calibration)


def iter_quality(
    folder: str | Path, files: str | Path | Sequence[str | Path]
) -> Iterator[tuple[float, str]]:
    """Yields the probability and the text of each row of text, tables or folders of shards.

    Raises:
        LabseError: see `load_quality_model`; broken data.
    """
    model = load_quality_model(folder)
    for file in expand_folders(files):
        sentences = iter_sentences(file, None, default_lang=UNKNOWN_LANG)
        while block := [sentence.text for sentence in islice(sentences, _BLOCK_TEXTS)]:
            yield from zip(model.score(block).tolist(), block, strict=True)


# ---- features --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Buckets:
    """The features of one order of N texts.

    Attributes:
        buckets: (F,) int64 below 2^18, text after text.
        counts: (N,) int64 how many of them each text has.
    """

    buckets: NDArray[np.int64]
    counts: NDArray[np.int64]


def iter_buckets(texts: Sequence[str]) -> Iterator[Buckets]:
    """Yields 1- to 5-grams of characters, then words and pairs of words.

    Every digit is `0`. Both ends of a text are characters of its n-grams; a word is what stands
    between spaces, a phrase in scripts without them. Case counts: titles are not prose.
    """
    block = build_block(texts)
    kinds = kinds_of(block)
    letters = np.where(kinds == DIGIT, _ZERO, block.code_points.astype(np.uint64))
    yield from _iter_character_grams(block, letters)
    yield from _iter_word_grams(block, letters, kinds == SPACE)


def _iter_character_grams(block: TextBlock, letters: NDArray[np.uint64]) -> Iterator[Buckets]:
    bounded = np.concatenate(([np.uint64(ord("\n"))], letters))  # Text i starts at starts[i] + 1.
    hashes = np.zeros(len(bounded), np.uint64)
    for order in _CHARACTER_ORDERS:
        stop = max(len(bounded) - order + 1, 0)
        hashes = (hashes[:stop] + bounded[order - 1 :][:stop] + np.uint64(1)) * HASH_FACTOR
        hashes ^= hashes >> np.uint64(31)
        is_single = order == 1  # Not the ends alone.
        starts = block.starts + is_single
        counts = np.maximum(block.lengths + 2 - 2 * is_single - order + 1, 0)
        yield Buckets(_to_buckets(hashes[ragged_positions(starts, counts)], order), counts)


def _iter_word_grams(
    block: TextBlock, letters: NDArray[np.uint64], is_space: NDArray[np.bool_]
) -> Iterator[Buckets]:
    is_gap = is_space.copy()
    is_gap[block.starts + block.lengths] = True
    is_first = ~is_gap & np.concatenate(([True], is_gap[:-1]))
    firsts = np.flatnonzero(is_first)
    counts = block.sum(is_first, np.int64).astype(np.int64)
    if not len(firsts):
        yield from (Buckets(firsts, counts), Buckets(firsts, counts))
        return
    widths = np.diff(firsts, append=len(letters))
    places = np.arange(firsts[0], len(letters)) - np.repeat(firsts, widths)
    mixed = (letters[firsts[0] :] + (places.astype(np.uint64) << np.uint64(32))) * HASH_FACTOR
    mixed = (mixed ^ (mixed >> np.uint64(29))) * HASH_FACTOR
    mixed[is_gap[firsts[0] :]] = 0
    words = np.add.reduceat(mixed, firsts - firsts[0])
    yield Buckets(_to_buckets(words, 11), counts)
    pair_counts = np.maximum(counts - 1, 0)
    lefts = ragged_positions(np.cumsum(counts) - counts, pair_counts)
    yield Buckets(_to_buckets(words[lefts] * HASH_FACTOR + words[lefts + 1], 12), pair_counts)


def _to_buckets(hashes: NDArray[np.uint64], salt: int) -> NDArray[np.int64]:
    """Spreads hashes over the table, another way for each order."""
    salted = (hashes ^ np.uint64(salt << 56 | salt)) * HASH_FACTOR
    buckets: NDArray[np.int64] = (salted >> np.uint64(64 - BUCKET_BITS)).astype(np.int64)
    return buckets
