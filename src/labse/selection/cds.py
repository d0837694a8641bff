"""Contrastive data selection: a pair is good if a model of trusted pairs likes it better.

Takes: pairs with their cosines. Gives: columns of scores, and one that joins them.
Source: Wang et al. 2018 (arXiv 1809.00068). Of a model that was tuned on trusted pairs and the one
before,

    cds(x, y) = (log P(y | x; trusted) - log P(y | x; base)) / |y|

Here P is of IBM model 1, learnt from trusted pairs and from the pool. Beside it stand dual
conditional cross-entropy (Junczys-Dowmunt 2018, W18-6478) of the trusted model, here with a minus,

    |H(y | x) - H(x | y)| + (H(y | x) + H(x | y)) / 2

and the cross-entropy difference of each side (Moore and Lewis 2010).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from labse.errors import LabseError
from labse.files.atomic import MANIFEST_NAME, read_json, sha256_file
from labse.mining.logistic import LogisticModel
from labse.mining.quality import load_pair_quality, quality_columns
from labse.selection.ngrams import BigramModel, bigram_log_probs
from labse.selection.translation_models import TranslationProbabilities
from labse.selection.word_model import WordModel, log_probs
from labse.selection.words import Vocabulary

__all__ = [
    "KIND",
    "PARTS",
    "QUALITY",
    "CdsModel",
    "CdsScorer",
    "PairProbabilities",
    "WordProbabilities",
    "join_inputs",
    "load_cds",
]

KIND = "cds"
PARTS = (
    "cds_forward",
    "cds_backward",
    "word_gain",
    "dual_cross_entropy",
    "moore_lewis_source",
    "moore_lewis_target",
)
"""The columns beside `cds`."""

QUALITY = "quality_log_odds"
"""The shipped quality score among the inputs of the joint one."""

_WORDS = "words.safetensors"
_PLACES = ("trusted", "pool")
_MOST_ODDS = 8.0


class PairProbabilities(Protocol):
    """What knows how probable a side is, given the other: word models or translation models."""

    def score(
        self, sources: Sequence[str], targets: Sequence[str]
    ) -> dict[str, NDArray[np.float64]]:
        """Returns (N,) columns, named by `PARTS`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class WordProbabilities:
    """Word models and language models of trusted pairs and of the pool.

    Attributes:
        vocabularies: of source and target.
        words: IBM model 1, trusted and pool.
        sources: bigrams of the sources, trusted and pool.
        targets: likewise.
    """

    vocabularies: tuple[Vocabulary, Vocabulary]
    words: tuple[WordModel, WordModel]
    sources: tuple[BigramModel, BigramModel]
    targets: tuple[BigramModel, BigramModel]

    def score(
        self, sources: Sequence[str], targets: Sequence[str]
    ) -> dict[str, NDArray[np.float64]]:
        """Returns (N,) columns, named by `PARTS`."""
        source = self.vocabularies[0].number(sources)
        target = self.vocabularies[1].number(targets)
        clean, noisy = log_probs([*self.words], source, target)
        differences = [
            bigram_log_probs(trusted, side) - bigram_log_probs(pool, side)
            for (trusted, pool), side in ((self.sources, source), (self.targets, target))
        ]
        return {
            "cds_forward": clean.forward - noisy.forward,
            "cds_backward": clean.backward - noisy.backward,
            "word_gain": clean.gain,
            "dual_cross_entropy": (clean.forward + clean.backward) / 2
            - np.abs(clean.forward - clean.backward),
            "moore_lewis_source": differences[0],
            "moore_lewis_target": differences[1],
        }

    def save(self, folder: Path) -> None:
        """Writes words and arrays into a folder."""
        arrays = {}
        for name, models in self._models().items():
            for place, model in zip(_PLACES, models, strict=True):
                for field in fields(model):
                    arrays[f"{name}.{place}.{field.name}"] = getattr(model, field.name)
        save_file(arrays, folder / _WORDS)
        for side, vocabulary in zip(("source", "target"), self.vocabularies, strict=True):
            text = "".join(f"{word}\n" for word in vocabulary.words)
            (folder / f"{side}.words.txt").write_text(text, encoding="utf-8", newline="\n")

    @classmethod
    def load(cls, folder: Path) -> "WordProbabilities":
        """Reads back what `save` wrote.

        Raises:
            LabseError: a file is missing or damaged.
        """
        try:
            arrays = load_file(folder / _WORDS)
            vocabularies = [
                Vocabulary((folder / f"{side}.words.txt").read_text("utf-8").split("\n")[:-1])
                for side in ("source", "target")
            ]
            words, sources, targets = (
                tuple(_from_arrays(kind, arrays, f"{name}.{place}") for place in _PLACES)
                for name, kind in (
                    ("words", WordModel),
                    ("sources", BigramModel),
                    ("targets", BigramModel),
                )
            )
        except (OSError, KeyError, ValueError) as error:
            raise LabseError(f"{folder}: a damaged model of labse cds train ({error})") from None
        return cls((vocabularies[0], vocabularies[1]), words, sources, targets)  # type: ignore[arg-type]

    def _models(self) -> dict[str, tuple[WordModel | BigramModel, WordModel | BigramModel]]:
        return {"words": self.words, "sources": self.sources, "targets": self.targets}


