import re

import pytest

from labse.errors import UsageError
from labse.evaluation.near_misses import NEGATION_LANGUAGES, NearMiss, build_near_misses


def made(sentences: list[str], lang: str, kind: str, per_kind: int = 1) -> list[str]:
    near_misses = build_near_misses(sentences, lang, per_kind=per_kind, seed=1)
    return [near_miss.text for near_miss in near_misses if near_miss.kind == kind]


@pytest.mark.parametrize(
    ("sentence", "pattern"),
    [("We saw 1984 birds.", r"We saw [1-9]\d{3} birds\."), ("রাত ৭টা", "রাত [১-৯]টা")],
)
def test_a_number_becomes_another_of_as_many_digits(sentence: str, pattern: str) -> None:
    (text,) = made([sentence], "eng", "number")
    assert re.fullmatch(pattern, text)
    assert text != sentence


def test_a_name_becomes_another_name_of_the_text() -> None:
    sentences = ["We met Anna here.", "Then he saw Peter.", "Nothing to swap."]
    assert made(sentences, "eng", "entity") == ["We met Peter here.", "Then he saw Anna."]
    assert made(["Wir sehen Hunde.", "Wir sehen Katzen."], "deu", "entity") == []  # Nouns.
    assert made(["We met Anna here."], "eng", "entity") == []  # No other name.


@pytest.mark.parametrize(
    ("lang", "sentence", "expected"),
    [
        ("en", "It is late.", "It is not late."),
        ("eng", "It is not late.", "It is late."),
        ("eng", "You can't go.", "You can go."),
        ("eng", "He always sings.", "He never sings."),
        ("deu", "Das ist gut.", "Das ist nicht gut."),
        ("deu", "Ich habe keine Zeit.", "Ich habe eine Zeit."),
        ("fra", "Ils sont là.", "Ils ne sont pas là."),
        ("fra", "Ils ne sont pas là.", "Ils sont là."),
        ("spa", "No sé si es tarde.", "No sé si no es tarde."),
        ("por", "Isto é bom.", "Isto não é bom."),
        ("ita", "La casa è bella.", "La casa non è bella."),
        ("nld", "Dit is niet goed.", "Dit is goed."),
        ("rus", "Он может петь.", "Он не может петь."),
    ],
)
def test_a_negation_goes_or_comes(lang: str, sentence: str, expected: str) -> None:
    assert made([sentence], lang, "negation", per_kind=3) == [expected]


def test_a_language_without_rules_has_its_numbers_swapped_only() -> None:
    found = build_near_misses(["ვნახე 12 Anna is"], "kat", per_kind=2, seed=1)
    assert {near_miss.kind for near_miss in found} == {"number"}
    assert "kat" not in NEGATION_LANGUAGES


def test_the_same_seed_makes_the_same_near_misses_and_none_is_the_sentence() -> None:
    sentences = [f"On day {n} he was in Rome, then in Paris." for n in range(30)]
    first, again = (build_near_misses(sentences, "eng", per_kind=3, seed=7) for _ in range(2))
    assert first == again
    assert all(near_miss.text != sentences[near_miss.index] for near_miss in first)
    assert isinstance(first[0], NearMiss)


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match="per_kind"):
        build_near_misses([], "eng", per_kind=0, seed=1)
    with pytest.raises(UsageError, match="unknown language"):
        build_near_misses([], "xx1", per_kind=1, seed=1)
