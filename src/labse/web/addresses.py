"""What an address tells: its site, and what is left of it without its language.

Takes: addresses. Gives: the site that pages compete in, and a key that pages of one document share.
Source: El-Kishky et al. 2020, section 3.1 (CCAligned), and the baseline of the WMT 2016 shared task
    on document alignment, as ideas; the lists are ours.
"""

import re
from functools import cache, lru_cache
from urllib.parse import parse_qsl, unquote, urlsplit

from labse.corpus.languages import all_languages, canonical_tag, is_language

__all__ = ["AddressKey", "host_of", "site_of", "strip_language"]

# Second labels under which names are registered: example.co.uk is one owner's, co.uk is not.
_SECOND_LEVEL = frozenset(
    "ac co com edu gen go gob gouv gov govt gv info mil ne net nom or org sch web".split()  # noqa: SIM905
)
# Countries that sites write for languages; `uk`, `be` and `ca` are codes of languages themselves.
_COUNTRIES = {
    **{"at": "deu", "br": "por", "cn": "zho", "cz": "ces", "dk": "dan", "gb": "eng", "gr": "ell"},
    **{"jp": "jpn", "kr": "kor", "mx": "spa", "rs": "srp", "se": "swe", "tw": "zho", "ua": "ukr"},
    **{"us": "eng", "vn": "vie", "hk": "zho", "ir": "fas", "il": "heb", "in": "hin"},
}
_OWN_NAMES = {
    **{"deutsch": "deu", "francais": "fra", "français": "fra", "espanol": "spa", "español": "spa"},
    **{"castellano": "spa", "italiano": "ita", "portugues": "por", "português": "por"},
    **{"nederlands": "nld", "vlaams": "nld", "polski": "pol", "svenska": "swe", "suomi": "fin"},
    **{"dansk": "dan", "norsk": "nob", "magyar": "hun", "cesky": "ces", "česky": "ces"},
    **{"čeština": "ces", "cestina": "ces", "slovensky": "slk", "slovenčina": "slk"},
    **{"slovenscina": "slv", "hrvatski": "hrv", "srpski": "srp", "romana": "ron", "română": "ron"},
    **{"turkce": "tur", "türkçe": "tur", "eesti": "est", "latviesu": "lav", "latviešu": "lav"},
    **{"lietuviu": "lit", "lietuvių": "lit", "catala": "cat", "català": "cat", "galego": "glg"},
    **{"euskara": "eus", "gaeilge": "gle", "cymraeg": "cym", "русский": "rus", "українська": "ukr"},
    **{"български": "bul", "ελληνικά": "ell", "中文": "zho", "简体中文": "zho", "繁體中文": "zho"},
    **{"日本語": "jpn", "한국어": "kor", "العربية": "ara", "עברית": "heb", "हिन्दी": "hin"},
    **{"ไทย": "tha", "tiengviet": "vie", "bahasa": "ind", "islenska": "isl", "íslenska": "isl"},
}
_PARAMETER = re.compile(
    r"(?:.*[_.-])?(?:lang(?:uage|code|id)?|locale|hl|lng|ln|lg|idioma?|langue|lingua|sprache|setlang)"
    r"(?:[_.-].*)?|l|culture|language_?code",
    re.IGNORECASE,
)
# What tells visits apart, not pages.
_NOISE = re.compile(r"utm_.*|fbclid|gclid|phpsessid|jsessionid|sid|sessionid", re.IGNORECASE)
_CODE = re.compile(r"[^\W\d_]{2,12}(?:[-_][a-z]{4})?(?:[-_](?:[a-z]{2}|\d{3}))?", re.IGNORECASE)
_INDEX = re.compile(r"(?:index|default|home)(?:\.(?:x?html?|php\d?|aspx?|jsp))?", re.IGNORECASE)
# Where the parts of a file's name meet: `about.de.html`, `about_de.html`, `about.html.de`.
_JOINT = re.compile(r"([._-])")
_IPV4 = re.compile(r"[\d.]+")


class AddressKey(tuple[str, tuple[str, ...]]):
    """An address without its language, and the languages that were taken out of it."""

    __slots__ = ()

    @property
    def key(self) -> str:
        """What pages of one document share."""
        return self[0]

    @property
    def langs(self) -> tuple[str, ...]:
        """Tags of the languages taken out, in their order."""
        return self[1]


