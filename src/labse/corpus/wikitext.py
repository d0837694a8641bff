"""Wikitext to plain text: the prose of an article, a paragraph a line.

Takes: the markup of a page. Gives: its paragraphs; lists, tables, templates, references, headings,
    pictures and formulas are gone.
Source: mwparserfromhell parses; https://www.mediawiki.org/wiki/Wikitext.
"""

import re
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, cast

from labse.runtime import require

if TYPE_CHECKING:
    from mwparserfromhell.nodes import ExternalLink, Heading, HTMLEntity, Tag, Text, Wikilink
    from mwparserfromhell.wikicode import Wikicode

__all__ = ["extract_prose"]

# A private mark of a line that is a list item; the reader of dumps cannot deliver a NUL.
_LIST_MARK = "\x00"
_DROPPED_TAGS = frozenset(
    "ref references table tr td th gallery math chem ce score timeline syntaxhighlight source pre "  # noqa: SIM905
    "code imagemap hiero graph mapframe maplink templatestyles templatedata inputbox categorytree "
    "section indicator noinclude includeonly style script ul ol dl li dt dd h1 h2 h3 h4 h5 h6 hr "
    "caption".split()
)
_LINE_TAGS = frozenset(("br", "p", "div", "blockquote", "center", "poem"))
_LIST_MARKUP = frozenset("*#:;")
_MAX_DEPTH = 100  # Of nodes in nodes; mwparserfromhell itself stops at 40.
# mwparserfromhell 0.7.2 takes time that grows with the square of what is left open: 0.6 s for
# 2,000 tags, 83 s for 20,000 (measured 2026-11-22).
_MAX_OPEN = 1_000
_OPENING_AND_CLOSING = (
    (r"<(?!(?:br|hr|li|dd|dt|wbr)\b)[A-Za-z]", r"</(?!(?:br|hr|li|dd|dt|wbr)\b)|/>"),
    (r"\[\[", r"\]\]"),
    (r"\[(?=https?:|ftp:|//)", r"\]"),
    (r"\{\{", r"\}\}"),
)
_LONG_LIST_MARK = re.compile(r"[*#:;]{500}")

_BEHAVIOUR_SWITCH = re.compile(r"__[A-Z]{3,}__")
_VARIANTS = re.compile(r"-\{(?:[^{}|]*\|)?([^{}]*)\}-")  # -{zh-hans:网络;zh-hant:網路}-
_VARIANT_CODE = re.compile(r"^\s*[a-z]{2,3}(?:-[a-z]+)*\s*:")
_EMPTY_BRACKETS = re.compile(r"\s*[(（\[][\s,;:،、，/–-]*[)）\]]")
_SPACE_BEFORE_STOP = re.compile(r" +([,.;!?](?:\s|$))")
_SPACES = re.compile(r"[ \t\r\x0b\x0c\u00a0]+")
_LEFTOVER_TABLE = re.compile(r"^\s*(?:\{\||\|\}|\||!)")
_WORD = re.compile(r"\w")


def extract_prose(markup: str, dropped_namespaces: Collection[str] = ()) -> str:
    r"""Returns the paragraphs of an article, each ended by `\n`.

    Args:
        markup: wikitext of MediaWiki.
        dropped_namespaces: names, lower-cased, whose links are no text: pictures and categories.

    Raises:
        ResourceError: mwparserfromhell is not installed.
        ValueError: the markup is nested too deep or left open too often to be parsed.
    """
    parser = require("mwparserfromhell", "corpus")
    if _is_excessive(markup):
        raise ValueError("the markup is left open too often")
    pieces: list[str] = []
    try:
        code = parser.parse(markup.replace(_LIST_MARK, ""), skip_style_tags=False)
        _append_code(code, pieces, {*dropped_namespaces, "file", "image", "category", "media"}, 0)
    except RecursionError:
        raise ValueError("the markup is nested too deep") from None
    text = _VARIANTS.sub(_first_variant, _BEHAVIOUR_SWITCH.sub("", "".join(pieces)))
    lines = (_clean_line(line) for line in text.split("\n"))
    return "".join(f"{line}\n" for line in lines if line)


