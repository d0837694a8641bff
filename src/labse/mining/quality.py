"""How far a pair is to be trusted, as people rate it: the quality score that comes with labse.

Takes: vectors and texts of pairs. Gives: for each the probability that a person calls it a
translation.
Source: learnt from ratings by `benchmarks/quality.py`;
docs/quality.md says how well it orders pairs.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.normalize import normalize_text
from labse.cleaning.pair_features import PAIR_FEATURES, pair_features
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.source import EncoderSource, load_encoder
from labse.mining.learnt_score import LearntScore, read_learnt_score
from labse.mining.sides import EmbeddedSides, LineStore, Side

__all__ = [
    "QUALITY_FEATURES",
    "QUALITY_PATH",
    "aligned_quality",
    "load_pair_quality",
    "measure_quality",
    "nearby_cosines",
    "quality_columns",
    "score_quality",
    "side_nearby_cosines",
    "warn_of_other_encoder",
    "warn_of_other_vectors",
]

QUALITY_FEATURES = ("cosine", "margin", *PAIR_FEATURES)
"""What the score is made of; its margin is the cosine over `nearby_cosines`."""

QUALITY_PATH = Path(__file__).parents[1] / "models" / "pair_quality.json"
"""The model that comes with labse."""

_NUM_SAMPLED = 512  # Lines of the other side. 1,000 gain nothing (docs/experiments.md).
_NEAREST_SHARE = 1 / 64  # Of them: the 8 nearest of 512, the nearest of 64.
# Few lines say little of a neighbourhood, so that many are taken to be at the usual distance.
_PRIOR_LINES = 32
_PRIOR_COSINE = 0.3
_MIN_NEARBY, _MAX_MARGIN = 0.05, 6.0
_CHUNK_ROWS = 4096


@cache
def load_pair_quality() -> LearntScore:
    """Loads the model that comes with labse.

    Raises:
        LabseError: it is damaged.
    """
    return read_learnt_score("quality", QUALITY_PATH, QUALITY_FEATURES)


def score_quality(
    sources: Sequence[str], targets: Sequence[str], *, encoder: EncoderSource = None
) -> NDArray[np.float32]:
    """Returns (N,) the probability that a person calls each pair a translation.

    The other pairs that are given are the neighbourhood which a cosine is held against, so give
    hundreds at once. A pair with a blank side has 0.

    Args:
        sources: N texts.
        targets: as many.
        encoder: embeds them; None loads the model that comes with labse, for which the score was
            learnt.

    Raises:
        ValueError: unequal numbers of texts.
    """
    if len(sources) != len(targets):
        raise ValueError(f"{len(sources)} sources and {len(targets)} targets")
    loaded = load_encoder(encoder)
    warn_of_other_encoder(loaded.hash_model())
    vectors = loaded.encode(list(sources)), loaded.encode(list(targets))
    cosines = np.einsum("nd,nd->n", *vectors)
    firsts = [
        np.unique(np.array(texts, object), return_index=True, return_inverse=True)[1:]
        for texts in (sources, targets)
    ]
    rows = [np.asarray(inverse, np.int64) for _, inverse in firsts]
    distinct = [side[first] for side, (first, _) in zip(vectors, firsts, strict=True)]
    nearby = nearby_cosines((distinct[0], distinct[1]), (rows[0], rows[1]))
    return measure_quality(cosines, nearby, sources, targets)


def measure_quality(
    cosines: NDArray[np.floating],
    nearby: NDArray[np.floating],
    sources: Sequence[str],
    targets: Sequence[str],
    known: dict[str, NDArray[np.float32]] | None = None,
) -> NDArray[np.float32]:
    """Returns (N,) probabilities; 0 for a pair with a blank side.

    Args:
        cosines: (N,).
        nearby: (N,), see `nearby_cosines`.
        sources: N texts.
        targets: as many.
        known: what `score_pair_texts` says of the normalised texts, where it is there.
    """
    columns = quality_columns(cosines, nearby, sources, targets, known)
    scores = load_pair_quality().model.score(columns)
    is_blank = np.fromiter(
        (
            not (source.strip() and target.strip())
            for source, target in zip(sources, targets, strict=True)
        ),
        np.bool_,
        len(sources),
    )
    return np.where(is_blank, np.float32(0), scores)


def quality_columns(
    cosines: NDArray[np.floating],
    nearby: NDArray[np.floating],
    sources: Sequence[str],
    targets: Sequence[str],
    known: dict[str, NDArray[np.float32]] | None = None,
) -> dict[str, NDArray[np.floating]]:
    """Returns (N,) columns, named by `QUALITY_FEATURES`; see `measure_quality`."""
    sides = [[normalize_text(text).text for text in texts] for texts in (sources, targets)]
    margins = np.clip(cosines / np.maximum(nearby, _MIN_NEARBY), -_MAX_MARGIN, _MAX_MARGIN)
    return {"cosine": cosines, "margin": margins, **pair_features(sides[0], sides[1], known)}


def nearby_cosines(
    vectors: tuple[NDArray[np.floating], NDArray[np.floating]],
    rows: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> NDArray[np.float64]:
    """Returns (P,) the cosine that the nearest lines of a sample of the other side have.

    b = mean over both sides of the mean cosine with the nearest 1/64 of 512 lines of the other
    side, the partner left out. So it means the same in a corpus of a thousand lines and of a
    million, which the cosine with the k nearest of all does not. With n < 512 lines it is drawn to
    0.3, as if 32 lines more were there at this distance.

    Args:
        vectors: distinct lines of each side, (U, D) and (W, D); lengths do not count.
        rows: (P,) of each side, the lines of the pairs; -1 where one is blank, which gives 0.3.
    """
    nearby = np.full(len(rows[0]), _PRIOR_COSINE)
    is_pair = (rows[0] >= 0) & (rows[1] >= 0)
    found = np.zeros(int(is_pair.sum()))
    for side, other in ((0, 1), (1, 0)):
        num_lines = len(vectors[other])
        sample = np.unique(np.linspace(0, num_lines - 1, min(num_lines, _NUM_SAMPLED)).astype(int))
        sampled = _unit(np.asarray(vectors[other][sample], np.float32)) if num_lines else None
        if sampled is None:
            continue
        found += _mean_nearest(
            vectors[side], rows[side][is_pair], sampled, sample, rows[other][is_pair]
        )
    nearby[is_pair] = found / 2
    return nearby


def _mean_nearest(
    vectors: NDArray[np.floating],
    rows: NDArray[np.int64],
    sampled: NDArray[np.float32],
    sample: NDArray[np.int64],
    partners: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Returns (P,) the mean cosine of lines with the nearest of a sample, partners left out."""
    num_nearest = max(1, round(len(sample) * _NEAREST_SHARE))
    means = np.full(len(rows), _PRIOR_COSINE)
    for start in range(0, len(rows), _CHUNK_ROWS):
        here = slice(start, start + _CHUNK_ROWS)
        cosines = _unit(np.asarray(vectors[rows[here]], np.float32)) @ sampled.T
        places = np.searchsorted(sample, partners[here])
        is_partner = sample[np.minimum(places, len(sample) - 1)] == partners[here]
        cosines[is_partner, places[is_partner]] = -np.inf
        nearest = np.partition(cosines, -num_nearest, axis=1)[:, -num_nearest:]
        counts = len(sample) - is_partner.astype(np.float64)
        sums = np.where(np.isfinite(nearest), nearest, 0).sum(axis=1, dtype=np.float64)
        mean = sums / np.maximum(np.isfinite(nearest).sum(axis=1), 1)
        means[here] = (counts * mean + _PRIOR_LINES * _PRIOR_COSINE) / (counts + _PRIOR_LINES)
    return means


