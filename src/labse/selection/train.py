"""Learning a model of contrastive data selection: what `labse cds train` does, as one call.

Takes: trusted pairs, a pool, ratings if there are any. Gives: a folder for `labse filter --cds`.
Source: Wang et al. 2018 (arXiv 1809.00068); docs/quality.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from labse import __version__
from labse.corpus.inputs import hash_files
from labse.corpus.tables import open_table
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.source import EncoderSource, load_encoder
from labse.errors import LabseError
from labse.files.atomic import sha256_file
from labse.files.stage import open_stage
from labse.files.system import real_path
from labse.mining.logistic import LogisticModel, fit_logistic_model
from labse.mining.quality import measure_quality, nearby_cosines, warn_of_other_encoder
from labse.rating.labels import SKIP, choose_good
from labse.rating.ratings import read_rated_rows
from labse.runtime import OnProgress, resumable
from labse.selection.cds import KIND, QUALITY, WordProbabilities, join_inputs
from labse.selection.made_errors import make_errors
from labse.selection.ngrams import learn_bigrams
from labse.selection.translation_models import TranslationProbabilities
from labse.selection.word_model import learn_word_model
from labse.selection.words import Vocabulary

__all__ = ["CdsReport", "train_cds"]

Pair: TypeAlias = tuple[str, str]

_LEAST_PAIRS = 100
_HELD_OUT = 5  # Each fifth trusted pair joins the parts, and is unknown to the word models.
_LEAST_RATINGS = 100
_PENALTY = 30.0
# What was measured to gain (docs/experiments.md): with the word models' scores joined, AUC on
# ratings fell by 1 to 6 points, and trusted software strings dropped half of good talk.
_JOINED = (QUALITY,)
_WORDS_PART, _JOIN_PART = "words", "join"


@dataclass(frozen=True, slots=True)
class CdsReport:
    """What was learnt.

    Attributes:
        num_trusted: pairs, those that join the parts included.
        num_pool: pairs.
        num_joined: pairs that the joint score was learnt from.
        from_ratings: whether these are rated; else they are trusted ones and errors made of them.
        roc_auc: chance that a good pair of these has more than a bad one, by part and of all.
    """

    num_trusted: int
    num_pool: int
    num_joined: int
    from_ratings: bool
    roc_auc: dict[str, float]

    def to_dict(self) -> dict[str, object]:
        """Returns a JSON object."""
        return asdict(self)


def train_cds(
    trusted: str | Path,
    pool: str | Path,
    out: str | Path,
    *,
    ratings: str | Path | None = None,
    good: Sequence[str] | None = None,
    translation: tuple[str | Path, str | Path] | None = None,
    max_pairs: int = 20_000,
    seed: int = 1,
    encoder: EncoderSource = None,
    on_progress: OnProgress | None = None,
) -> CdsReport:
    """Learns word models of trusted pairs and of the pool, and a score that joins all parts.

    The same call goes on where it was stopped.

    Args:
        trusted: a table with the columns source and target: translations that are sure.
        pool: likewise: pairs as they will be filtered.
        out: the folder to make.
        ratings: what `labse rate` has written; without it, errors made of trusted pairs stand for
            bad ones.
        good: the labels that count as good; None is GOOD.
        translation: folders of two translation models, base and tuned on trusted pairs, see
            `labse.selection.translation_models`; their difference is `cds_forward` then.
        max_pairs: of trusted pairs and of the pool; of more a sample is taken.
        seed: of samples and errors.
        encoder: embeds the pairs that join the parts; None loads the model that comes with labse.
        on_progress: called with the parts done, of four.

    Raises:
        LabseError: broken data, or too little of it.
        UsageError: `out` holds something else, or was begun with other inputs.
        ResourceError: it cannot be written.
    """
    out = Path(out)
    if translation is not None:
        TranslationProbabilities(*translation)  # What is wrong is told before the work.
    files = [trusted, pool, *([] if ratings is None else [ratings])]
    key = {
        "labse version": __version__,
        "inputs": list(hash_files(files).values()),
        "--good": None if good is None else sorted(good),
        "translation": [sha256_file(Path(path) / "model.bin") for path in translation or ()],
        "--max-pairs": max_pairs,
        "--seed": seed,
    }
    tell = on_progress or (lambda _done, _total: None)
    with resumable(out), open_stage(out, key) as stage:
        if stage.manifest is not None:
            return _read_report(stage.manifest)
        # Read and sample; what is left for the join is unknown to the word models.
        generator = np.random.default_rng(seed)
        sampled = [
            _sample(_read_pairs(path), max_pairs, generator, path) for path in (trusted, pool)
        ]
        held_out = sampled[0][::_HELD_OUT]
        known = [pair for row, pair in enumerate(sampled[0]) if row % _HELD_OUT]
        tell(1, 4)

        if stage.result(_WORDS_PART) is None:
            _learn_words(known, sampled[1]).save(stage.folder)
            stage.add(_WORDS_PART, {})
        probabilities = WordProbabilities.load(stage.folder)
        tell(2, 4)

        # Join the parts, by ratings or by errors that are made.
        loaded = load_encoder(encoder)
        warn_of_other_encoder(loaded.hash_model())
        if ratings is not None:
            pairs, is_good = _read_rated(ratings, good)
        else:
            pairs, is_good = _with_errors(held_out, loaded, generator)
        inputs = _measure(pairs, probabilities, loaded)
        tell(3, 4)
        join = fit_logistic_model(
            {name: inputs[name] for name in _JOINED}, [is_good], penalty=_PENALTY
        )
        auc = {name: roc_auc(column, is_good) for name, column in inputs.items()}
        auc["cds"] = roc_auc(join.score(inputs), is_good)
        report = CdsReport(len(sampled[0]), len(sampled[1]), len(pairs), ratings is not None, auc)
        paths = [str(real_path(path)) for path in translation or ()]
        stage.finish(_manifest(report, join, loaded) | {"translation": paths})
        tell(4, 4)
        return report


def roc_auc(scores: NDArray[np.floating], is_good: NDArray[np.bool_]) -> float:
    """Returns the chance that a good row has more than a bad one; of equal scores, half."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    num_good, num_bad = int(is_good.sum()), int((~is_good).sum())
    total = float(ranks[places][is_good].sum())
    return (total - num_good * (num_good + 1) / 2) / (num_good * num_bad)