@dataclass(frozen=True, slots=True, eq=False)
class CdsModel:
    """What `labse cds train` makes.

    Attributes:
        probabilities: of word models; each of their scores is a column.
        join: gives `cds`, the chance that a pair is good.
        translation: two translation models, whose `cds_forward` takes the place of the words'.
    """

    probabilities: PairProbabilities
    join: LogisticModel
    translation: PairProbabilities | None = None

    def score(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        cosines: NDArray[np.floating],
        nearby: NDArray[np.floating],
        known: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Returns (N,) columns: `cds`, the chance that a pair is good, and `PARTS`.

        Args:
            sources: N texts.
            targets: as many.
            cosines: (N,) of their vectors.
            nearby: (N,), see `labse.mining.quality.nearby_cosines`.
            known: what `score_pair_texts` says of the normalised texts, where it is there.
        """
        if known is not None and "quality" in known:
            return self.add_columns(sources, targets, known["quality"])
        columns = quality_columns(
            cosines, nearby, sources, targets, None if known is None else dict(known)
        )
        return self.add_columns(sources, targets, load_pair_quality().model.score(columns))

    def add_columns(
        self, sources: Sequence[str], targets: Sequence[str], quality: NDArray[np.floating]
    ) -> dict[str, NDArray[np.float32]]:
        """Returns the columns of `score`, given (N,) the quality scores of the pairs."""
        parts = self.probabilities.score(sources, targets)
        if self.translation is not None:
            parts |= self.translation.score(sources, targets)
        inputs = join_inputs(parts, quality)
        columns = {"cds": self.join.score({name: inputs[name] for name in self.join.names})}
        return columns | {name: column.astype(np.float32) for name, column in parts.items()}


class CdsScorer:
    """A folder of `labse cds train` as what adds columns to pairs whose quality is known."""

    def __init__(self, folder: str | Path) -> None:
        """Loads the folder; see `load_cds` for the errors."""
        self._model = load_cds(folder)
        self._sha256 = sha256_file(Path(folder) / MANIFEST_NAME)

    def __repr__(self) -> str:
        """Returns what identifies the model, wherever it lies."""
        return f"CdsScorer({self._sha256})"

    def __call__(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        scores: Mapping[str, NDArray[np.float32]],
    ) -> dict[str, NDArray[np.float32]]:
        """Returns (N,) columns: `cds` and `PARTS`."""
        return self._model.add_columns(sources, targets, scores["quality"])


def _from_arrays(
    kind: type[WordModel] | type[BigramModel], arrays: Mapping[str, NDArray[Any]], prefix: str
) -> WordModel | BigramModel:
    return kind(**{field.name: arrays[f"{prefix}.{field.name}"] for field in fields(kind)})


def join_inputs(
    parts: Mapping[str, NDArray[np.floating]], quality: NDArray[np.floating]
) -> dict[str, NDArray[np.floating]]:
    """Returns the parts, and the log odds of the quality score that comes with labse."""
    probs = quality.astype(np.float64)
    odds = np.log(np.maximum(probs, 1e-9) / np.maximum(1 - probs, 1e-9))
    return {**parts, QUALITY: np.clip(odds, -_MOST_ODDS, _MOST_ODDS)}


def load_cds(folder: str | Path) -> CdsModel:
    """Loads a folder of `labse cds train`.

    Raises:
        LabseError: it is none, or damaged.
    """
    folder = Path(folder)
    manifest = read_json(folder / MANIFEST_NAME)
    if manifest.get("kind") != KIND or not isinstance(manifest.get("join"), dict):
        raise LabseError(f"{folder}: not a folder of labse cds train")
    join = LogisticModel.from_json(manifest["join"])  # type: ignore[arg-type]
    translation = None
    if paths := manifest.get("translation"):
        base, tuned = map(str, paths)  # type: ignore[call-overload]
        translation = TranslationProbabilities(base, tuned)
    return CdsModel(WordProbabilities.load(folder), join, translation)