def aligned_quality(
    sides: EmbeddedSides, cosines: NDArray[np.floating]
) -> Iterator[NDArray[np.float32]]:
    """Yields the quality of all lines of two aligned sides, some thousand at a time."""
    nearby = side_nearby_cosines(sides)
    for start in range(0, len(cosines), _CHUNK_ROWS):
        here = slice(start, start + _CHUNK_ROWS)
        texts = [
            _read_lines(side.lines, side.lines.distinct[here])
            for side in (sides.source, sides.target)
        ]
        yield measure_quality(cosines[here], nearby[here], texts[0], texts[1])


def _read_lines(lines: LineStore, numbers: NDArray[np.int64]) -> list[str]:
    """Returns lines by the number of the distinct one; a blank or unknown one is empty."""
    read = lines.read(number for number in numbers.tolist() if number >= 0)
    return [next(read) if number >= 0 else "" for number in numbers.tolist()]


def side_nearby_cosines(sides: EmbeddedSides) -> NDArray[np.float64]:
    """Returns (N,) `nearby_cosines` of two sides that are aligned line by line."""
    source, target = sides.source, sides.target
    return nearby_cosines(
        (source.vectors, target.vectors), (source.lines.distinct, target.lines.distinct)
    )


def warn_of_other_vectors(given: Iterable[Side], encoder: SentenceEncoder | None) -> None:
    """Logs that vectors, given or made now, are of another model than the score was learnt with."""
    hashes = [side.vectors.model_sha256 for side in given if side.vectors is not None]
    for model_sha256 in hashes if encoder is None else [encoder.hash_model()]:
        warn_of_other_encoder(model_sha256)


def warn_of_other_encoder(model_sha256: str | None) -> None:
    """Logs that a model is another one than the score was learnt with."""
    load_pair_quality().warn_of_other_encoder(model_sha256)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(norms, np.float32(1e-12))
    return unit
