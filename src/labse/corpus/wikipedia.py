"""Wikipedia dumps in: the prose of the articles of a `pages-articles` file.

Takes: XML of MediaWiki's export, usually `.bz2` with one stream or many.
Gives: a document an article, in the order of the file, in memory that holds one page at a time;
    each page left out has a reason and a count.
Source: https://www.mediawiki.org/wiki/Help:Export; https://meta.wikimedia.org/wiki/Data_dumps.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from labse.corpus.languages import canonical_tag
from labse.corpus.records import UNKNOWN_LANG, Document
from labse.corpus.wikitext import extract_prose
from labse.corpus.xml_stream import iter_xml
from labse.errors import LabseError, UsageError

__all__ = ["read_wikipedia"]

_ARTICLES = "0"
_NO_TEXT_NAMESPACES = frozenset({"-2", "6", "14"})  # Media, File, Category; MediaWiki's numbers.
_MAX_CHARACTERS = 4 << 20  # MediaWiki's $wgMaxArticleSize is 2 MiB.
_FIELDS = frozenset({"title", "ns", "text", "model"})


def read_wikipedia(
    path: str | Path, *, lang: str | None = None, drops: Counter[str]
) -> Iterator[Document]:
    """Yields the prose of each article; its document is the title.

    Args:
        path: the dump.
        lang: its language, None: that which the dump declares, else `und`.
        drops: counts pages that are left out, by reason.

    Raises:
        LabseError: no such file, not a dump, damaged, cut short, or it declares an entity.
        ResourceError: mwparserfromhell is not installed.
        UsageError: unknown language.
    """
    tag = lang and canonical_tag(lang)
    origin = Path(path).name
    pages = _Pages()
    for page in iter_xml(path, pages):
        if reason := _reason_to_drop(page):
            drops[reason] += 1
            continue
        try:
            prose = extract_prose(page.values["text"], pages.no_text_namespaces)
        except ValueError as error:
            drops[str(error)] += 1
            continue
        if not prose:
            drops["no prose"] += 1
            continue
        yield Document(prose, tag or pages.lang, page.values["title"], origin)
    if pages.root != "mediawiki":
        raise LabseError(
            f"{path}: not a dump: its outermost element is {pages.root!r}, not 'mediawiki'"
        )


@dataclass(slots=True)
class _Page:
    values: dict[str, str] = field(default_factory=lambda: dict.fromkeys(_FIELDS, ""))
    is_redirect: bool = False


def _reason_to_drop(page: _Page) -> str | None:
    if page.values["ns"].strip() not in ("", _ARTICLES):
        return "namespace other than articles"
    if page.is_redirect:
        return "redirect"
    if page.values["model"].strip() not in ("", "wikitext"):
        return "not wikitext"
    if len(page.values["text"]) > _MAX_CHARACTERS:
        return "longer than 4 Mi characters"
    return None


class _Pages:
    """Gathers pages while the parser goes over their elements."""

    def __init__(self) -> None:
        self.finished: list[_Page] = []
        self.root: str | None = None
        self.lang = UNKNOWN_LANG
        self.no_text_namespaces: set[str] = set()
        self._namespace: str | None = None
        self._page: _Page | None = None
        self._pieces: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self.root is None:
            self.root = name
            self.lang = _find_lang(attributes.get("xml:lang", ""))
        elif name == "page":
            self._page = _Page()
        elif name == "redirect" and self._page:
            self._page.is_redirect = True
        elif name == "namespace":
            self._namespace = attributes.get("key")
        self._pieces.clear()

    def end(self, name: str) -> None:
        value = "".join(self._pieces)
        self._pieces.clear()
        if name == "page" and self._page:
            self.finished.append(self._page)
            self._page = None
        elif self._page:
            if name in _FIELDS:  # Of several revisions, the last.
                self._page.values[name] = value
        elif name == "namespace" and self._namespace in _NO_TEXT_NAMESPACES:
            self.no_text_namespaces.add(value.strip().lower())

    def text(self, text: str) -> None:
        self._pieces.append(text)

    def num_held(self) -> int:
        return sum(map(len, self._pieces))


def _find_lang(code: str) -> str:
    """Returns the tag of `xml:lang`; Simple English is `en` there."""
    try:
        return canonical_tag(code)
    except UsageError:
        return UNKNOWN_LANG
