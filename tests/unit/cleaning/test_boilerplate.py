import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.cleaning import boilerplate
from labse.cleaning.boilerplate import boilerplate_shares, markup_shares
from labse.cleaning.characters import build_block


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("All rights reserved.", 0.9, 1),
        ("© 2020", 0.2, 0.4),
        ("Все права защищены", 1, 1),
        ("She had baked cookies for all of them.", 0, 0),
        ("Im Impressum der Firma steht eine Anschrift, die es nicht mehr gibt.", 0.1, 0.2),
        ("", 0, 0),
    ],
)  # fmt: skip
def test_stock_phrases_cover_so_much_of_a_text(text: str, least: float, most: float) -> None:
    shares = boilerplate_shares(["before", text, "after"]).tolist()
    assert least <= shares[1] <= most
    assert shares[0] == shares[2] == 0


PHRASES = st.sampled_from([phrase.decode() for phrase in boilerplate._NEEDLES])


@settings(deadline=None)
@given(st.lists(st.tuples(st.text("xyz ", max_size=9), PHRASES), min_size=1, max_size=5))
def test_every_phrase_is_found_wherever_it_stands(rows: list[tuple[str, str]]) -> None:
    texts = [before + phrase for before, phrase in rows]
    for (before, phrase), share in zip(rows, boilerplate_shares(texts).tolist(), strict=True):
        assert share >= len(phrase.encode()) / len((before + phrase).encode()) - 1e-6


@pytest.mark.parametrize(
    ("text", "num_covered"),
    [
        ("<b>bold</b>", 7),
        ("a &amp; b", 5),
        ("%d files of %(name)s", 10),
        ("$1 and ${HOME}", 9),
        ("see https://example.org/a?b=c now", 26 - 1),
        ("www.example.org", 15),
        ("5 < 6 and 7 > 6", 0),
        ("It costs 5 % more", 0),
        ("plain", 0),
    ],
)
def test_markup_covers_tags_placeholders_and_addresses(text: str, num_covered: int) -> None:
    (share,) = markup_shares([text], build_block([text])).tolist()
    assert share == pytest.approx(num_covered / len(text))
