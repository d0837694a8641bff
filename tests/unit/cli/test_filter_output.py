import json
from pathlib import Path

import pytest

from labse.cli.filter_output import FilterReport, ScoredPair, decide, show_report
from labse.mining.filter import Bounds, PairScores


def pair(number: int, cosine: float, length_ratio: float) -> ScoredPair:
    scores = PairScores(False, cosine, None, length_ratio, 0.0, True, True, None)
    return ScoredPair(number, f"source {number}", f"target {number}", scores)


PAIRS = [pair(1, 0.9, 1.0), pair(2, 0.1, 1.0), pair(3, 0.1, 9.0), pair(4, 0.9, 9.0)]
BOUNDS = Bounds(min_cosine=0.5, max_length_ratio=2)


def test_pairs_are_kept_or_written_with_their_reasons(tmp_path: Path) -> None:
    report = FilterReport()
    kept = list(decide(PAIRS, BOUNDS, report, tmp_path / "no.jsonl"))
    assert [pair.number for pair in kept] == [1]
    rejects = [json.loads(line) for line in (tmp_path / "no.jsonl").read_text().splitlines()]
    assert [(row["line"], row["reasons"]) for row in rejects] == [
        (2, ["min_cosine"]),
        (3, ["min_cosine", "max_length_ratio"]),
        (4, ["max_length_ratio"]),
    ]
    assert rejects[0]["source"] == "source 2"


def test_the_report_counts_each_bound_with_and_without_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = FilterReport()
    assert len(list(decide(PAIRS, BOUNDS, report, None))) == 1
    show_report(report, as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "read": 4,
        "kept": 1,
        "dropped": 3,
        "broken": {"min_cosine": 2, "max_length_ratio": 2},
        "only": {"min_cosine": 1, "max_length_ratio": 1},
    }
    show_report(report, as_json=False)
    assert "max_length_ratio" in capsys.readouterr().out
