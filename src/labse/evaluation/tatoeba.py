"""Tatoeba: is the nearest sentence in the other language the translation?

Takes: an encoder and aligned sets. Gives: P@1 of each language in both directions, the means of the
paper's groups, and a report with the paper's numbers beside ours.
Source: Artetxe & Schwenk 2019 (arXiv 1812.10464); Feng et al. 2020 (arXiv 2007.01852).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from labse.corpus.languages import find_language
from labse.encoder.protocol import Encoder
from labse.errors import UsageError
from labse.evaluation.datasets import TATOEBA_GROUPS, TatoebaSet
from labse.evaluation.embedded import EmbeddedSentences, embed_distinct
from labse.evaluation.pictures import Bar
from labse.evaluation.report import TIES_NOTE, Report, Score, Table, build_signature, format_percent
from labse.evaluation.significance import Sample, build_sample
from labse.search.knn import mutual_neighbours

__all__ = [
    "PAPER_P_AT_1",
    "Direction",
    "IncompleteGroup",
    "MeanScore",
    "TatoebaReport",
    "TatoebaScore",
    "build_tatoeba_report",
    "evaluate_tatoeba",
    "language_name",
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

_GROUPS_NOTE = (
    "groups 14, 36, 82 and 112 are the paper's, by the number of their languages: means of P@1 "
    "over these languages, both directions, each language counting once"
)
_PAPER_COLUMNS = ("LaBSE", "LASER")


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
    langs: tuple[str, ...]


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
    memory_bytes: int | None = None,
) -> TatoebaReport:
    """Scores an encoder on Tatoeba sets; a sentence that stands in many sets is encoded once.

    The nearest sentence by cosine must have the number of the translation. Among equally near
    ones the first counts, so a later copy of a sentence is a miss, as in LASER's evaluation.

    Args:
        memory_bytes: bytes of vectors held at a time, see `embed_distinct`.

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

    # Each language counts the same; a group has a mean only when all its languages are there.
    scores = {sample.name: _mean_of_items(sample) for sample in samples}
    groups: list[MeanScore] = []
    incomplete: list[IncompleteGroup] = []
    for name, langs in TATOEBA_GROUPS.items():
        if missing := tuple(lang for lang in langs if lang not in scores):
            incomplete.append(IncompleteGroup(name, len(langs), missing))
        else:
            groups.append(_mean(name, [scores[lang] for lang in langs], encoder))
    langs_scored = tuple(scores.values())
    mean = _mean("mean", langs_scored, encoder)
    return TatoebaReport(langs_scored, mean, tuple(groups), tuple(incomplete), samples)


def measure_tatoeba(encoder: Encoder, sets: Sequence[TatoebaSet]) -> dict[str, float]:
    """Returns P@1 by name, as metrics of a run: `tatoeba_p_at_1` and that of each complete group.

    Raises:
        ValueError, LabseError: see `evaluate_tatoeba`.
    """
    report = evaluate_tatoeba(encoder, sets)
    groups = {f"tatoeba_{group.name}_p_at_1": group.p_at_1 for group in report.groups}
    return {"tatoeba_p_at_1": report.mean.p_at_1, **groups}


def tatoeba_signature(langs: Sequence[str], encoder: Encoder, direction: Direction = "both") -> str:
    """Returns the signature of a P@1; `langs` that are exactly a group go by its name."""
    names = {group: name for name, group in TATOEBA_GROUPS.items()}
    codes = tuple(sorted(langs))
    fields = {
        "data": "tatoeba",
        "langs": names.get(codes, "+".join(codes)),
        "dir": direction,
    }
    # The search compares cosines, whatever the encoder's norms.
    return build_signature("p_at_1", fields, encoder, norm="l2")


def _score_set(tatoeba_set: TatoebaSet, embedded: EmbeddedSentences) -> Sample:
    source = embedded.select(tatoeba_set.sentences)
    nearest = mutual_neighbours(source, embedded.select(tatoeba_set.english), k=1)
    gold = np.arange(len(source))
    hits = [found.neighbours[:, 0] == gold for found in (nearest.forward, nearest.backward)]
    return build_sample(tatoeba_set.lang, hits, (*tatoeba_set.sentences, *tatoeba_set.english))


