"""Tatoeba: is the nearest sentence in the other language the translation?

Takes: an encoder and aligned sets. Gives: P@1 of each language in both directions, and the means.
Source: Artetxe & Schwenk 2019 (arXiv 1812.10464); Feng et al. 2020 (arXiv 2007.01852).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from labse.evaluation.datasets import TATOEBA_GROUPS, TatoebaSet
from labse.evaluation.embedded import EmbeddedSentences, embed_distinct
from labse.evaluation.protocol import Encoder, build_signature, describe_length
from labse.evaluation.samples import Sample, build_sample
from labse.search.knn import mutual_neighbours

__all__ = [
    "PAPER_P_AT_1",
    "Direction",
    "IncompleteGroup",
    "MeanScore",
    "TatoebaReport",
    "TatoebaScore",
    "evaluate_tatoeba",
    "measure_tatoeba",
    "tatoeba_signature",
]

Direction: TypeAlias = Literal["both", "xx-en", "en-xx"]

PAPER_P_AT_1: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "14": MappingProxyType({"LaBSE": 0.953, "LASER": 0.953, "m-USE": 0.939}),
        "36": MappingProxyType({"LaBSE": 0.950, "LASER": 0.844}),
        "82": MappingProxyType({"LaBSE": 0.873, "LASER": 0.759}),
        "112": MappingProxyType({"LaBSE": 0.837, "LASER": 0.655}),
    }
)
"""Means over each group, both directions, as Feng et al. 2020 report them."""


@dataclass(frozen=True, slots=True)
class TatoebaScore:
    """P@1 of one language, from 0 to 1."""

    lang: str
    num_pairs: int
    p_at_1_to_english: float
    p_at_1_from_english: float

    @property
    def p_at_1(self) -> float:
        """Mean of the two directions."""
        return (self.p_at_1_to_english + self.p_at_1_from_english) / 2


@dataclass(frozen=True, slots=True)
class MeanScore:
    """Mean over languages, each counting the same whatever its size."""

    name: str
    num_langs: int
    p_at_1: float
    p_at_1_to_english: float
    p_at_1_from_english: float
    signature: str
    langs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IncompleteGroup:
    """A group that has no score because some of its sets were not given."""

    name: str
    num_langs: int
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TatoebaReport:
    """Scores of the languages, their mean, and the means of the groups that are all there.

    `samples` has one of each language: to English and from English, 1 where the first is right.
    """

    langs: tuple[TatoebaScore, ...]
    mean: MeanScore
    groups: tuple[MeanScore, ...]
    incomplete_groups: tuple[IncompleteGroup, ...]
    samples: tuple[Sample, ...] = ()


def evaluate_tatoeba(
    encoder: Encoder,
    sets: Sequence[TatoebaSet],
    *,
    max_seq_length: int | None,
    memory_bytes: int | None = None,
) -> TatoebaReport:
    """Scores an encoder on Tatoeba sets; a sentence that stands in many sets is encoded once.

    The nearest sentence by cosine must have the number of the translation. Among equally near
    ones the first counts, so a later copy of a sentence is a miss, as in LASER's evaluation.

    Args:
        encoder: called with all distinct sentences, once unless memory is bounded.
        sets: of different languages, at least one.
        max_seq_length: where the encoder cuts, for the signature; None if it does not.
        memory_bytes: of vectors held at a time, see `embed_distinct`; None holds all.

    Raises:
        ValueError: no set, or two of the same language.
        LabseError: the encoder returned what is not one vector a sentence.
    """
    names = [tatoeba_set.lang for tatoeba_set in sets]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"expected sets of different languages, got {names}")
    sides = (side for each in sets for side in (each.sentences, each.english))
    embedded = embed_distinct(encoder, sides, memory_bytes=memory_bytes)
    samples = tuple(_score_set(tatoeba_set, embedded) for tatoeba_set in sets)
    scores = tuple(map(_mean_of_items, samples))
    return replace(_build_report(scores, max_seq_length), samples=samples)


def measure_tatoeba(encoder: Encoder, sets: Sequence[TatoebaSet]) -> dict[str, float]:
    """Returns P@1 by name, as metrics of a run: `tatoeba_p_at_1` and that of each complete group.

    Raises:
        ValueError, LabseError: see `evaluate_tatoeba`.
    """
    report = evaluate_tatoeba(encoder, sets, max_seq_length=None)
    groups = {f"tatoeba_{group.name}_p_at_1": group.p_at_1 for group in report.groups}
    return {"tatoeba_p_at_1": report.mean.p_at_1, **groups}


def tatoeba_signature(
    langs: Sequence[str], max_seq_length: int | None, direction: Direction = "both"
) -> str:
    """Returns the signature of a P@1; `langs` that are exactly a group go by its name."""
    names = {group: name for name, group in TATOEBA_GROUPS.items()}
    codes = tuple(sorted(langs))
    fields = {
        "data": "tatoeba",
        "langs": names.get(codes, "+".join(codes)),
        "dir": direction,
        "max_seq_length": describe_length(max_seq_length),
        "norm": "l2",  # The search compares cosines, whatever the encoder's norms.
    }
    return build_signature("p_at_1", fields)


def _score_set(tatoeba_set: TatoebaSet, embedded: EmbeddedSentences) -> Sample:
    source = embedded.select(tatoeba_set.sentences)
    nearest = mutual_neighbours(source, embedded.select(tatoeba_set.english), k=1)
    gold = np.arange(len(source))
    hits = [found.neighbours[:, 0] == gold for found in (nearest.forward, nearest.backward)]
    return build_sample(tatoeba_set.lang, hits, (*tatoeba_set.sentences, *tatoeba_set.english))


def _mean_of_items(sample: Sample) -> TatoebaScore:
    to_english, from_english = sample.values.mean(axis=0, dtype=np.float64).tolist()
    return TatoebaScore(sample.name, len(sample.values), to_english, from_english)


def _build_report(scores: tuple[TatoebaScore, ...], max_seq_length: int | None) -> TatoebaReport:
    by_lang = {score.lang: score for score in scores}
    groups: list[MeanScore] = []
    incomplete: list[IncompleteGroup] = []
    for name, langs in TATOEBA_GROUPS.items():
        if missing := tuple(lang for lang in langs if lang not in by_lang):
            incomplete.append(IncompleteGroup(name, len(langs), missing))
        else:
            groups.append(_mean(name, [by_lang[lang] for lang in langs], max_seq_length))
    return TatoebaReport(
        langs=scores,
        mean=_mean("mean", scores, max_seq_length),
        groups=tuple(groups),
        incomplete_groups=tuple(incomplete),
    )


def _mean(name: str, scores: Sequence[TatoebaScore], max_seq_length: int | None) -> MeanScore:
    return MeanScore(
        name=name,
        num_langs=len(scores),
        p_at_1=float(np.mean([score.p_at_1 for score in scores])),
        p_at_1_to_english=float(np.mean([score.p_at_1_to_english for score in scores])),
        p_at_1_from_english=float(np.mean([score.p_at_1_from_english for score in scores])),
        signature=tatoeba_signature([score.lang for score in scores], max_seq_length),
        langs=tuple(score.lang for score in scores),
    )
