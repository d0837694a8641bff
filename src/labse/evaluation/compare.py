"""Two reports of the same test data, side by side.

Takes: two `report.json` files, or the folders that hold them. Gives: for each score that both
have, the difference and its confidence interval.
Source: Koehn 2004 (W04-3250); Dror et al. 2018 (P18-1128), section 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from labse.errors import LabseError, UsageError
from labse.evaluation.report import Score, Table
from labse.evaluation.significance import (
    Difference,
    Sample,
    paired_bootstrap,
    sample_from_dict,
)
from labse.files.atomic import read_json

__all__ = ["Comparison", "SavedReport", "compare_reports", "comparison_table", "read_report"]


@dataclass(frozen=True, slots=True)
class SavedReport:
    """What of a report a comparison needs."""

    path: Path
    data: str
    scores: tuple[Score, ...]
    samples: Mapping[str, Sample]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One score of both systems; `better` is the path of the better one, None if undecided."""

    name: str
    metric: str
    num_samples: int
    num_items: int
    difference: Difference
    better: str | None
    signatures: tuple[str, str]

    def to_dict(self) -> dict[str, object]:
        """Returns a JSON object."""
        values = asdict(self)
        inner = values.pop("difference")
        return {**values, **inner, "difference": self.difference.difference}


def read_report(path: str | Path) -> SavedReport:
    """Reads the `report.json` of an evaluation, or the one in a folder.

    Raises:
        LabseError: there is none, or it holds no scores with samples.
    """
    path = Path(path)
    path = path / "report.json" if path.is_dir() else path
    value = read_json(path)
    samples = [sample_from_dict(sample, str(path)) for sample in _list(value, "samples", path)]
    try:
        scores = tuple(
            Score(
                name=str(score["name"]),
                metric=str(score["metric"]),
                value=float(score["value"]),
                signature=str(score["signature"]),
                samples=tuple(map(str, score["samples"])),
            )
            for score in _list(value, "scores", path)
            if isinstance(score, dict)
        )
    except (KeyError, TypeError, ValueError):
        raise LabseError(f"{path}: its scores are damaged; run the evaluation again") from None
    named = {sample.name: sample for sample in samples}
    if missing := {name for score in scores for name in score.samples} - named.keys():
        raise LabseError(f"{path}: the sample {min(missing)!r} is missing; evaluate again")
    return SavedReport(path, str(value.get("data")), scores, named)


def compare_reports(
    first: SavedReport,
    second: SavedReport,
    *,
    num_resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 1,
) -> list[Comparison]:
    """Compares every score that both reports have on the same items; the others are left out.

    Raises:
        UsageError: reports of different test data, or without a score in common.
        ValueError: an option out of range.
    """
    if first.data != second.data:
        raise UsageError(
            f"{first.path} is of {first.data}, {second.path} of {second.data}; "
            "evaluate both on the same data"
        )
    theirs = {(score.name, score.metric): score for score in second.scores}
    comparisons = []
    for ours in first.scores:
        other = theirs.get((ours.name, ours.metric))
        if other is None or ours.samples != other.samples or not ours.samples:
            continue
        samples = [first.samples[name] for name in ours.samples]
        other_samples = [second.samples[name] for name in other.samples]
        _check_items(samples, other_samples, first, second)
        difference = paired_bootstrap(
            samples,
            other_samples,
            num_resamples=num_resamples,
            level=level,
            generator=np.random.default_rng(seed),
        )
        comparisons.append(_compare(ours, other, samples, difference, (first.path, second.path)))
    if not comparisons:
        raise UsageError(
            f"{first.path} and {second.path} have no score of the same sets in common; "
            "evaluate both with the same options"
        )
    return comparisons


def comparison_table(
    comparisons: Sequence[Comparison], names: tuple[str, str], level: float
) -> Table:
    """Returns a table in percent; `names` are what A and B stand for."""
    rows = []
    for each in comparisons:
        found = each.difference
        values = (found.first, found.second, found.difference, found.low, found.high)
        shown = [f"{100 * value:.2f}" for value in values[:2]]
        shown += [f"{100 * value:+.2f}" for value in values[2:]]
        verdict = "undecided" if each.better is None else "AB"[names.index(each.better)]
        row = (each.name, each.metric, f"{each.num_items:,}", *shown[:3])
        rows.append((*row, f"{shown[3]} to {shown[4]}", verdict))
    return Table(
        title=f"A: {names[0]}\nB: {names[1]}",
        headers=("score", "metric", "items", "A", "B", "B - A", f"{level:.0%} interval", "better"),
        rows=tuple(rows),
        num_names=2,
    )


def _list(value: Mapping[str, object], key: str, path: Path) -> list[object]:
    found = value.get(key)
    if not isinstance(found, list) or not found:
        raise LabseError(
            f"{path}: holds no {key}; it is no report of this version of labse evaluate, "
            "so evaluate again with --out"
        )
    return found


def _check_items(
    samples: Sequence[Sample], others: Sequence[Sample], first: SavedReport, second: SavedReport
) -> None:
    for sample, other in zip(samples, others, strict=True):
        if sample.digest != other.digest or len(sample.values) != len(other.values):
            raise UsageError(
                f"{sample.name}: {first.path} and {second.path} are not of the same sentences; "
                "evaluate both on the same files"
            )


def _compare(
    ours: Score,
    other: Score,
    samples: Sequence[Sample],
    difference: Difference,
    paths: tuple[Path, Path],
) -> Comparison:
    is_second_better = (difference.difference > 0) != ours.metric.endswith("_error")
    better = str(paths[is_second_better]) if difference.is_significant else None
    return Comparison(
        name=ours.name,
        metric=ours.metric,
        num_samples=len(samples),
        num_items=sum(len(sample.values) for sample in samples),
        difference=difference,
        better=better,
        signatures=(ours.signature, other.signature),
    )
