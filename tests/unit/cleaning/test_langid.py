import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.cleaning.langid import LanguageGuess, identify_languages, is_known_language, is_same

pytest.importorskip("pycld2")
pytest.importorskip("py3langid")


def test_the_language_is_that_of_both_identifiers() -> None:
    sentences = {
        "eng": "The children were playing in the garden behind the house.",
        "deu": "Die Kinder spielten im Garten hinter dem Haus.",
        "rus": "Вчера вечером дети играли в саду за домом, потому что было ещё тепло.",
        "tha": "เด็ก ๆ กำลังเล่นอยู่ในสวนหลังบ้าน",
        "zho": "孩子们在房子后面的花园里玩耍。",
        "amh": "ልጆቹ ከቤቱ ጀርባ ባለው የአትክልት ስፍራ ውስጥ ይጫወቱ ነበር።",
    }
    found = identify_languages(list(sentences.values()))
    assert [guess.lang for guess in found] == list(sentences)


def test_und_is_the_answer_where_there_is_no_language() -> None:
    assert [guess.lang for guess in identify_languages(["", "12 + 3", "%s", "zx"])] == ["und"] * 4


@pytest.mark.parametrize("noise", ["\x00", "\x9f", "\ud800", "\ufdd0", "\U0010ffff", "\x0b"])
def test_characters_that_pycld2_refuses_do_not_matter(noise: str) -> None:
    text = f"Die Kinder spielten{noise} im Garten hinter dem Haus."
    assert identify_languages([text])[0].cld2_lang == "deu"


def test_a_line_of_a_million_characters_has_the_language_of_its_start() -> None:
    (guess,) = identify_languages(["Die Kinder spielten im Garten. " * 40_000])
    assert guess.lang == "deu"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=())), max_size=4))
def test_every_text_has_a_guess(texts: list[str]) -> None:
    guesses = identify_languages(texts)
    assert len(guesses) == len(texts)
    assert all(isinstance(guess, LanguageGuess) for guess in guesses)


def test_languages_that_look_alike_are_the_same_and_und_is_none() -> None:
    assert is_same("srp-Latn", "hrv")
    assert is_same("nob", "dan")
    assert not is_same("deu", "nld")
    assert not is_same("und", "deu")


def test_only_languages_of_both_identifiers_are_known() -> None:
    assert is_known_language("deu")
    assert is_known_language("zho-Hant")
    assert not is_known_language("mai")  # Taken for Hindi or Nepali.
    assert not is_known_language("und")
    assert is_known_language("srp-Latn")
    assert not is_known_language("bel-Latn")  # Taken for Polish.
    assert not is_known_language("haw")  # pycld2 alone has it.