def _mean_of_items(sample: Sample) -> TatoebaScore:
    to_english, from_english = sample.values.mean(axis=0, dtype=np.float64).tolist()
    return TatoebaScore(sample.name, len(sample.values), to_english, from_english)


def _mean(name: str, scores: Sequence[TatoebaScore], encoder: Encoder) -> MeanScore:
    return MeanScore(
        name=name,
        num_langs=len(scores),
        p_at_1=float(np.mean([score.p_at_1 for score in scores])),
        p_at_1_to_english=float(np.mean([score.p_at_1_to_english for score in scores])),
        p_at_1_from_english=float(np.mean([score.p_at_1_from_english for score in scores])),
        signature=tatoeba_signature([score.lang for score in scores], encoder),
        langs=tuple(score.lang for score in scores),
    )


# ---- for people ------------------------------------------------------------------------------


def build_tatoeba_report(report: TatoebaReport) -> Report:
    """Returns tables per language and group, in percent, and a JSON form with values from 0 to 1.

    The paper's number stands beside a group, because its protocol is the same: all sets of the
    group, each language counting once.
    """
    notes = [
        f"group {group.name} left out: {len(group.missing)} of its {group.num_langs} sets missing "
        f"({_shorten(group.missing)})"
        for group in report.incomplete_groups
    ]
    if report.groups:
        notes.append(_GROUPS_NOTE)
    if any(group.name == "82" for group in report.groups):
        notes.append("the paper reports group 82 without a list; by LASER's sets it has 83 members")
    means = (*report.groups, report.mean)
    return Report(
        data="tatoeba",
        metric="p_at_1",
        scores=tuple(
            Score(mean.name, "p_at_1", mean.p_at_1, mean.signature, mean.langs) for mean in means
        ),
        tables=(_language_table(report), _group_table(report)),
        samples=report.samples,
        bars=tuple(Bar(score.lang, score.lang, score.p_at_1) for score in report.langs),
        notes=(*notes, TIES_NOTE),
        details=_details(report),
    )


def language_name(lang: str) -> str | None:
    """Returns the English name of a language, None if the code is not known."""
    try:
        return find_language(lang).name
    except UsageError:
        return None


def _details(report: TatoebaReport) -> dict[str, object]:
    langs = [
        {
            "lang": score.lang,
            "name": language_name(score.lang),
            **asdict(score),
            "p_at_1": score.p_at_1,
        }
        for score in report.langs
    ]
    return {
        "mean": _mean_dict(report.mean),
        "groups": [
            {**_mean_dict(group), "paper": dict(PAPER_P_AT_1[group.name])}
            for group in report.groups
        ],
        "incomplete_groups": [asdict(group) for group in report.incomplete_groups],
        "langs": langs,
    }


def _mean_dict(mean: MeanScore) -> dict[str, object]:
    return {name: value for name, value in asdict(mean).items() if name != "langs"}


def _language_table(report: TatoebaReport) -> Table:
    rows = []
    for score in report.langs:
        values = (score.p_at_1_to_english, score.p_at_1_from_english, score.p_at_1)
        name = language_name(score.lang) or ""
        rows.append((score.lang, name, f"{score.num_pairs:,}", *map(format_percent, values)))
    return Table(
        title="Tatoeba, P@1 in percent",
        headers=("lang", "name", "pairs", "xx->en", "en->xx", "mean"),
        rows=tuple(rows),
        num_names=2,
    )


def _group_table(report: TatoebaReport) -> Table:
    rows = []
    for mean in report.groups:
        paper = PAPER_P_AT_1[mean.name]
        rows.append((*_mean_cells(mean), *(format_percent(paper[n]) for n in _PAPER_COLUMNS)))
    rows.append(("all given", *_mean_cells(report.mean)[1:], *("" for _ in _PAPER_COLUMNS)))
    return Table(
        title="Mean over languages",
        headers=("group", "langs", "xx->en", "en->xx", "mean", *_PAPER_COLUMNS),
        rows=tuple(rows),
    )


def _mean_cells(mean: MeanScore) -> tuple[str, ...]:
    values = (mean.p_at_1_to_english, mean.p_at_1_from_english, mean.p_at_1)
    return (mean.name, str(mean.num_langs), *map(format_percent, values))


def _shorten(codes: tuple[str, ...]) -> str:
    shown = " ".join(codes[:8])
    return shown if len(codes) <= 8 else f"{shown} and {len(codes) - 8} more"