def _is_excessive(markup: str) -> bool:
    if len(markup) <= _MAX_OPEN:
        return False
    num_open = sum(
        max(len(re.findall(opening, markup)) - len(re.findall(closing, markup)), 0)
        for opening, closing in _OPENING_AND_CLOSING
    )
    num_quotes = max(line.count("''") for line in markup.split("\n"))
    return max(num_open, num_quotes) > _MAX_OPEN or bool(_LONG_LIST_MARK.search(markup))


def _append_code(code: "Wikicode", pieces: list[str], dropped: set[str], depth: int) -> None:
    if depth > _MAX_DEPTH:
        return
    for node in code.nodes:
        append = _APPENDERS.get(type(node).__name__)  # Templates, comments, arguments have none.
        if append:
            append(node, pieces, dropped, depth)


def _append_text(node: "Text", pieces: list[str], dropped: set[str], depth: int) -> None:
    pieces.append(str(node))


def _append_entity(node: "HTMLEntity", pieces: list[str], dropped: set[str], depth: int) -> None:
    try:
        char = node.normalize()
    except (ValueError, OverflowError):  # &#1114112; and the like are text.
        char = str(node)
    pieces.append("" if "\ud800" <= char <= "\udfff" or char == _LIST_MARK else char)


def _append_heading(node: "Heading", pieces: list[str], dropped: set[str], depth: int) -> None:
    pieces.append("\n")


def _append_wikilink(node: "Wikilink", pieces: list[str], dropped: set[str], depth: int) -> None:
    title = str(node.title).strip()
    prefix, colon, _ = title.partition(":")
    prefix = prefix.strip().lower()
    if colon and prefix in dropped:
        return
    if node.text is not None:
        _append_code(node.text, pieces, dropped, depth + 1)
    elif not (colon and re.fullmatch(r"[a-z]{2,3}(-[a-z-]+)?|simple", prefix)):  # [[fr:x]]
        pieces.append(title.removeprefix(":").partition("#")[0].strip() or title)


def _append_external_link(
    node: "ExternalLink", pieces: list[str], dropped: set[str], depth: int
) -> None:
    if node.brackets and node.title is not None:
        _append_code(node.title, pieces, dropped, depth + 1)


def _append_tag(node: "Tag", pieces: list[str], dropped: set[str], depth: int) -> None:
    if node.wiki_markup in _LIST_MARKUP:
        pieces.append(_LIST_MARK)
        return
    name = str(node.tag).strip().lower()
    if name in _DROPPED_TAGS:
        return
    edge = "\n" if name in _LINE_TAGS else ""
    pieces.append(edge)
    if node.contents is not None:
        _append_code(node.contents, pieces, dropped, depth + 1)
    pieces.append(edge)


_APPENDERS: dict[str, Callable[..., None]] = {
    "Text": _append_text,
    "HTMLEntity": _append_entity,
    "Heading": _append_heading,
    "Wikilink": _append_wikilink,
    "ExternalLink": _append_external_link,
    "Tag": _append_tag,
}


def _first_variant(match: re.Match[str]) -> str:
    """Returns the text that Chinese or Serbian shows in the first of its scripts."""
    return _VARIANT_CODE.sub("", cast("str", match[1]).split(";")[0]).strip()


def _clean_line(line: str) -> str:
    """Returns a paragraph, or nothing for what is a list item, a table's rest or no text."""
    if line.lstrip().startswith(_LIST_MARK) or _LEFTOVER_TABLE.match(line):
        return ""
    line = _EMPTY_BRACKETS.sub("", line.replace(_LIST_MARK, ""))
    line = _SPACE_BEFORE_STOP.sub(r"\1", _SPACES.sub(" ", line)).strip()
    return line if _WORD.search(line) else ""
