"""What a score was computed from, item by item; and is one system better, or was it chance?

Takes: the outcome of each test item, of one system or of two. Gives: the score of any selection of
the items, a form that fits in a JSON file (one bit for an outcome of 0 or 1), and the difference of
two systems with its confidence interval by paired bootstrap.
Source: Koehn 2004 (W04-3250), section 4; Efron & Tibshirani 1993, An Introduction to the Bootstrap,
chapters 6 (items are the units) and 13 (percentile interval).
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labse.errors import LabseError

__all__ = [
    "Difference",
    "Sample",
    "Statistic",
    "build_sample",
    "digest_texts",
    "paired_bootstrap",
    "sample_from_dict",
    "score_samples",
    "spearman",
]

Statistic: TypeAlias = Literal["mean", "f1", "spearman"]
_FORMS = {"bits": "u1", "bytes": "u1", "float32": "<f4"}
_COLUMNS: Mapping[Statistic, int | None] = {"mean": None, "f1": 3, "spearman": 2}
_CHUNK_RESAMPLES = 250  # Bounds memory: weights of 250 x 10^5 items are 200 MB.


# ---- samples ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The outcomes of one test set, in the order of its items.

    Attributes:
        name: name of the set, such as `deu`.
        statistic: how `values` become a score. "mean" averages all columns; "f1" has the columns
            right, found and gold, counts of each item; "spearman" has a similarity and a judgement.
        values: (N, C) float32, C outcomes of each of N items.
        digest: hash of the text of the items; only samples with the same one can be compared.
    """

    name: str
    statistic: Statistic
    values: NDArray[np.float32]
    digest: str

    def __post_init__(self) -> None:
        """Refuses a shape that the statistic does not have."""
        columns = _COLUMNS[self.statistic]
        if self.values.ndim != 2 or columns not in (None, self.values.shape[1]):
            raise ValueError(f"{self.name}: {self.statistic} of values {self.values.shape}")

    def to_dict(self) -> dict[str, object]:
        """Returns a JSON object; `sample_from_dict` reads it back."""
        if np.isin(self.values, (0, 1)).all():
            form, encoded = "bits", np.packbits(self.values.astype(np.bool_)).tobytes()
        elif np.isin(self.values, range(256)).all():
            form, encoded = "bytes", self.values.astype(np.uint8).tobytes()
        else:
            form, encoded = "float32", self.values.astype("<f4").tobytes()
        return {
            "name": self.name,
            "statistic": self.statistic,
            "shape": list(self.values.shape),
            "digest": self.digest,
            "form": form,
            "values": base64.b64encode(encoded).decode(),
        }


def build_sample(
    name: str, columns: Sequence[ArrayLike], texts: Iterable[str], statistic: Statistic = "mean"
) -> Sample:
    """Joins columns of N outcomes each; `texts` are what the items consist of, in their order."""
    values = np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1)
    return Sample(name, statistic, values, digest_texts(texts))


def sample_from_dict(value: object, where: str) -> Sample:
    """Reads what `Sample.to_dict` made; `where` names the file in messages.

    Raises:
        LabseError: something else stands there.
    """
    try:
        if not isinstance(value, dict):
            raise TypeError
        rows, columns = (int(number) for number in value["shape"])
        encoded = base64.b64decode(value["values"], validate=True)
        values = np.frombuffer(encoded, _FORMS[value["form"]])
        if value["form"] == "bits":
            values = np.unpackbits(values, count=rows * columns)
        name, statistic, digest = (value[key] for key in ("name", "statistic", "digest"))
        outcomes = values.astype(np.float32).reshape(rows, columns)
        return Sample(str(name), statistic, outcomes, str(digest))
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise LabseError(
            f"{where}: its samples are damaged; run the evaluation again with --out"
        ) from None


def digest_texts(texts: Iterable[str]) -> str:
    """Returns 16 hexadecimal digits that stand for these texts in this order."""
    digest = hashlib.blake2b(digest_size=8)
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


