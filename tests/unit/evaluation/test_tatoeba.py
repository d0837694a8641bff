from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from labse.errors import LabseError
from labse.evaluation.datasets import TATOEBA_GROUPS, TatoebaSet
from labse.evaluation.report import report_dict
from labse.evaluation.tatoeba import (
    PAPER_P_AT_1,
    IncompleteGroup,
    MeanScore,
    TatoebaReport,
    TatoebaScore,
    build_tatoeba_report,
    evaluate_tatoeba,
    language_name,
)


class WordEncoder:
    """`xx:3` is a vector of its own that only `3` shares: every language says the same."""

    max_seq_length = 64

    def __init__(self, size: int = 64) -> None:
        self.size = size
        self.calls: list[list[str]] = []

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        self.calls.append(list(sentences))
        meanings = [int(sentence.rpartition(":")[2]) for sentence in sentences]
        return 5 * np.eye(self.size, dtype=np.float32)[meanings]


def build_set(
    lang: str, meanings: Sequence[int], english: Sequence[int] | None = None
) -> TatoebaSet:
    english = meanings if english is None else english
    return TatoebaSet(
        lang, tuple(f"{lang}:{n}" for n in meanings), tuple(f"en:{n}" for n in english)
    )


def test_p_at_1_of_each_direction_by_hand() -> None:
    # Sentences mean 0 1 2 3, their English 0 1 2 2: deu:3 finds nothing alike, en:2 comes twice.
    report = evaluate_tatoeba(WordEncoder(), [build_set("deu", [0, 1, 2, 3], [0, 1, 2, 2])])
    (score,) = report.langs
    assert (score.lang, score.num_pairs) == ("deu", 4)
    assert score.p_at_1_to_english == 0.75  # deu:2 finds the first en:2, its own.
    assert score.p_at_1_from_english == 0.75  # The second en:2 finds deu:2, not deu:3.
    assert score.p_at_1 == 0.75


def test_among_equally_near_sentences_the_first_counts() -> None:
    sets = [build_set("deu", [0, 0, 1], [0, 0, 1])]
    (score,) = evaluate_tatoeba(WordEncoder(), sets).langs
    assert score.p_at_1_to_english == score.p_at_1_from_english == pytest.approx(2 / 3)


def test_each_distinct_sentence_is_encoded_once_in_one_call() -> None:
    encoder = WordEncoder()
    sets = [build_set("deu", [0, 1, 1]), build_set("fra", [1, 0])]
    evaluate_tatoeba(encoder, sets)
    (call,) = encoder.calls
    assert sorted(call) == ["deu:0", "deu:1", "en:0", "en:1", "fra:0", "fra:1"]


def test_the_mean_counts_each_language_the_same_whatever_its_size() -> None:
    sets = [build_set("deu", range(10)), build_set("fra", [0, 1], [2, 3])]
    mean = evaluate_tatoeba(WordEncoder(), sets).mean
    # fra:0 is as near to en:2 as to en:3, and the first is its own: one of two.
    assert (mean.p_at_1_to_english, mean.p_at_1_from_english) == (0.75, 0.75)
    assert mean.num_langs == 2
    assert "|langs:deu+fra|dir:both|max_seq_length:64|" in mean.signature


def test_a_group_has_a_score_only_when_all_its_sets_are_there() -> None:
    langs = list(TATOEBA_GROUPS["14"])
    whole = evaluate_tatoeba(WordEncoder(), [build_set(lang, [0, 1]) for lang in langs])
    assert [(group.name, group.num_langs, group.p_at_1) for group in whole.groups] == [
        ("14", 14, 1.0)
    ]
    assert "|langs:14|" in whole.groups[0].signature
    assert [(group.name, group.num_langs) for group in whole.incomplete_groups] == [
        ("36", 36),
        ("82", 83),
        ("112", 112),
    ]

    part = evaluate_tatoeba(WordEncoder(), [build_set(lang, [0, 1]) for lang in langs[1:]])
    assert part.groups == ()
    assert part.incomplete_groups[0].missing == ("ara",)


def test_all_112_languages_give_every_group() -> None:
    sets = [build_set(lang, [0]) for lang in TATOEBA_GROUPS["112"]]
    report = evaluate_tatoeba(WordEncoder(), sets)
    assert [group.name for group in report.groups] == list(PAPER_P_AT_1)
    assert report.incomplete_groups == ()


def test_no_sets_or_the_same_language_twice_is_a_wrong_call() -> None:
    with pytest.raises(ValueError, match="different languages"):
        evaluate_tatoeba(WordEncoder(), [])
    with pytest.raises(ValueError, match="different languages"):
        evaluate_tatoeba(WordEncoder(), [build_set("deu", [0])] * 2)


def test_a_broken_encoder_is_reported_with_the_sentence() -> None:
    class BrokenEncoder:
        def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
            rows = np.ones((len(sentences), 3), dtype=np.float32)
            rows[1] = np.nan
            return rows

    with pytest.raises(LabseError, match="NaN or infinity for 'deu:1'"):
        evaluate_tatoeba(BrokenEncoder(), [build_set("deu", [0, 1])])


def test_scores_are_the_same_when_the_vectors_do_not_fit_into_memory() -> None:
    generator = np.random.default_rng(0)
    english = generator.integers(60, size=3000)
    german = np.where(generator.random(3000) < 0.7, english, generator.integers(60, size=3000))
    sets = [
        TatoebaSet(
            "deu",
            tuple(f"{row}:{n}" for row, n in enumerate(german.tolist())),
            tuple(f"e{row}:{n}" for row, n in enumerate(english.tolist())),
        )
    ]
    free = evaluate_tatoeba(WordEncoder(), sets)
    encoder = WordEncoder()
    bounded = evaluate_tatoeba(encoder, sets, memory_bytes=200_000)
    assert len(encoder.calls) > 2
    assert bounded.langs == free.langs
    assert 0 < free.mean.p_at_1 < 1
    assert (bounded.samples[0].values == free.samples[0].values).all()


def build_scores() -> TatoebaReport:
    return TatoebaReport(
        langs=(TatoebaScore("deu", 1000, 0.905, 0.915), TatoebaScore("zz9", 2, 0.5, 1.0)),
        mean=MeanScore("mean", 2, 0.83, 0.7025, 0.9575, "p_at_1|langs:deu+zz9", ("deu", "zz9")),
        groups=(MeanScore("14", 14, 0.9411, 0.94, 0.9422, "p_at_1|langs:14", ()),),
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
    report = build_tatoeba_report(evaluate_tatoeba(OneMeaning(), sets))
    groups = {score.name: score.samples for score in report.scores}
    assert groups["14"] == TATOEBA_GROUPS["14"]
    assert groups["mean"] == TATOEBA_GROUPS["112"]
    assert [score.value for score in report.scores] == [0.5] * 5
    assert any("83 members" in note for note in report.notes)
