"""Reports for people and for programs.

Takes: a report of scores. Gives: rich tables in percent, or a JSON object with values from 0 to 1.
Source: Feng et al. 2020 (arXiv 2007.01852), for the numbers beside ours.
"""

from dataclasses import asdict
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from labse.corpus.languages import find_language
from labse.errors import UsageError
from labse.evaluation.tatoeba import PAPER_P_AT_1, MeanScore, TatoebaReport
from labse.files import write_json

__all__ = ["render_report", "report_dict", "write_report"]

_PAPER_COLUMNS = ("LaBSE", "LASER")


def report_dict(report: TatoebaReport) -> dict[str, object]:
    """Returns the report as a JSON object; P@1 from 0 to 1."""
    langs = [
        {
            "lang": score.lang,
            "name": _language_name(score.lang),
            "num_pairs": score.num_pairs,
            "p_at_1_to_english": score.p_at_1_to_english,
            "p_at_1_from_english": score.p_at_1_from_english,
            "p_at_1": score.p_at_1,
        }
        for score in report.langs
    ]
    return {
        "data": "tatoeba",
        "metric": "p_at_1",
        "mean": asdict(report.mean),
        "groups": [
            {**asdict(group), "paper": dict(PAPER_P_AT_1[group.name])} for group in report.groups
        ],
        "incomplete_groups": [
            {"name": group.name, "num_langs": group.num_langs, "missing": list(group.missing)}
            for group in report.incomplete_groups
        ],
        "langs": langs,
    }


def write_report(path: str | Path, report: TatoebaReport) -> None:
    """Writes `report_dict` as JSON, atomically."""
    write_json(path, report_dict(report))


def render_report(report: TatoebaReport) -> Group:
    """Returns what a console shows: the languages, then the groups beside the paper's numbers."""
    notes = [
        f"group {group.name} left out: {len(group.missing)} of its {group.num_langs} sets missing "
        f"({_shorten(group.missing)})"
        for group in report.incomplete_groups
    ]
    lines = [*(mean.signature for mean in (*report.groups, report.mean)), *notes]
    return Group(
        _language_table(report), _group_table(report), Text("\n".join(dict.fromkeys(lines)))
    )


def _language_table(report: TatoebaReport) -> Table:
    table = Table(title="Tatoeba, P@1 in percent")
    for header in ("lang", "name"):
        table.add_column(header)
    for header in ("pairs", "xx->en", "en->xx", "mean"):
        table.add_column(header, justify="right")
    for score in report.langs:
        values = (score.p_at_1_to_english, score.p_at_1_from_english, score.p_at_1)
        name = _language_name(score.lang) or ""
        table.add_row(score.lang, name, f"{score.num_pairs:,}", *map(_percent, values))
    return table


def _group_table(report: TatoebaReport) -> Table:
    table = Table(title="Mean over languages")
    table.add_column("group")
    for header in ("langs", "xx->en", "en->xx", "mean", *_PAPER_COLUMNS):
        table.add_column(header, justify="right")
    for mean in report.groups:
        paper = PAPER_P_AT_1[mean.name]
        table.add_row(*_mean_cells(mean), *(_percent(paper[name]) for name in _PAPER_COLUMNS))
    table.add_row("all given", *_mean_cells(report.mean)[1:], *("" for _ in _PAPER_COLUMNS))
    return table


def _mean_cells(mean: MeanScore) -> list[str]:
    values = (mean.p_at_1_to_english, mean.p_at_1_from_english, mean.p_at_1)
    return [mean.name, str(mean.num_langs), *map(_percent, values)]


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _language_name(lang: str) -> str | None:
    try:
        return find_language(lang).name
    except UsageError:
        return None


def _shorten(codes: tuple[str, ...]) -> str:
    shown = " ".join(codes[:8])
    return shown if len(codes) <= 8 else f"{shown} and {len(codes) - 8} more"
