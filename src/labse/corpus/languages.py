"""Languages: one canonical tag for each of the many codes and names that people use.

Takes: ISO 639-3, 639-1, 639-2/B, BCP 47, `pt_BR`, `deu_Latn`, `sr@latin`, English names.
Gives: a canonical tag: ISO 639-3, with the script where it is not the language's usual one.
Source: languages.tsv beside this module; its first lines say how it was made.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

from labse.errors import UsageError

__all__ = ["Language", "all_languages", "canonical_tag", "find_language"]

_TRADITIONAL_CHINESE_REGIONS = frozenset({"tw", "hk", "mo"})
_LOCAL_USE = re.compile(r"q[a-t][a-z]")  # ISO 639-2 keeps qaa to qtz for private codes.
_SCRIPT_WORDS = {"latin": "Latn", "cyrillic": "Cyrl", "arabic": "Arab", "devanagari": "Deva"}
_UNKNOWN_SCRIPT = "Zyyy"  # ISO 15924, "undetermined"
# Other variants (RFC 5646 allows any 5 to 8 letters) are errors: `zho-Hantt` is a slip of the pen.
_REGION_OR_VARIANT = re.compile(r"[a-z]{2}|\d{3}|\d[a-z\d]{3}|valencia|tarask")


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


@lru_cache(maxsize=4096)
def find_language(code: str) -> Language:
    """Finds a language by a code, a BCP 47 tag or its English name; case is ignored.

    A code goes before a name (`ga` is Irish, not the language Ga). `no`, `nor` and `nb` are Bokmål
    (`nob`), `nn` is `nno`. Regions and variants are dropped, but Chinese of TW, HK and MO is
    `zho-Hant`. A known language in another known script gets a tag of its own (`rus-Latn`). Codes
    from `qaa` to `qtz` are for languages without a code.

    Raises:
        UsageError: unknown code; the nearest known one is named.
    """
    key = _fold(code)
    language = _index().get(key) or _parse_tag(key)
    if language is None:
        raise UsageError(f"unknown language {code!r}{_nearest(key)}")
    return language


@cache
def all_languages() -> tuple[Language, ...]:
    """Returns every language of the table, sorted by tag."""
    return tuple(language for language, _ in _table())


@cache
def _table() -> tuple[tuple[Language, tuple[str, ...]], ...]:
    """Returns each language with its aliases."""
    text = resources.files("labse.corpus").joinpath("languages.tsv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return tuple(_parse_row(line) for line in lines[1:])


def _parse_row(line: str) -> tuple[Language, tuple[str, ...]]:
    tag, iso639_1, name, script, in_paper, aliases = line.split("\t")
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
    decomposed = unicodedata.normalize("NFKD", code.strip())
    letters = "".join(char for char in decomposed if not unicodedata.combining(char))
    return letters.casefold().replace("_", "-").replace("@", "-")


def _parse_tag(key: str) -> Language | None:
    """Reads `language[-extlang][-script][-region][-variant...]` (RFC 5646, section 2.1)."""
    code, *subtags = key.split("-")
    language = _find_code(code)
    if subtags and (individual := _find_extlang(code, subtags[0])):  # zh-yue is yue.
        language, subtags = individual, subtags[1:]
    if language is None:
        return None
    if subtags and subtags[0] in _scripts():
        script, subtags = _scripts()[subtags[0]], subtags[1:]
    elif language.tag == "zho" and _TRADITIONAL_CHINESE_REGIONS.intersection(subtags):
        script = "Hant"
    else:
        script = language.script
    if not all(_REGION_OR_VARIANT.fullmatch(subtag) for subtag in subtags):
        return None
    return _in_script(language, script)


def _find_code(code: str) -> Language | None:
    if _LOCAL_USE.fullmatch(code):
        return Language(code, f"Private use ({code})", _UNKNOWN_SCRIPT, None, False)
    return _index().get(code) if 2 <= len(code) <= 4 else None


def _find_extlang(code: str, subtag: str) -> Language | None:
    is_extlang = code in ("zh", "zho", "ar", "ara", "ms", "msa") and len(subtag) == 3
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
