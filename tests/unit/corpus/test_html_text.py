import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.corpus.html_text import extract_main_text

pytest.importorskip("resiliparse")
TEXT = "Über die Wiesen führt ein langer Weg, den kaum noch jemand geht, seit es die Straße gibt."
BODY = f"<main><p>{TEXT}</p><p>{TEXT}</p></main>"


def test_menus_footers_and_scripts_are_not_the_main_text() -> None:
    page = extract_main_text(
        f"<html lang=pt_BR><body><nav><ul><li><a href=/>Menu</a></ul></nav>{BODY}"
        "<script>var x = '<p>script</p>'</script><footer>Impressum</footer></body>".encode()
    )
    assert page.text.split("\n") == [TEXT, "", TEXT, ""]
    assert (page.declared_lang, page.problem) == ("pt_BR", None)


@pytest.mark.parametrize(
    ("payload", "charset"),
    [
        (BODY.encode(), None),
        (BODY.encode("utf-8-sig"), "latin-1"),
        (BODY.encode("utf-16"), "utf-8"),
        (BODY.encode("latin-1"), "ISO-8859-1"),
        (b"<meta charset=iso-8859-1>" + BODY.encode("latin-1"), None),
        (BODY.encode(), "utf8"),
        (BODY.encode(), "no such charset"),
    ],
)
def test_the_encoding_is_found(payload: bytes, charset: str | None) -> None:
    assert TEXT in extract_main_text(payload, charset=charset).text


def test_bytes_of_no_encoding_become_replacement_characters() -> None:
    page = extract_main_text(BODY.encode().replace(b"kaum", b"k\xffum"), charset="utf-8")
    assert "k\ufffdum" in page.text


def test_a_page_without_text_says_so() -> None:
    for payload in (b"", b"<html>", b"\x00" * 50, b"<script>x</script>"):
        assert extract_main_text(payload).problem == "no main text"


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ("<div>" * 50_000 + BODY, "nested deeper than 1,000"),
        ("<DIV><span>" * 50_000 + BODY, "nested deeper than 1,000"),
        ("".join(f"<b id={n}>" for n in range(900)) + "<p>x" * 20_000, "formatting left open"),
        ("<div " + " ".join(f"a{n}=1" for n in range(40_000)) + ">x</div>", "2,000 attributes"),
        ("<div x='>' " + " ".join(f"a{n}" for n in range(40_000)) + ">x</div>", "2,000 attributes"),
    ],
)
def test_what_would_take_minutes_is_refused_at_once(html: str, problem: str) -> None:
    start = time.process_time()
    assert problem in str(extract_main_text(html.encode()).problem)
    assert time.process_time() - start < 5


def test_missing_end_tags_are_not_nesting() -> None:
    html = "<ul>" + "<li>item" * 3_000 + "</ul>" + "<p>" + "<br>" * 3_000 + BODY
    assert TEXT in extract_main_text(html.encode()).text


def test_many_links_and_bold_words_are_no_excess() -> None:
    html = "<p><a href=/x><b>link</b></a> and <font color=red>more</font></p>" * 20_000 + BODY
    assert extract_main_text(html.encode()).problem is None


def test_a_long_data_address_is_no_excess_of_attributes() -> None:
    html = f'<img src="data:image/png;base64,{"A" * 1_000_000}">{BODY}'
    assert TEXT in extract_main_text(html.encode()).text


@given(
    st.lists(st.sampled_from(["<p>", "</p>", "<div", ">", "'", '"', "<!--", "x ", "&#x0;", "<a"]))
)
@settings(max_examples=30, deadline=None)
def test_broken_tags_never_crash(pieces: list[str]) -> None:
    extract_main_text("".join(pieces).encode())


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_give_text_that_can_be_written(payload: bytes) -> None:
    extract_main_text(payload).text.encode()