# ---- data ------------------------------------------------------------------------------------


def _read_pairs(path: str | Path) -> Iterable[Pair]:
    for _, (source, target) in open_table(path).read_rows(("source", "target")):
        if source.strip() and target.strip():
            yield source, target


def _sample(
    pairs: Iterable[Pair], max_pairs: int, generator: np.random.Generator, path: str | Path
) -> list[Pair]:
    """Returns distinct pairs in an order by chance; all are held, so give millions at most."""
    distinct = list(dict.fromkeys(pairs))
    if len(distinct) < _LEAST_PAIRS:
        raise LabseError(
            f"{path}: {len(distinct)} different pairs are too few to learn from; give "
            f"{_LEAST_PAIRS} or more"
        )
    return [distinct[row] for row in generator.permutation(len(distinct))[:max_pairs]]


def _read_rated(
    path: str | Path, good: Sequence[str] | None
) -> tuple[list[Pair], NDArray[np.bool_]]:
    rated = [*read_rated_rows(path)]
    rows = [(label, (row.source, row.target)) for row, label in rated if label != SKIP]
    if not all(source and target for _, (source, target) in rows):
        raise LabseError(f"{path}: rows without source and target; labse rate writes them")
    chosen = choose_good((label for label, _ in rows), good)
    is_good = np.array([label in chosen for label, _ in rows], np.bool_)
    if len(rows) < _LEAST_RATINGS:
        raise LabseError(f"{path}: {len(rows)} ratings; give {_LEAST_RATINGS} or more, or none")
    return [pair for _, pair in rows], is_good


def _with_errors(
    pairs: list[Pair], encoder: SentenceEncoder, generator: np.random.Generator
) -> tuple[list[Pair], NDArray[np.bool_]]:
    sources, targets = ([pair[side] for pair in pairs] for side in (0, 1))
    wrong, _ = make_errors(sources, targets, encoder.encode(targets), generator)
    both = [*pairs, *zip(sources, wrong, strict=True)]
    return both, np.arange(len(both)) < len(pairs)


# ---- parts -----------------------------------------------------------------------------------


def _learn_words(trusted: list[Pair], pool: list[Pair]) -> WordProbabilities:
    both = [*trusted, *pool]
    source, target = (Vocabulary.learn(pair[side] for pair in both) for side in (0, 1))
    numbered = [
        (source.number(s for s, _ in pairs), target.number(t for _, t in pairs))
        for pairs in (trusted, pool)
    ]
    sizes = len(source), len(target)
    first, second = (learn_word_model(*rows, sizes) for rows in numbered)
    sources = [learn_bigrams(rows[0], sizes[0]) for rows in numbered]
    targets = [learn_bigrams(rows[1], sizes[1]) for rows in numbered]
    return WordProbabilities(
        (source, target), (first, second), (sources[0], sources[1]), (targets[0], targets[1])
    )


def _measure(
    pairs: list[Pair], probabilities: WordProbabilities, encoder: SentenceEncoder
) -> dict[str, NDArray[np.floating]]:
    sources, targets = ([pair[side] for pair in pairs] for side in (0, 1))
    vectors = encoder.encode(sources), encoder.encode(targets)
    rows = np.arange(len(pairs))
    nearby = nearby_cosines(vectors, (rows, rows))
    quality = measure_quality(np.einsum("nd,nd->n", *vectors), nearby, sources, targets)
    return join_inputs(probabilities.score(sources, targets), quality)


def _manifest(
    report: CdsReport, join: LogisticModel, encoder: SentenceEncoder
) -> dict[str, object]:
    return {
        "kind": KIND,
        "labse_version": __version__,
        "model_sha256": encoder.hash_model(),
        "report": asdict(report),
        "join": join.to_json(),
    }


def _read_report(manifest: dict[str, object]) -> CdsReport:
    return CdsReport(**manifest["report"])  # type: ignore[arg-type]