# ---- paired bootstrap ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """Score of the second system minus that of the first, with its confidence interval."""

    first: float
    second: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.second - self.first

    @property
    def is_significant(self) -> bool:
        """The interval leaves out zero."""
        return self.low > 0 or self.high < 0


def paired_bootstrap(
    first: Sequence[Sample],
    second: Sequence[Sample],
    *,
    num_resamples: int,
    level: float,
    generator: np.random.Generator,
) -> Difference:
    """Compares the mean score over samples (languages), each counting the same.

    Every resample draws, within each sample, as many items as it has, with replacement; the
    same items for both systems.

    Args:
        first: samples of one system.
        second: samples of the other, on the same items in the same order.
        num_resamples: number of resamples; 1,000 settle the second digit of an interval, 10,000
            the third.
        level: level of the interval, such as 0.95.

    Raises:
        ValueError: samples that do not pair, or options out of range.
    """
    if not first or [s.digest for s in first] != [s.digest for s in second]:
        raise ValueError("the samples of the two systems are not of the same items")
    if num_resamples < 1 or not 0 < level < 1:
        raise ValueError(f"num_resamples is {num_resamples}, level is {level}")

    differences = np.zeros(num_resamples)
    for ours, theirs in zip(first, second, strict=True):
        differences += _resample_difference(ours, theirs, num_resamples, generator) / len(first)
    tail = (1 - level) / 2
    low, high = np.quantile(differences, (tail, 1 - tail))
    return Difference(score_samples(first), score_samples(second), float(low), float(high))


def score_samples(samples: Sequence[Sample]) -> float:
    """Returns the mean score of samples, each counting the same."""
    scores = []
    for sample in samples:
        once = np.ones((1, len(sample.values)), dtype=np.int64)
        scores.append(_STATISTICS[sample.statistic](sample.values, once)[0])
    return float(np.mean(scores))


def spearman(similarities: NDArray[np.floating], judgements: NDArray[np.floating]) -> float:
    """Returns the rank correlation of two rows of N numbers, equal ones sharing their mean rank.

    Zero if either is constant: an order that says nothing.
    """
    ranks = [_rank(np.asarray(row)) for row in (similarities, judgements)]
    deviations = [row - row.mean() for row in ranks]
    norm = np.sqrt((deviations[0] ** 2).sum() * (deviations[1] ** 2).sum())
    return float(deviations[0] @ deviations[1] / norm) if norm > 0 else 0.0


def _resample_difference(
    first: Sample, second: Sample, num_resamples: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Draws how often each distinct outcome comes, which is far less than drawing items."""
    width = first.values.shape[1]
    joint = np.concatenate([first.values, second.values], axis=1)
    rows, counts = np.unique(joint, axis=0, return_counts=True)
    statistic = _STATISTICS[first.statistic]
    chunks = []
    for start in range(0, num_resamples, _CHUNK_RESAMPLES):
        size = min(_CHUNK_RESAMPLES, num_resamples - start)
        drawn = generator.multinomial(len(joint), counts / len(joint), size=size)
        chunks.append(statistic(rows[:, width:], drawn) - statistic(rows[:, :width], drawn))
    return np.concatenate(chunks)


def _mean(values: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N, C) values and (R, N) counts -> (R,) scores; likewise below."""
    sums: NDArray[np.float64] = counts @ values.astype(np.float64).mean(axis=1)
    means: NDArray[np.float64] = sums / counts.sum(axis=1)
    return means


def _f1(values: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    right, found, gold = (counts @ values.astype(np.float64)).T
    total = found + gold
    f1: NDArray[np.float64] = np.zeros_like(total)
    np.divide(2 * right, total, out=f1, where=total > 0)
    return f1


def _spearman(values: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    scores = []
    for times in counts:
        drawn = np.repeat(values, times, axis=0)
        scores.append(spearman(drawn[:, 0], drawn[:, 1]))
    return np.array(scores)


def _rank(row: NDArray[np.floating]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(row, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_ranks: NDArray[np.float64] = last - (counts - 1) / 2
    return mean_ranks[inverse]


_STATISTICS: dict[
    Statistic, Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.float64]]
] = {"mean": _mean, "f1": _f1, "spearman": _spearman}
