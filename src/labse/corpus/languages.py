"""Languages: one canonical tag for each of the many codes and names that people use.

Takes: ISO 639-3, 639-1, 639-2/B, BCP 47, `pt_BR`, `deu_Latn`, `sr_RS.UTF-8@latin`, what Windows and
    translators' tools write (`zh-CHT`, `es-ES_tradnl`, `ja-JP-x-lvariant-JP`), English names.
Gives: a canonical tag: ISO 639-3, with the script where it is not the language's usual one.
Source: languages.tsv and iso639_3.tsv beside this module; their first lines say how they were made.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

from labse.errors import UsageError

__all__ = [
    "Language",
    "all_languages",
    "canonical_tag",
    "canonical_tags",
    "find_language",
    "is_language",
    "name_unknown",
]

_TRADITIONAL_CHINESE_REGIONS = frozenset({"tw", "hk", "mo"})
_LOCAL_USE = re.compile(r"q[a-t][a-z]")  # ISO 639-2 keeps qaa to qtz for private codes.
_SCRIPT_WORDS = {"latin": "Latn", "cyrillic": "Cyrl", "arabic": "Arab", "devanagari": "Deva"}
_UNKNOWN_SCRIPT = "Zyyy"  # ISO 15924, "undetermined"
# Any letters are no variant, though RFC 5646 has room for 5 to 8: `zho-Hantt` is a slip of the pen.
# The variants are those of the IANA registry, of POSIX (after @) and of the locales of Windows.
_VARIANTS = frozenset(
    """
    abl1943 akuapem alalc97 aluku anpezo ao1990 aranes arevela arevmda arkaika asante auvern
    baku1926 balanka barla basiceng bauddha bciav bcizbl biscayan biske blasl bohoric boont
    bornholm cisaup colb1945 cornu creiss dajnko ekavsk emodeng fascia fodom fonipa fonkirsh
    fonnapa fonupa fonxsamp gallo gascon gherd grclass grital grmistr hanoi hepburn heploc
    hognorsk hsistemo huett ijekavsk itihasa ivanchov jauer jyutping kkcor kleinsch kociewie
    kscor laukika lemosin lengadoc lipaw ltg1929 ltg2007 luna1918 mdcegyp mdctrans metelko
    monoton ndyuka nedis newfound nicard njiva nulik osojs oxendict pahawh2 pahawh3 pahawh4
    pamaka peano pehoeji petr1708 pinyin polyton provenc puter rigik rozaj rumgr saigon
    scotland scouse simple solba spanglis surmiran sursilv sutsilv synnejyl tailo tarask
    tongyong tunumiir uccor ucrcor ulster unifon vaidika valbadia valencia vallader vecdruka
    viennese vivaraup wadegile xsistemo euro posix preeuro tradnl phoneb pronun modern technl
    radstr stroke
    """.split()  # noqa: SIM905
)
_REGION = re.compile(r"[a-z]{2}|\d{3}|\d[a-z\d]{3,7}")  # With variants as `1996`.
# Extensions and what is private stand from a single letter or digit on (RFC 5646, 2.2.6 and 7).
_EXTENSIONS = re.compile(r"-[a-z\d](?:-[a-z\d]{1,8})+$")
_ENCODING = re.compile(r"\.[\w-]+(?=@|$)")  # `en_US.UTF-8`, as POSIX names a locale.
# Windows' older names, and codes of countries that are written for languages and are no others'.
_MISNOMERS = {
    "zh-chs": "zho",
    "zh-cht": "zho-Hant",
    "jp": "jpn",
    "cn": "zho",
    "kr": "kor",
    "cz": "ces",
    "ua": "ukr",
    "dk": "dan",
    "gr": "ell",
    "vn": "vie",
    "zh-min-nan": "nan",  # Grandfathered tags of the IANA registry.
    "zh-hakka": "hak",
    "zh-xiang": "hsn",
    "zh-guoyu": "zho",
    "no-bok": "nob",
    "no-nyn": "nno",
    "i-klingon": "tlh",
    "i-lux": "ltz",
    "i-navajo": "nav",
    "art-lojban": "jbo",
    "en-gb-oed": "eng",
}
_CHINESE = frozenset(
    """
    cdo cjy cmn cnp cpx csp czh czo gan hak hsn lzh mnp nan wuu yue
    """.split()  # noqa: SIM905
)
_CHINESE_REGIONS = {"chn": "cn", "twn": "tw", "hkg": "hk", "mac": "mo", "sgp": "sg"}


@dataclass(frozen=True, slots=True)
class Language:
    """A language in one script.

    Attributes:
        tag: canonical: ISO 639-3, then `-Xxxx` where the script is not the usual one.
        name: in English.
        script: ISO 15924.
        iso639_1: the two-letter code, None if there is none.
        in_paper: it is one of LaBSE's 109 languages, in its usual script; the paper's `no` is
            `nob` here, its `ku` is `kmr`.
    """

    tag: str
    name: str
    script: str
    iso639_1: str | None
    in_paper: bool


def canonical_tag(code: str) -> str:
    """Returns the tag of `find_language(code)`: `deu` for `de`, `ger`, `de-AT` and `German`.

    Raises:
        UsageError: unknown code; the nearest known one is named.
    """
    return find_language(code).tag


def canonical_tags(codes: tuple[str | None, str | None]) -> tuple[str | None, str | None]:
    """Returns the canonical tags of source and target; None stays None.

    Raises:
        UsageError: see `canonical_tag`.
    """
    if isinstance(codes, str):
        raise TypeError(f"langs: give source and target, such as ('de', 'en'), not {codes!r}")
    source, target = (None if code is None else canonical_tag(code) for code in codes)
    return source, target


def name_unknown(code: str) -> str:
    """Returns the reason why a row of an unknown language is left out."""
    return f"language not known: {code[:40]}" if code.strip() else "no language is named"


def find_language(code: str) -> Language:
    """Finds a language by a code, a BCP 47 tag or its English name; case is ignored.

    A code goes before a name (`ga` is Irish, not the language Ga). `no`, `nor` and `nb` are Bokmål
    (`nob`), `nn` is `nno`. Regions, variants, extensions (`-u-co-pinyin`), private parts
    (`-x-lvariant-JP`) and encodings are dropped, but Chinese of TW, HK and MO is `zho-Hant`. A
    known language in another known script gets a tag of its own (`rus-Latn`). Codes from `qaa` to
    `qtz` are for languages without a code.

    Raises:
        UsageError: unknown code; the nearest known one is named.
    """
    language = _find(code)
    if language is None:
        raise UsageError(f"unknown language {code!r}{_nearest(_fold(code))}")
    return language


def is_language(code: str) -> bool:
    """Tells whether `find_language` knows the code, in less time than its error takes."""
    return _find(code) is not None


@lru_cache(maxsize=4096)
def _find(code: str) -> Language | None:
    key = _fold(code)
    return _index().get(key) or _parse_tag(key)


@cache
def all_languages() -> tuple[Language, ...]:
    """Returns every language of the tables, sorted by tag."""
    return tuple(language for language, _ in _table())


@cache
def _table() -> tuple[tuple[Language, tuple[str, ...]], ...]:
    """Returns each language with its aliases, sorted by tag."""
    rows = [_parse_row(*cells) for cells in _read_cells("languages.tsv")]
    rows += [_parse_row(tag, "", name, script) for tag, name, script in _read_cells("iso639_3.tsv")]
    return tuple(sorted(rows, key=lambda row: row[0].tag))


def _read_cells(name: str) -> list[list[str]]:
    text = resources.files("labse.corpus").joinpath(name).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")][1:]


def _parse_row(
    tag: str, iso639_1: str, name: str, script: str, in_paper: str = "", aliases: str = ""
) -> tuple[Language, tuple[str, ...]]:
    language = Language(tag, name, script, iso639_1 or None, in_paper == "1")
    return language, tuple(aliases.split(",")) if aliases else ()


@cache
def _index() -> dict[str, Language]:
    """Returns every folded key; tags go before two-letter codes, then aliases, then names."""
    index: dict[str, Language] = {}
    for key, language in _iter_keys():
        index.setdefault(_fold(key), language)
    return index


def _iter_keys() -> Iterator[tuple[str, Language]]:
    for language in all_languages():
        yield language.tag, language
    for language in all_languages():
        if language.iso639_1 and "-" not in language.tag:
            yield language.iso639_1, language
    for language, aliases in _table():
        for alias in aliases:
            yield alias, language
    for language in all_languages():
        yield language.name, language


@cache
def _scripts() -> dict[str, str]:
    scripts = {language.script for language in all_languages()} - {_UNKNOWN_SCRIPT}
    return {script.lower(): script for script in scripts} | _SCRIPT_WORDS


def _fold(code: str) -> str:
    """Lower-cases, drops accents and writes `-` for `_` and `@`: `Maori` is `Māori`."""
    letters = _ENCODING.sub("", code.strip())
    if not letters.isascii():
        decomposed = unicodedata.normalize("NFKD", letters)
        letters = "".join(char for char in decomposed if not unicodedata.combining(char))
    return letters.casefold().replace("_", "-").replace("@", "-")


def _parse_tag(key: str) -> Language | None:
    """Reads `language[-extlang][-script][-region][-variant...]` (RFC 5646, section 2.1).

    A script may stand behind the region too (`az-AZ-Cyrl`, `sr-RS-latin`).
    """
    key = _EXTENSIONS.sub("", key)
    code, *subtags = _MISNOMERS.get(key, key).casefold().split("-")
    code = _MISNOMERS.get(code, code)
    language = _find_code(code)
    if subtags and (individual := _find_extlang(code, subtags[0])):  # zh-yue is yue.
        language, subtags = individual, subtags[1:]
    if language is None:
        return None
    if language.tag == "zho":
        subtags = [_CHINESE_REGIONS.get(subtag, subtag) for subtag in subtags]
    scripts = [subtag for subtag in subtags if subtag in _scripts()]
    others = [subtag for subtag in subtags if subtag not in _scripts()]
    if len(scripts) > 1 or not all(_REGION.fullmatch(s) or s in _VARIANTS for s in others):
        return None
    if scripts:
        return _in_script(language, _scripts()[scripts[0]])
    is_traditional = language.tag == "zho" and _TRADITIONAL_CHINESE_REGIONS.intersection(others)
    return _in_script(language, "Hant" if is_traditional else language.script)


def _find_code(code: str) -> Language | None:
    if _LOCAL_USE.fullmatch(code):
        return Language(code, f"Private use ({code})", _UNKNOWN_SCRIPT, None, False)
    return _index().get(code) if 2 <= len(code) <= 4 else None


def _find_extlang(code: str, subtag: str) -> Language | None:
    if code in ("zh", "zho"):
        return _index().get(subtag) if subtag in _CHINESE else None
    is_extlang = code in ("ar", "ara", "ms", "msa") and len(subtag) == 3
    return _index().get(subtag) if is_extlang else None


def _in_script(language: Language, script: str) -> Language:
    if script == language.script:
        return language
    base = language.tag.partition("-")[0]
    tag = f"{base}-{script}"
    name = f"{language.name} ({script})"
    return _index().get(tag.lower()) or Language(tag, name, script, language.iso639_1, False)


def _nearest(key: str) -> str:
    close = difflib.get_close_matches(key, _index(), n=1, cutoff=0.6)
    if not close:
        return "; give an ISO 639 code such as deu, or qaa to qtz for a language without one"
    language = _index()[close[0]]
    return f"; did you mean {language.tag!r} ({language.name})?"
