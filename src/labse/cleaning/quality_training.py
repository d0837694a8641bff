"""Training of the quality model, and a report on rows that it has not seen.

Takes: files of good and of bad texts. Gives: a `QualityModel` and precision and recall by language.
Source: docs/cleaning.md. Rows are split by a hash of their text: the order of files does not count,
and a text never stands on both sides.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse import __version__
from labse.cleaning.normalize import normalize_text
from labse.cleaning.quality import BUCKET_BITS, QualityModel, iter_buckets, save_quality_model
from labse.corpus.inputs import hash_files
from labse.corpus.languages import canonical_tag
from labse.corpus.records import UNKNOWN_LANG, Sentence
from labse.corpus.shards import expand_folders, iter_sentences
from labse.errors import LabseError
from labse.files.atomic import MANIFEST_NAME, check_writable, claim_folder, make_folder
from labse.runtime import require

__all__ = ["LanguageQuality", "QualityReport", "train_quality"]

_PENALTY = 30.0  # C of scikit-learn: the inverse strength of the L2 penalty.
_MAX_ITERATIONS = 300
_NUM_FOLDS = 10  # Fold 0 is held out for the report, fold 1 for the calibration.
_MIN_ROWS = 20  # Of each class in each part.
_BLOCK_TEXTS = 2000


@dataclass(frozen=True, slots=True)
class LanguageQuality:
    """What the model makes of held-out rows, called good from a probability of 0.5.

    Attributes:
        lang: a tag, or `all`.
        num_good: rows from the good files.
        num_bad: rows from the bad files.
        precision: the share of good ones among the rows called good; None if none was.
        recall: the share of the good ones that were called good; None without good rows.
        bad_recall: the share of the bad ones that were called bad; None without bad rows.
    """

    lang: str
    num_good: int
    num_bad: int
    precision: float | None
    recall: float | None
    bad_recall: float | None


@dataclass(frozen=True, slots=True)
class QualityReport:
    """Figures on the held-out rows.

    Attributes:
        languages: all, then by tag.
        roc_auc: the chance that a good row has more than a bad one.
        calibration_error: mean distance of probability and share of good in ten bins.
        num_rows: read, by what became of them.
    """

    languages: tuple[LanguageQuality, ...]
    roc_auc: float
    calibration_error: float
    num_rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Rows:
    texts: list[str]
    langs: list[str]
    is_good: NDArray[np.bool_]


def train_quality(
    good: Sequence[str | Path],
    bad: Sequence[str | Path],
    out: Path,
    *,
    lang: str | None = None,
    max_rows: int = 100_000,
) -> QualityReport:
    """Trains a model, writes it to `out` and returns the report that its manifest holds.

    Args:
        good: files of clean text, tables with `text`, or folders of shards.
        bad: files of noise in the same formats.
        out: the folder to make.
        lang: the language of texts and of tables without the column `lang`, for the report; None
            calls it `und`.
        max_rows: rows of each class at most, those with the smallest hashes.

    Raises:
        LabseError: broken data, or too few rows.
        UsageError: another process works in `out`.
        ResourceError: scikit-learn is missing, or `out` cannot be written.
    """
    lang = None if lang is None else canonical_tag(lang)
    make_folder(out)
    with claim_folder(out):
        check_writable(out / MANIFEST_NAME)
        # Read all rows; keep those of each class whose texts have the smallest hashes.
        files = {"good": expand_folders(good), "bad": expand_folders(bad)}
        hashes = {name: hash_files(paths) for name, paths in files.items()}
        num_rows: Counter[str] = Counter()
        sampled = {
            name: _sample(_read(paths, lang), max_rows, num_rows, name)
            for name, paths in files.items()
        }

        # Fit the weights, then the probability on rows that the fit has not seen.
        train, calibration, test = _split(sampled["good"], sampled["bad"], num_rows)
        weights = _fit(train)
        raw = QualityModel(weights, np.array([1.0, 0.0]))
        model = QualityModel(
            weights, _calibrate(raw.measure(calibration.texts), calibration.is_good)
        )

        # Report on rows that neither has seen.
        report = _report(model, test, dict(num_rows))
        save_quality_model(
            out,
            model,
            {"labse_version": __version__, "inputs": hashes, "max_rows": max_rows}
            | {"report": asdict(report)},
        )
        return report


# ---- rows ------------------------------------------------------------------------------------


def _read(files: Iterable[str | Path], lang: str | None) -> Iterator[Sentence]:
    for file in files:
        yield from iter_sentences(file, lang, default_lang=UNKNOWN_LANG)


def _sample(
    sentences: Iterable[Sentence], max_rows: int, num_rows: Counter[str], name: str
) -> dict[int, Sentence]:
    """Returns the normalised sentences with the smallest hashes, sorted by hash; repeats once."""
    digest = require("xxhash", "corpus").xxh3_64_intdigest
    smallest: list[tuple[int, str, str]] = []
    kept: set[int] = set()
    for sentence in sentences:
        num_rows[f"{name} read"] += 1
        text = normalize_text(sentence.text).text
        key = digest(text.encode())
        if not text or key in kept:
            num_rows[f"{name} {'repeated' if text else 'empty'}"] += 1
        elif len(smallest) < max_rows:
            heapq.heappush(smallest, (-key, text, sentence.lang))
            kept.add(key)
        elif -key > smallest[0][0]:
            kept.discard(-heapq.heapreplace(smallest, (-key, text, sentence.lang))[0])
            kept.add(key)
    return {-key: Sentence(text, lang) for key, text, lang in sorted(smallest, reverse=True)}


def _split(
    good: dict[int, Sentence], bad: dict[int, Sentence], num_rows: Counter[str]
) -> tuple[_Rows, _Rows, _Rows]:
    """Returns the rows to train on, to calibrate on and to report on."""
    shared = good.keys() & bad.keys()
    num_rows["both good and bad"] = len(shared)
    parts: list[list[tuple[Sentence, bool]]] = [[], [], []]
    for rows, is_good in ((good, True), (bad, False)):
        for key, sentence in rows.items():
            if key not in shared:
                fold = key % _NUM_FOLDS
                parts[{0: 2, 1: 1}.get(fold, 0)].append((sentence, is_good))
    for name, part in zip(("train", "calibrate", "test"), parts, strict=True):
        num_good = sum(is_good for _, is_good in part)
        num_rows[f"{name} good"], num_rows[f"{name} bad"] = num_good, len(part) - num_good
        if min(num_good, len(part) - num_good) < _MIN_ROWS:
            raise LabseError(
                f"{num_good} good and {len(part) - num_good} bad rows to {name} with; give files "
                f"with {10 * _MIN_ROWS * 2} different rows of each or more"
            )
    train, calibration, test = (
        _Rows([s.text for s, _ in part], [s.lang for s, _ in part], np.array([g for _, g in part]))
        for part in parts
    )
    return train, calibration, test


# ---- model -----------------------------------------------------------------------------------


def _fit(rows: _Rows) -> NDArray[np.float32]:
    """Returns the weights of a logistic regression without an intercept."""
    sparse = require("scipy.sparse", "corpus")
    linear = require("sklearn.linear_model", "corpus")
    blocks = []
    for start in range(0, len(rows.texts), _BLOCK_TEXTS):
        texts = rows.texts[start : start + _BLOCK_TEXTS]
        orders = list(iter_buckets(texts))
        totals = np.sum([order.counts for order in orders], axis=0)
        places = np.concatenate([np.repeat(np.arange(len(texts)), o.counts) for o in orders])
        buckets = np.concatenate([order.buckets for order in orders])
        values = (1 / np.sqrt(totals))[places].astype(np.float32)
        shape = (len(texts), 1 << BUCKET_BITS)
        blocks.append(sparse.coo_matrix((values, (places, buckets)), shape=shape).tocsr())
    regression = linear.LogisticRegression(
        C=_PENALTY, max_iter=_MAX_ITERATIONS, class_weight="balanced", fit_intercept=False
    )
    regression.fit(sparse.vstack(blocks), rows.is_good)
    return np.asarray(regression.coef_[0], np.float32)


def _calibrate(margins: NDArray[np.float64], is_good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns scale and offset of Platt's sigmoid, for classes that are equally frequent."""
    linear = require("sklearn.linear_model", "corpus")
    sigmoid = linear.LogisticRegression(C=1e6, class_weight="balanced")
    sigmoid.fit(margins[:, None], is_good)
    return np.array([sigmoid.coef_[0, 0], sigmoid.intercept_[0]], np.float64)