@lru_cache(maxsize=65_536)
def host_of(url: str) -> str:
    """Returns the host of an address in lower case and Unicode; empty if there is none."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""
    try:
        return host.encode("ascii").decode("idna") if "xn--" in host else host
    except UnicodeError:
        return host


@lru_cache(maxsize=65_536)
def site_of(host: str) -> str:
    """Returns the name that a site is registered under, without what follows it.

    `de.example.com`, `www.example.co.uk` and `example.de` are all `example`: the languages of one
    owner may stand under several of them.
    """
    labels = host.split(".")
    if len(labels) < 2 or _IPV4.fullmatch(host) or ":" in host:
        return host
    has_second = len(labels) > 2 and labels[-2] in _SECOND_LEVEL
    return labels[-3 if has_second else -2]


@lru_cache(maxsize=65_536)
def strip_language(url: str) -> AddressKey:
    """Returns an address without scheme, fragment, noise and all parts that name a language.

    A label of the host, a folder, a piece of the file's name or a parameter may: `fr.`, `/pt-br/`,
    `about.html.de`, `?lang=ja`. A page without such a part is the default language of its site.
    """
    langs: list[str] = []
    try:
        parts = urlsplit(url)
    except ValueError:
        return AddressKey((url, ()))

    # The host: labels that name a language go, and so does what it is registered under.
    labels = host_of(url).split(".")
    site = site_of(".".join(labels))
    place = max((n for n, label in enumerate(labels) if label == site), default=len(labels))
    before = labels[:place] if site in labels else []
    kept = [label for label in before if label != "www" and not _take(label, langs)]

    # The path.
    segments = []
    for segment in filter(None, unquote(parts.path).split("/")):
        if not _take(segment, langs):
            segments.append(segment)
    if segments:
        segments[-1] = _strip_name(segments[-1], langs)
        if _INDEX.fullmatch(segments[-1]):
            segments.pop()

    # The parameters, in order of their names.
    query = []
    for name, value in sorted(parse_qsl(parts.query, keep_blank_values=True)):
        if _NOISE.fullmatch(name) or (_PARAMETER.fullmatch(name) and _take(value, langs)):
            continue
        if not value and _take(name, langs):  # `?de`
            continue
        query.append(f"{name}={value}")
    key = f"{'.'.join([*kept, site])}/{'/'.join(filter(None, segments))}?{'&'.join(query)}"
    return AddressKey((key.rstrip("?"), tuple(langs)))


def _take(part: str, langs: list[str]) -> bool:
    """Says whether a part names a language, and notes which."""
    lang = _language_of(part.strip().lower())
    if lang:
        langs.append(lang)
    return bool(lang)


def _strip_name(name: str, langs: list[str]) -> str:
    """Takes the language out of the end of a file's name, or from before its suffix."""
    stem, dot, suffix = name.rpartition(".")
    for head, tail in ((name, ""), (stem, dot + suffix)):
        # A code of two or three pieces first, as in `about.pt-br.html`.
        pieces = _JOINT.split(head)
        for width in (5, 3, 1):
            if len(pieces) > width and _take("".join(pieces[-width:]), langs):
                return "".join(pieces[: -width - 1]) + tail
    return name


@lru_cache(maxsize=65_536)
def _language_of(part: str) -> str:
    """Returns the tag of the language that a part of an address names, or nothing."""
    if not _CODE.fullmatch(part):
        return ""
    base, hyphen, _ = part.replace("_", "-").partition("-")
    known = _names()
    if base in known:
        is_tag = not hyphen or (2 <= len(base) <= 3 and is_language(part.replace("_", "-")))
        return known[base] if is_tag else ""
    # `gb-en`, a country before the language.
    return known.get(part[-2:], "") if base in _COUNTRIES and hyphen and len(part) == 5 else ""


@cache
def _names() -> dict[str, str]:
    """Returns what may stand for a language in an address: codes, and names of larger ones."""
    names = dict(_COUNTRIES)
    for language in all_languages():
        base = language.tag.partition("-")[0]
        if language.iso639_1:
            names[language.iso639_1] = base
            names[base] = base
            names[language.name.lower()] = base
    for code in (
        "ger",
        "fre",
        "dut",
        "chi",
        "cze",
        "gre",
        "per",
        "rum",
        "slo",
        "alb",
        "arm",
        "ice",
    ):
        names[code] = canonical_tag(code)
    return names | _OWN_NAMES
