from dataclasses import replace

import numpy as np
import pytest

from labse.encoder.protocol import Encoder
from labse.evaluation.bucc import (
    BuccScore,
    Candidates,
    best_threshold,
    build_bucc_report,
    evaluate_bucc,
    find_candidates,
)
from labse.evaluation.bucc_files import BuccSplit
from labse.evaluation.report import report_dict
from labse.evaluation.significance import build_sample, score_samples


def build_split(name: str = "training") -> BuccSplit:
    """Three pairs of cosine 1, 0.995 and 0.894; three false friends of about 0.8; noise."""
    source = ["de:0", "de:1", "de:2+20*0.5", "de:3+21*0.75", "de:4+22*0.75", "de:5", "de:6"]
    target = ["en:0", "en:1+20*0.1", "en:2", "en:3", "en:4", "en:15", "en:16"]
    return BuccSplit(
        "de-en",
        name,
        tuple(source),
        tuple(target),
        frozenset({(0, 0), (1, 1), (2, 2)}),
        (len(source), len(target)),
    )


def find(
    scores: list[BuccScore], retrieval: str, similarity: str, split: str, tuning: str
) -> BuccScore:
    (score,) = [
        score
        for score in scores
        if (score.retrieval, score.similarity, score.split, score.tuning)
        == (retrieval, similarity, split, tuning)
    ]
    return score


def build_candidates(scores: list[float], is_gold: list[bool], num_gold: int) -> Candidates:
    rows = np.arange(len(scores))
    return Candidates(
        num_queries=max(len(scores), num_gold),
        source=rows,
        target=rows,
        queries=rows,
        scores=np.array(scores, np.float32),
        is_gold=np.array(is_gold),
        gold_queries=np.arange(num_gold),
    )


def test_the_threshold_lies_half_way_below_the_best_cut() -> None:
    # F1 after 1, 2, 3, 4 candidates with 3 gold pairs: 0.5, 0.8, 0.67, 0.86.
    candidates = build_candidates([0.9, 0.8, 0.5, 0.4], [True, True, False, True], 3)
    assert best_threshold(candidates) == pytest.approx(0.4)
    candidates = build_candidates([0.9, 0.8, 0.5, 0.4], [True, True, False, False], 3)
    assert best_threshold(candidates) == pytest.approx(0.65)


def test_candidates_of_equal_score_are_taken_together() -> None:
    candidates = build_candidates([0.9, 0.9, 0.9, 0.1], [True, False, False, False], 1)
    assert best_threshold(candidates) == pytest.approx(0.5)


def test_without_a_right_candidate_nothing_is_taken() -> None:
    assert best_threshold(build_candidates([0.9], [False], 1)) == float("inf")


def test_every_row_of_a_known_answer(encoder: Encoder) -> None:
    scores = evaluate_bucc(encoder, build_split(), build_split("test"), block_rows=2)
    assert len(scores) == 3 * 2 * 3  # Ways to ask, similarities, tunings.
    for retrieval in ("forward", "backward", "intersect"):
        tuned = find(scores, retrieval, "cosine", "test", "training")
        assert (tuned.precision, tuned.recall, tuned.f1) == (1.0, 1.0, 1.0)
        assert 0.8 < tuned.threshold < 0.9
        assert score_samples([tuned.sample]) == tuned.f1
    assert tuned.signature.startswith(
        "bucc_f1|data:bucc|lang_pair:de-en|split:test|retrieval:intersect|similarity:cosine|"
        "threshold:training|max_seq_length:16|norm:l2|v:"
    )
    margin = find(scores, "forward", "ratio", "test", "oracle")
    assert "|similarity:ratio-k4|threshold:oracle|" in margin.signature


def test_a_threshold_of_other_data_is_not_the_oracles(encoder: Encoder) -> None:
    # In this test split the false friends are translations: the threshold of training misses them.
    split = build_split("test")
    test = BuccSplit(
        "de-en", "test", split.source, split.target, split.gold | {(3, 3), (4, 4)}, split.num_lines
    )
    scores = evaluate_bucc(encoder, build_split(), test)
    tuned = find(scores, "forward", "cosine", "test", "training")
    assert (tuned.precision, tuned.recall) == (1.0, 0.6)
    assert tuned.f1 == pytest.approx(2 * 3 / (3 + 5))
    assert find(scores, "forward", "cosine", "test", "oracle").f1 == 1.0


def test_without_a_test_split_halves_tune_each_other(encoder: Encoder) -> None:
    scores = evaluate_bucc(encoder, build_split(), None)
    assert {score.tuning for score in scores} == {"folds", "oracle"}
    folds = find(scores, "forward", "cosine", "training", "folds")
    # Even rows 0, 2 learn from row 1 (0.995): 0 alone is above. Row 1 learns from rows 0 and 2.
    assert folds.recall == pytest.approx(2 / 3)
    assert folds.f1 <= find(scores, "forward", "cosine", "training", "oracle").f1


def test_forward_asks_for_each_source_and_backward_for_each_target(encoder: Encoder) -> None:
    # Both sources mean 0: forward both find the target, backward it finds the first.
    split = BuccSplit("de-en", "training", ("a:0", "b:0"), ("c:0",), frozenset({(0, 0)}), (2, 1))
    found = find_candidates(encoder, split)
    assert found["forward", "cosine"].source.tolist() == [0, 1]
    assert found["backward", "cosine"].source.tolist() == [0]
    assert found["intersect", "cosine"].source.tolist() == [0]
    assert found["backward", "ratio"].gold_queries.tolist() == [0]


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
