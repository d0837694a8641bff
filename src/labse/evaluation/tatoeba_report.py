"""Tatoeba for people: languages, groups, and the paper's numbers beside ours.

Takes: the scores of `evaluate_tatoeba`. Gives: a report to show, write and compare.
Source: Feng et al. 2020 (arXiv 2007.01852), the means per group.
"""

from dataclasses import asdict

from labse.corpus.languages import find_language
from labse.errors import UsageError
from labse.evaluation.pictures import Bar
from labse.evaluation.report import Report, Score, Table, format_percent
from labse.evaluation.tatoeba import PAPER_P_AT_1, MeanScore, TatoebaReport

__all__ = ["build_tatoeba_report", "language_name"]

_PAPER_COLUMNS = ("LaBSE", "LASER")
_TIES = (
    "among equally near sentences the first of the file counts, so a later copy of a repeated "
    "sentence is a miss"
)


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
    if any(group.name == "82" for group in report.groups):
        notes.append("the paper reports group 82 without a list; by LASER's sets it has 83 members")
    means = (*report.groups, report.mean)
    return Report(
        data="tatoeba",
        metric="p_at_1",
        scores=tuple(_score(mean, report) for mean in means),
        tables=(_language_table(report), _group_table(report)),
        samples=report.samples,
        bars=tuple(Bar(score.lang, score.lang, score.p_at_1) for score in report.langs),
        notes=(*notes, _TIES),
        details=_details(report),
    )


def language_name(lang: str) -> str | None:
    """Returns the English name of a language, None if the code is not known."""
    try:
        return find_language(lang).name
    except UsageError:
        return None


def _score(mean: MeanScore, report: TatoebaReport) -> Score:
    langs = tuple(mean.langs) or tuple(score.lang for score in report.langs)
    return Score(mean.name, "p_at_1", mean.p_at_1, mean.signature, langs)


def _details(report: TatoebaReport) -> dict[str, object]:
    langs = [
        {
            "lang": score.lang,
            "name": language_name(score.lang),
            "num_pairs": score.num_pairs,
            "p_at_1_to_english": score.p_at_1_to_english,
            "p_at_1_from_english": score.p_at_1_from_english,
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
        "incomplete_groups": [
            {"name": group.name, "num_langs": group.num_langs, "missing": list(group.missing)}
            for group in report.incomplete_groups
        ],
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
