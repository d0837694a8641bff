import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labse.evaluation.report import Report, Score, write_report
from labse.evaluation.significance import build_sample

Run = Callable[..., Any]


def save(folder: Path, name: str, hits: list[int], scores: tuple[str, ...] = ("mean",)) -> Path:
    sample = build_sample("deu", [hits], map(str, range(len(hits))))
    rows = tuple(Score(score, "p_at_1", 0.5, f"p_at_1|of:{score}", ("deu",)) for score in scores)
    write_report(folder / f"{name}.json", Report("toy", "p_at_1", rows, (), (sample,)))
    return folder / f"{name}.json"


@pytest.fixture
def reports(tmp_path: Path) -> tuple[Path, Path]:
    first = save(tmp_path, "a", [0] * 50 + [1] * 50, ("mean", "14"))
    return first, save(tmp_path, "b", [0] * 10 + [1] * 90)


def test_the_better_system_is_named_with_an_interval(run: Run, reports: tuple[Path, Path]) -> None:
    ran = run("compare", *reports, "--resamples", 500)
    assert ran.code == 0
    assert "+40.00" in ran.out
    assert "95% interval" in ran.out
    assert "1 scores of" in ran.err


def test_json_holds_the_interval_and_both_signatures(run: Run, reports: tuple[Path, Path]) -> None:
    ran = run("compare", *reports, "--resamples", 500, "--level", 0.9, "--json")
    value = json.loads(ran.out)
    (score,) = value["scores"]
    assert (value["level"], value["resamples"], value["seed"]) == (0.9, 500, 1)
    assert score["difference"] == pytest.approx(0.4)
    assert 0 < score["low"] < score["difference"] < score["high"]
    assert score["signatures"] == ["p_at_1|of:mean", "p_at_1|of:mean"]


def test_what_is_no_report_is_bad_data(
    run: Run, tmp_path: Path, reports: tuple[Path, Path]
) -> None:
    ran = run("compare", reports[0], tmp_path / "absent.json")
    assert ran.code == 3
    assert "absent.json: no such file" in ran.err
