"""HTML to text: the main text of a page, a paragraph a line.

Takes: the bytes of a page. Gives: its text, or why there is none.
Source: resiliparse (main content by rules); the order of encodings is that of the HTML standard:
    byte order mark, HTTP, the page, a guess.
"""

import codecs
import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labse.runtime import require

__all__ = ["Page", "decode_html", "extract_main_text"]

# Beyond these, resiliparse 2.0.1 takes time that grows with the square: 0.7 s at 4,000 nested
# elements, over 60 s at 50,000; 12 s for one element with 40,000 attributes (measured 2026-11-22).
_MAX_DEPTH = 1_000
_MAX_ATTRIBUTES = 2_000
_DECLARED_LANG = re.compile(r"""<html\b[^>]{0,2000}?\slang\s*=\s*["']?([A-Za-z0-9_-]{2,35})""")
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)")
# These never nest in themselves without another element between: their end tags may be missing.
_NOT_NESTING = frozenset(
    "area base br col embed hr img input link meta param source track wbr html head body p "  # noqa: SIM905
    "li dt dd tr td th thead tbody tfoot colgroup caption option optgroup rt rp".split()
)
# A parser of HTML opens these again in every later block, if they are not closed: 5,000 paragraphs
# after 900 of them took 12 s.
_FORMATTING = frozenset(
    (
        "a",
        "b",
        "big",
        "code",
        "em",
        "font",
        "i",
        "nobr",
        "s",
        "small",
        "strike",
        "strong",
        "tt",
        "u",
    )
)
_MAX_REOPENED = 1_000_000
_ATTRIBUTES = re.compile(r"""[A-Za-z](?:[^>"']++|"[^"]*+"|'[^']*+')*+""")
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


# Of bytes that are no UTF-8: a page with more of them is in another encoding than it names.
_MAX_BROKEN_SHARE = 0.002


@dataclass(frozen=True, slots=True)
class Page:
    """The text of a page.

    Attributes:
        text: paragraphs, each ended by a line feed; empty if there is a problem.
        declared_lang: the code in `<html lang>`, None if there is none.
        problem: why there is no text, None if there is.
    """

    text: str
    declared_lang: str | None
    problem: str | None


def extract_main_text(payload: bytes, *, charset: str | None = None) -> Page:
    """Returns the main text of an HTML page: no menus, no footers, no lists of links.

    Bytes that are not of the page's encoding become U+FFFD. A page that nests more than 1,000 deep
    or has an element of more than 2,000 attributes is not parsed.

    Args:
        payload: the page.
        charset: the encoding that HTTP names.

    Raises:
        ResourceError: resiliparse is not installed.
    """
    html2text = require("resiliparse.extract.html2text", "corpus")
    html = decode_html(payload, charset)
    declared = _DECLARED_LANG.search(html)
    lang = declared[1] if declared else None
    if (problem := _find_excess(html)) is not None:
        return Page("", lang, problem)
    text: str = html2text.extract_plain_text(html, main_content=True, list_bullets=False)
    if not text.strip():
        return Page("", lang, "no main text")
    return Page(text + "\n", lang, None)


def decode_html(payload: bytes, charset: str | None) -> str:
    """Returns the text of a page; bytes that are not of its encoding become U+FFFD."""
    for mark, name in _BYTE_ORDER_MARKS:
        if payload.startswith(mark):
            return payload[len(mark) :].decode(name, "replace")
    # Servers name an encoding for all their pages. Text that is valid UTF-8 and not ASCII is UTF-8,
    # whatever they say: other encodings hardly ever give such bytes.
    if not payload.isascii():
        with contextlib.suppress(UnicodeDecodeError):
            return payload.decode()
    encoding = require("resiliparse.parse.encoding", "corpus")
    named = charset and encoding.map_encoding_to_html5(charset, fallback_utf8=False)
    found = named or encoding.detect_encoding(payload, from_html_meta=True)
    if found == "utf-8" and _count_broken(payload) > _MAX_BROKEN_SHARE * len(payload):
        found = encoding.detect_encoding(payload, from_html_meta=False)
    try:
        return payload.decode(found or "utf-8", "replace")
    except LookupError:  # An encoding of the web that Python does not have.
        return payload.decode("utf-8", "replace")


def _count_broken(payload: bytes) -> int:
    return payload.decode("utf-8", "replace").count("\ufffd")


def _find_excess(html: str) -> str | None:
    if html.count("<") > _MAX_DEPTH:
        tags = [(slash, name.lower()) for slash, name in _TAG.findall(html)]
        if _depth(tags, lambda name: name not in _NOT_NESTING) > _MAX_DEPTH:
            return "nested deeper than 1,000"
        if len(tags) * _depth(tags, _FORMATTING.__contains__) > _MAX_REOPENED:
            return "formatting left open"
    long_pieces = (piece for piece in html.split("<") if len(piece) > 2 * _MAX_ATTRIBUTES)
    tags_with_attributes = (tag for piece in long_pieces if (tag := _ATTRIBUTES.match(piece)))
    if any(len(tag[0].split()) > _MAX_ATTRIBUTES for tag in tags_with_attributes):
        return "an element of more than 2,000 attributes"
    return None


def _depth(tags: Sequence[tuple[str, str]], is_counted: Callable[[str], bool]) -> int:
    """Returns how many of the counted elements are open at once, at the most."""
    depth = deepest = 0
    for slash, name in tags:
        if is_counted(name):
            depth = max(depth - 1, 0) if slash else depth + 1
            deepest = max(deepest, depth)
    return deepest