# ---- report ----------------------------------------------------------------------------------


def _report(model: QualityModel, rows: _Rows, num_rows: dict[str, int]) -> QualityReport:
    probs = model.score(rows.texts)
    langs = np.array(rows.langs)
    languages = [_measure("all", probs, rows.is_good)]
    for lang in sorted(set(rows.langs)):
        is_lang = langs == lang
        languages.append(_measure(lang, probs[is_lang], rows.is_good[is_lang]))
    metrics = require("sklearn.metrics", "corpus")
    auc = float(metrics.roc_auc_score(rows.is_good, probs))
    return QualityReport(tuple(languages), auc, _calibration_error(probs, rows.is_good), num_rows)


def _measure(lang: str, probs: NDArray[np.float32], is_good: NDArray[np.bool_]) -> LanguageQuality:
    called = probs >= 0.5
    num_good, num_bad = int(is_good.sum()), int((~is_good).sum())
    num_right = int((called & is_good).sum())
    return LanguageQuality(
        lang,
        num_good,
        num_bad,
        num_right / int(called.sum()) if called.any() else None,
        num_right / num_good if num_good else None,
        int((~called & ~is_good).sum()) / num_bad if num_bad else None,
    )


def _calibration_error(probs: NDArray[np.float32], is_good: NDArray[np.bool_]) -> float:
    """Returns the mean over rows, both classes weighing the same, of |prob - share| in its bin."""
    weights = np.where(is_good, 0.5 / is_good.sum(), 0.5 / (~is_good).sum())
    bins = np.minimum((probs * 10).astype(np.int64), 9)
    totals = np.bincount(bins, weights, 10)
    gaps = np.bincount(bins, weights * probs, 10) - np.bincount(bins, weights * is_good, 10)
    return float(np.abs(gaps).sum() / totals.sum())
