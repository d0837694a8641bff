from dataclasses import replace

import pytest

from labse.evaluation.bucc import BuccScore
from labse.evaluation.bucc_report import build_bucc_report
from labse.evaluation.report import report_dict
from labse.evaluation.samples import build_sample

SCORE = BuccScore(
    lang_pair="fr-en",
    split="training",
    retrieval="forward",
    similarity="cosine",
    tuning="oracle",
    threshold=0.7,
    precision=0.9,
    recall=0.8,
    f1=0.847,
    signature="bucc_f1|x:1",
    sample=build_sample("oracle", [[1], [1], [1]], ["a"], "f1"),
)


def test_the_paper_stands_beside_the_row_of_its_protocol_only() -> None:
    rows = [
        SCORE,
        replace(SCORE, tuning="folds"),
        replace(SCORE, similarity="ratio"),
        replace(SCORE, split="test"),
        replace(SCORE, lang_pair="xx-en"),
    ]
    report = build_bucc_report(rows, ["fr-en: 3 lines"])
    papers = [row["paper_f1"] for row in report_dict(report)["rows"]]  # type: ignore[index,union-attr]
    assert sorted(papers, key=str) == [0.887, None, None, None, None]
    assert sum(row[-1] == "88.7" for row in report.tables[0].rows) == 1
    assert report.notes[0] == "fr-en: 3 lines"


def test_a_row_says_who_asks_by_what_and_whose_threshold() -> None:
    (row,) = build_bucc_report([SCORE], []).tables[0].rows
    assert row[:5] == ("fr-en", "training", "source", "cosine", "oracle")
    assert row[5:] == ("0.700", "90.0", "80.0", "84.7", "88.7")
    (score,) = build_bucc_report([SCORE], []).scores
    assert score.samples == ("oracle",)
    assert score.value == pytest.approx(0.847)
