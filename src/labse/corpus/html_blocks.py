"""HTML to blocks: all text of a page, a paragraph, heading or cell each, and what the page says.

Takes: the bytes of a page. Gives: its blocks in order, with their tags, and its links, languages
    and marks; or why there are none. `html_text` gives the main text alone.
Source: HTML Living Standard, sections 4.2.4 (link), 4.6.7 (link types), 13.2.5 (tokens), 15.3 (what
    is a block); RFC 8288 for the header `Link`. Text needs no tree: each token is looked at once,
    so time is linear whatever is nested, unclosed or missing.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from labse.corpus.html_text import decode_html

__all__ = ["Alternate", "HtmlPage", "parse_html", "parse_link_header", "resolve_address"]

_MAX_ALTERNATES = 1_000  # A page that lists 10^5 alternates says nothing about any of them.
_MAX_URL = 2_000
_MAX_TAGS = 500_000  # In five seconds; a page of 16 MiB that a person wrote has a tenth of that.
_MAX_CODE = 35
_MAX_ATTRIBUTES = 1 << 16  # Characters of a quoted value; a longer one was never closed.
# What is inside is no text of the page.
_SKIPPED = frozenset(
    (
        *("script", "style", "noscript", "template", "svg", "math", "iframe", "object", "canvas"),
        *("audio", "video", "select", "textarea", "noframes", "title", "xmp", "noembed"),
    )
)
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "button", "caption", "center", "dd"),
        *("details", "dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure"),
        *("footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hgroup", "hr"),
        *("html", "legend", "li", "main", "menu", "nav", "ol", "option", "p", "pre", "section"),
        *("summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul"),
    )
)
_EMPTY = frozenset(("hr",))
_CLOSED_BY_THEMSELVES = frozenset(("p", "li", "dd", "dt", "td", "th", "tr", "option"))
_TAG = re.compile(r"<(/?)([A-Za-z][^\s/>]*)")
_VALUE_OR_END = re.compile(r"=\s*([\"'])|>")
_ATTRIBUTE = re.compile(r"""([^\s=/>"']+)\s*(?:=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?""")
_SPACE = re.compile(r"[ \t\r\n\f\v\u00a0\u2028\u2029\x1c-\x1f\x85]+")
# Chinese and Japanese have no spaces: a line of the source ends inside a sentence.
_WIDE = "[\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff60]"
_BROKEN_WIDE = re.compile(rf"(?<={_WIDE})[ \t]*\r?\n[ \t]*(?={_WIDE})")
_NOT_IN_URL = str.maketrans("", "", "\t\r\n")
_UNWRITABLE = re.compile("[\ud800-\udfff]")
_LINK = re.compile(r"""<([^<>]{1,2000})>((?:\s*;\s*[\w*-]+\s*(?:=\s*(?:"[^"]*"|[^\s",;]+))?)*)""")
_PARAMETER = re.compile(r""";\s*([\w*-]+)\s*=\s*(?:"([^"]*)"|([^\s",;]+))""")
_MT_MARKS = frozenset(("translated-ltr", "translated-rtl"))  # What Google's translation writes.


@dataclass(frozen=True, slots=True)
class Alternate:
    """Where a page says that it stands in another language: a code as written, and an address."""

    lang: str
    url: str


@dataclass(slots=True)
class HtmlPage:
    """What a page holds.

    Attributes:
        blocks: its text, a block each, without line feeds; none is empty.
        tags: the tag of each block, as `p`, `h1` or `pre`.
        title: what `<title>` says.
        html_lang: the code in `<html lang>` or `Content-Language`; empty if there is none.
        alternates: what `hreflang` says, with absolute addresses, in their order.
        canonical: the address in `<link rel=canonical>`, absolute; empty if there is none.
        robots: the words of `<meta name=robots>`, lower case, joined by commas.
        license: the address in `rel=license`, or empty.
        is_translated: whether a mark of machine translation stands in the page.
        num_frames: frames, whose text is elsewhere.
        num_bad_links: alternates that are no address of the web.
        problem: why there are no blocks, None if there are.
    """

    blocks: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    title: str = ""
    html_lang: str = ""
    alternates: list[Alternate] = field(default_factory=list)
    canonical: str = ""
    robots: str = ""
    license: str = ""
    is_translated: bool = False
    num_frames: int = 0
    num_bad_links: int = 0
    problem: str | None = None


def parse_html(payload: bytes, url: str, *, charset: str | None = None) -> HtmlPage:
    """Returns the blocks of a page and what it says of itself.

    Menus and footers are there too: only the other pages of a site tell which text is its frame.

    Args:
        payload: the page.
        url: its address, to which links are relative unless `<base>` says otherwise.
        charset: the encoding that HTTP names.

    Raises:
        ResourceError: resiliparse, which guesses encodings, is not installed.
    """
    decoded = decode_html(payload, charset)
    if decoded.count("<") > _MAX_TAGS:
        return HtmlPage(problem="more than 500,000 tags")
    reader = _Reader(url)
    for name, attributes, is_end, text in _iter_tokens(decoded):
        if not name:
            reader.add_text(text)
        elif is_end:
            reader.end(name)
        else:
            reader.start(name, attributes, text)
    page = reader.finish()
    if not page.blocks:
        page.problem = "frames, no text of its own" if page.num_frames else "no text"
    return page


def parse_link_header(value: str, url: str, page: HtmlPage) -> None:
    """Adds what the header `Link` of HTTP says of alternates and of the canonical address."""
    for match in _LINK.finditer(value[: 200 * _MAX_ALTERNATES]):
        given = {name.lower(): a or b for name, a, b in _PARAMETER.findall(match[2])}
        _add_link(page, given.get("rel", ""), given.get("hreflang", ""), match[1], url)


# ---- tokens ------------------------------------------------------------------------------------


def _iter_tokens(text: str) -> Iterator[tuple[str, str, bool, str]]:
    """Yields name, attributes, whether it is an end tag, and text: of a tag that is skipped."""
    place, size = 0, len(text)
    unclosed: set[str] = set()
    while place < size:
        opening = text.find("<", place)
        if opening != place:
            yield "", "", False, text[place : opening if opening >= 0 else size]
        if opening < 0:
            return
        if text.startswith("<!--", opening):
            end = text.find("-->", opening + 2)
            place = size if end < 0 else end + 3
            continue
        tag = _TAG.match(text, opening)
        if tag is None:
            is_markup = text[opening + 1 : opening + 2] in ("!", "?", "/")
            end = text.find(">", opening) if is_markup else -1
            if end < 0:
                yield "", "", False, "<"
            place = opening + 1 if end < 0 else end + 1
            continue
        end = _find_tag_end(text, tag.end())
        if end < 0:
            return
        name, attributes = tag[2].lower(), text[tag.end() : end]
        place, inside = end + 1, ""
        # What is skipped reaches to its end tag, if there is one.
        if name in _SKIPPED and not tag[1] and name not in unclosed:
            close = re.compile(f"</{name}[\\s/>]", re.IGNORECASE).search(text, place)
            if close is None:
                unclosed.add(name)
            else:
                place, inside = close.start(), text[place : close.start()]
        yield name, attributes, bool(tag[1]), inside


def _find_tag_end(text: str, place: int) -> int:
    """Returns where the `>` of a tag stands, which may be inside of quotes too; -1: nowhere."""
    start = place
    while (found := _VALUE_OR_END.search(text, place)) is not None:
        if found[1] is None:
            return found.start()
        close = text.find(found[1], found.end(), found.end() + _MAX_ATTRIBUTES)
        if close < 0:
            return text.find(">", start)
        place = close + 1
    return -1


def _parse_attributes(attributes: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, *values in _ATTRIBUTE.findall(attributes[:_MAX_ATTRIBUTES]):
        found.setdefault(name.lower(), html.unescape("".join(values)).strip())
    return found


# ---- page --------------------------------------------------------------------------------------


class _Reader:
    """Gathers text between the borders of blocks, and what tags say of the page."""

    def __init__(self, url: str) -> None:
        self._page = HtmlPage()
        self._url = self._base_url = url
        self._pieces: list[str] = []
        self._tags: list[str] = []

    def add_text(self, text: str) -> None:
        self._pieces.append(html.unescape(text) if "&" in text else text)

    def start(self, name: str, attributes: str, inside: str) -> None:
        if name in _BLOCKS:
            self._flush()
            if self._tags and self._tags[-1] == name and name in _CLOSED_BY_THEMSELVES:
                self._tags.pop()
            if name not in _EMPTY:
                self._tags.append(name)
        elif name == "br":
            self._pieces.append("\n" if self._tag == "pre" else " ")
        elif name == "img":
            self._pieces.append(" ")
        if name in _READERS and (name != "a" or "rel" in attributes or "lang" in attributes):
            _READERS[name](self, name, _parse_attributes(attributes))
        elif name == "title" and not self._page.title:
            self._page.title = _join_lines(html.unescape(inside))[:_MAX_URL]

    def end(self, name: str) -> None:
        if name not in _BLOCKS:
            return
        self._flush()
        # A stray end tag closes nothing; a missing one is closed with what is around it.
        if name in self._tags[-50:]:
            while self._tags.pop() != name:
                pass

    def finish(self) -> HtmlPage:
        self._flush()
        return self._page

    @property
    def _tag(self) -> str:
        return self._tags[-1] if self._tags else "body"

    def _flush(self) -> None:
        """Ends a block; each line of preformatted text is one."""
        if not self._pieces:
            return
        text = _UNWRITABLE.sub("\ufffd", "".join(self._pieces))
        self._pieces.clear()
        for line in text.split("\n") if self._tag == "pre" else [text]:
            if joined := _join_lines(line):
                self._page.blocks.append(joined)
                self._page.tags.append(self._tag)

    # What single tags say.

    def read_html(self, _: str, given: dict[str, str]) -> None:
        self._page.html_lang = (given.get("lang") or given.get("xml:lang") or "")[:_MAX_CODE]
        marks = given.get("class", "").lower().split()
        self._page.is_translated |= not _MT_MARKS.isdisjoint(marks)

    def read_base(self, _: str, given: dict[str, str]) -> None:
        if self._base_url == self._url and "href" in given:
            self._base_url = resolve_address(self._url, given["href"]) or self._url

    def read_link(self, name: str, given: dict[str, str]) -> None:
        rel, lang = given.get("rel", ""), given.get("hreflang", "")
        if name == "a" and lang:
            rel += " alternate"  # Language bars write <a hreflang> without rel.
        if rel:
            _add_link(self._page, rel, lang, given.get("href", ""), self._base_url)

    def read_meta(self, _: str, given: dict[str, str]) -> None:
        name = (given.get("name") or given.get("http-equiv") or "").lower()
        content = given.get("content", "")[:_MAX_URL]
        if name == "robots":
            self._page.robots = ",".join(content.lower().replace(",", " ").split())
        elif name == "content-language" and not self._page.html_lang:
            self._page.html_lang = content.partition(",")[0].strip()[:_MAX_CODE]

    def read_frame(self, _: str, __: dict[str, str]) -> None:
        self._page.num_frames += 1


_READERS = {
    "html": _Reader.read_html,
    "base": _Reader.read_base,
    "link": _Reader.read_link,
    "a": _Reader.read_link,
    "meta": _Reader.read_meta,
    "frame": _Reader.read_frame,
    "iframe": _Reader.read_frame,
}


def _add_link(page: HtmlPage, rel: str, lang: str, href: str, base_url: str) -> None:
    words = rel.lower().split()
    if "canonical" in words and not page.canonical:
        page.canonical = resolve_address(base_url, href)
    if "license" in words and not page.license:
        page.license = resolve_address(base_url, href)
    if "alternate" in words and lang and len(page.alternates) <= _MAX_ALTERNATES:
        if target := resolve_address(base_url, href):
            page.alternates.append(Alternate(_UNWRITABLE.sub("", lang)[:_MAX_CODE], target))
        else:
            page.num_bad_links += 1


def resolve_address(base_url: str, href: str) -> str:
    """Returns the absolute address without its fragment; empty if it is none of the web."""
    try:
        # As browsers do: line ends inside are dropped, spaces inside are written as %20.
        plain = _UNWRITABLE.sub("", href.translate(_NOT_IN_URL).strip())
        joined = urljoin(base_url, _SPACE.sub("%20", plain)).partition("#")[0]
        parts = urlsplit(joined)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        return ""
    return joined if is_web and len(joined) <= _MAX_URL else ""


def _join_lines(text: str) -> str:
    if "\n" in text:
        text = _BROKEN_WIDE.sub("", text)
    return _SPACE.sub(" ", text).strip()
