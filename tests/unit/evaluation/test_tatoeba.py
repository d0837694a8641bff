from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from labse.errors import LabseError
from labse.evaluation.datasets import TATOEBA_GROUPS, TatoebaSet
from labse.evaluation.tatoeba import PAPER_P_AT_1, evaluate_tatoeba


class WordEncoder:
    """`xx:3` is a vector of its own that only `3` shares: every language says the same."""

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
    report = evaluate_tatoeba(
        WordEncoder(), [build_set("deu", [0, 1, 2, 3], [0, 1, 2, 2])], max_seq_length=None
    )
    (score,) = report.langs
    assert (score.lang, score.num_pairs) == ("deu", 4)
    assert score.p_at_1_to_english == 0.75  # deu:2 finds the first en:2, its own.
    assert score.p_at_1_from_english == 0.75  # The second en:2 finds deu:2, not deu:3.
    assert score.p_at_1 == 0.75


def test_among_equally_near_sentences_the_first_counts() -> None:
    sets = [build_set("deu", [0, 0, 1], [0, 0, 1])]
    (score,) = evaluate_tatoeba(WordEncoder(), sets, max_seq_length=None).langs
    assert score.p_at_1_to_english == score.p_at_1_from_english == pytest.approx(2 / 3)


def test_each_distinct_sentence_is_encoded_once_in_one_call() -> None:
    encoder = WordEncoder()
    sets = [build_set("deu", [0, 1, 1]), build_set("fra", [1, 0])]
    evaluate_tatoeba(encoder, sets, max_seq_length=None)
    (call,) = encoder.calls
    assert sorted(call) == ["deu:0", "deu:1", "en:0", "en:1", "fra:0", "fra:1"]


def test_the_mean_counts_each_language_the_same_whatever_its_size() -> None:
    sets = [build_set("deu", range(10)), build_set("fra", [0, 1], [2, 3])]
    mean = evaluate_tatoeba(WordEncoder(), sets, max_seq_length=64).mean
    # fra:0 is as near to en:2 as to en:3, and the first is its own: one of two.
    assert (mean.p_at_1_to_english, mean.p_at_1_from_english) == (0.75, 0.75)
    assert mean.num_langs == 2
    assert "|langs:deu+fra|dir:both|max_seq_length:64|" in mean.signature


def test_a_group_has_a_score_only_when_all_its_sets_are_there() -> None:
    langs = list(TATOEBA_GROUPS["14"])
    whole = evaluate_tatoeba(
        WordEncoder(), [build_set(lang, [0, 1]) for lang in langs], max_seq_length=128
    )
    assert [(group.name, group.num_langs, group.p_at_1) for group in whole.groups] == [
        ("14", 14, 1.0)
    ]
    assert "|langs:14|" in whole.groups[0].signature
    assert [(group.name, group.num_langs) for group in whole.incomplete_groups] == [
        ("36", 36),
        ("82", 83),
        ("112", 112),
    ]

    part = evaluate_tatoeba(
        WordEncoder(), [build_set(lang, [0, 1]) for lang in langs[1:]], max_seq_length=128
    )
    assert part.groups == ()
    assert part.incomplete_groups[0].missing == ("ara",)


def test_all_112_languages_give_every_group() -> None:
    sets = [build_set(lang, [0]) for lang in TATOEBA_GROUPS["112"]]
    report = evaluate_tatoeba(WordEncoder(), sets, max_seq_length=None)
    assert [group.name for group in report.groups] == list(PAPER_P_AT_1)
    assert report.incomplete_groups == ()


def test_no_sets_or_the_same_language_twice_is_a_wrong_call() -> None:
    with pytest.raises(ValueError, match="different languages"):
        evaluate_tatoeba(WordEncoder(), [], max_seq_length=None)
    with pytest.raises(ValueError, match="different languages"):
        evaluate_tatoeba(WordEncoder(), [build_set("deu", [0])] * 2, max_seq_length=None)


def test_a_broken_encoder_is_reported_with_the_sentence() -> None:
    class BrokenEncoder:
        def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
            rows = np.ones((len(sentences), 3), dtype=np.float32)
            rows[1] = np.nan
            return rows

    with pytest.raises(LabseError, match="NaN or infinity for 'deu:1'"):
        evaluate_tatoeba(BrokenEncoder(), [build_set("deu", [0, 1])], max_seq_length=None)


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
    free = evaluate_tatoeba(WordEncoder(), sets, max_seq_length=None)
    encoder = WordEncoder()
    bounded = evaluate_tatoeba(encoder, sets, max_seq_length=None, memory_bytes=200_000)
    assert len(encoder.calls) > 2
    assert bounded.langs == free.langs
    assert 0 < free.mean.p_at_1 < 1
    assert (bounded.samples[0].values == free.samples[0].values).all()
