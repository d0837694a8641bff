import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.corpus.wikitext import extract_prose

pytest.importorskip("mwparserfromhell")


@pytest.mark.parametrize(
    ("markup", "prose"),
    [
        ("'''Bold''' and ''italic'' text.", "Bold and italic text.\n"),
        ("A [[link]], [[page|shown]] and [[:Category:x|c]].", "A link, shown and c.\n"),
        (
            "See [[Page#Part]] at [http://a.b the site] http://a.b/c or [http://a.b].",
            "See Page at the site or.\n",
        ),
        ("One.<ref>Source</ref> Two.<ref name=x/> Three.", "One. Two. Three.\n"),
        ("A{{tl|x|{{y}}}} town ({{lang|de|Stadt}}) here.", "A town here.\n"),
        ("== Heading ==\nText one.\n\nText two.", "Text one.\nText two.\n"),
        ("Text.\n* one\n** two\n# three\n: four\n; five : six\nMore.", "Text.\nMore.\n"),
        ("{| class=x\n|-\n| cell || cell\n|}\nAfter.", "After.\n"),
        ("<table><tr><td>x</td></tr></table>After.", "After.\n"),
        ("[[File:a.jpg|thumb|A [[caption]]]]Text [[Datei:b.png]].", "Text.\n"),
        ("[[Category:Towns]] [[de:Stadt]]Text.", "Text.\n"),
        ("A<!-- hidden --> B&nbsp;C &amp; D &lt;x&gt;", "A B C & D <x>\n"),
        ("H<sub>2</sub>O is<br/>water. <math>x^2</math>", "H2O is\nwater.\n"),
        ("<nowiki>[[x]]</nowiki> stays. __NOTOC__", "[[x]] stays.\n"),
        ("-{zh-hans:网络;zh-hant:網路}-很快。", "网络很快。\n"),
        ("{{Infobox\n| a = b\n| c = [[d]]\n}}\nText.", "Text.\n"),
        ("&#xD800; x", "x\n"),
        ("", ""),
        ("* only\n* a list", ""),
    ],
)
def test_prose_stays_and_the_rest_goes(markup: str, prose: str) -> None:
    assert extract_prose(markup, {"datei"}) == prose


@pytest.mark.parametrize(
    "markup",
    ["<div>" * 20_000, "[[" * 20_000, "{{" * 20_000, "''a '''b " * 20_000, "*#" * 20_000],
    ids=["tags", "links", "templates", "quotes", "lists"],
)
def test_markup_that_is_left_open_is_refused_at_once(markup: str) -> None:
    start = time.process_time()
    with pytest.raises(ValueError, match="left open too often"):
        extract_prose(markup + "text")
    assert time.process_time() - start < 5


def test_markup_that_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(ValueError, match="nested too deep"):
        extract_prose("{{{" * 2_000 + "x" + "}}}" * 2_000)


def test_a_paragraph_of_a_million_characters_stays_whole() -> None:
    assert extract_prose("word " * 200_000) == ("word " * 200_000).strip() + "\n"


@given(
    st.lists(
        st.sampled_from(
            [
                "[[",
                "]]",
                "{{",
                "}}",
                "{|",
                "|}",
                "|",
                "\n",
                "* ",
                "==",
                "''",
                "<ref>",
                "</ref>",
                "x ",
                "\x00",
                "&#x1;",
            ]
        ),
        max_size=30,
    )
)
@settings(deadline=None)
def test_broken_markup_never_crashes_and_every_line_has_text(pieces: list[str]) -> None:
    prose = extract_prose("".join(pieces))
    assert "\x00" not in prose
    assert all(line.strip() for line in prose.split("\n")[:-1])
    assert prose == "" or prose.endswith("\n")
