from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labse.evaluation.datasets import TATOEBA_GROUPS, TatoebaSet
from labse.evaluation.report import report_dict
from labse.evaluation.tatoeba import (
    IncompleteGroup,
    MeanScore,
    TatoebaReport,
    TatoebaScore,
    evaluate_tatoeba,
)
from labse.evaluation.tatoeba_report import build_tatoeba_report, language_name


def build_scores() -> TatoebaReport:
    return TatoebaReport(
        langs=(TatoebaScore("deu", 1000, 0.905, 0.915), TatoebaScore("zz9", 2, 0.5, 1.0)),
        mean=MeanScore("mean", 2, 0.83, 0.7025, 0.9575, "p_at_1|langs:deu+zz9"),
        groups=(MeanScore("14", 14, 0.9411, 0.94, 0.9422, "p_at_1|langs:14"),),
        incomplete_groups=(IncompleteGroup("112", 112, TATOEBA_GROUPS["112"][:9]),),
    )


def cells(scores: TatoebaReport, first: str) -> tuple[str, ...]:
    tables = build_tatoeba_report(scores).tables
    (row,) = [row for table in tables for row in table.rows if row[0] == first]
    return row


def test_the_table_shows_each_language_in_percent() -> None:
    scores = build_scores()
    assert cells(scores, "deu") == ("deu", "German", "1,000", "90.5", "91.5", "91.0")
    assert cells(scores, "zz9") == ("zz9", "", "2", "50.0", "100.0", "75.0")
    assert language_name("zz9") is None


def test_groups_stand_beside_the_numbers_of_the_paper() -> None:
    scores = build_scores()
    assert cells(scores, "14") == ("14", "14", "94.0", "94.2", "94.1", "95.3", "95.3")
    assert cells(scores, "all given")[1:5] == ("2", "70.2", "95.8", "83.0")


def test_every_mean_has_its_signature_and_every_missing_group_its_reason() -> None:
    report = build_tatoeba_report(build_scores())
    signatures = [score.signature for score in report.scores]
    assert signatures == ["p_at_1|langs:14", "p_at_1|langs:deu+zz9"]
    assert "group 112 left out: 9 of its 112 sets missing" in report.notes[0]
    assert "and 1 more" in report.notes[0]
    assert "the first of the file counts" in report.notes[-1]


def test_the_json_form_keeps_its_keys() -> None:
    value = report_dict(build_tatoeba_report(build_scores()))
    assert value["langs"][0] == {  # type: ignore[index]
        "lang": "deu",
        "name": "German",
        "num_pairs": 1000,
        "p_at_1_to_english": 0.905,
        "p_at_1_from_english": 0.915,
        "p_at_1": 0.91,
    }
    assert value["groups"][0]["paper"] == {  # type: ignore[index]
        "LaBSE": 0.953,
        "LASER": 0.953,
        "m-USE": 0.939,
    }
    assert value["incomplete_groups"][0]["num_langs"] == 112  # type: ignore[index]
    assert value["mean"]["signature"] == "p_at_1|langs:deu+zz9"  # type: ignore[index]


def test_a_group_is_compared_by_the_samples_of_its_languages() -> None:
    class OneMeaning:
        def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
            return np.ones((len(sentences), 3), np.float32)

    sets = [TatoebaSet(lang, ("a", "b"), ("c", "d")) for lang in TATOEBA_GROUPS["112"]]
    report = build_tatoeba_report(evaluate_tatoeba(OneMeaning(), sets, max_seq_length=None))
    groups = {score.name: score.samples for score in report.scores}
    assert groups["14"] == TATOEBA_GROUPS["14"]
    assert groups["mean"] == TATOEBA_GROUPS["112"]
    assert [score.value for score in report.scores] == [0.5] * 5
    assert any("83 members" in note for note in report.notes)
