"""Language identification by two identifiers.

Takes: texts. Gives: for each the language that pycld2 and py3langid agree on; `und` is an answer.
Source: docs/design.md, chosen parts; docs/cleaning.md has the precision of one and of both.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.naive_bayes import load_naive_bayes
from labse.corpus.languages import canonical_tag, is_language
from labse.corpus.records import UNKNOWN_LANG
from labse.files.text import refuse_one_text
from labse.runtime import require

__all__ = [
    "LanguageGuess",
    "guess_language",
    "identify_languages",
    "is_known_language",
    "is_same",
    "match_languages",
]

_MAX_CHARS = 2000  # Of a text that pycld2 looks at.
# For the identifiers to be believed against the tag: lists of names mislead them.
_MIN_LETTERS = 25
_MIN_PROB = 0.8
# What pycld2 raises an error on: C0, DEL, C1 and the noncharacters (every code point was tried).
_REFUSED = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17))
    + "]"
)
# Written languages that the two cannot tell apart or do not both have: one is taken for another.
_GROUPS = (
    ("nob", "nor", "dan", "nno"),
    ("hrv", "bos", "srp", "cnr", "hbs"),
    ("ind", "msa", "zlm", "zsm"),
    ("zho", "yue", "wuu", "lzh", "cmn"),
    ("fas", "prs", "pes"),
    ("ara", "arz", "ary", "apc", "acm", "aeb", "arb"),
    ("swa", "swh", "swc"),
    ("tgl", "fil"),
    ("ron", "mol"),
    ("hin", "mai", "bho", "awa", "mag", "hne"),
    ("ces", "slk"),
    ("glg", "por"),
    ("lvs", "lav", "ltg"),
    ("sqi", "als", "aln"),
    ("grn", "gug"),
    ("ful", "fuv"),
    ("heb", "hbo"),
    ("ell", "grc"),
    ("zul", "xho", "ssw", "nbl"),
)


@dataclass(frozen=True, slots=True)
class LanguageGuess:
    """What both say of one text; tags are canonical, or `und`.

    Attributes:
        lang: pycld2's answer if py3langid gives the same one, or does not have that language and
            pycld2 calls its answer reliable; else `und`.
        cld2_lang: pycld2's answer.
        langid_lang: py3langid's answer.
        langid_prob: py3langid's probability of it.
    """

    lang: str
    cld2_lang: str
    langid_lang: str
    langid_prob: float


def identify_languages(sentences: Sequence[str]) -> list[LanguageGuess]:
    """Identifies the language of each text, any text at all: NUL, lone surrogates, a megabyte.

    Only the first 1,000 bytes (py3langid) and 2,000 characters (pycld2) are looked at.

    Raises:
        ResourceError: pycld2 or py3langid is not installed.
    """
    refuse_one_text(sentences, "sentences")
    guesses = load_naive_bayes().classify(sentences)
    merged = []
    rows = zip(sentences, guesses.labels, guesses.probs.tolist(), strict=True)
    for sentence, label, prob in rows:
        cld2_lang, is_reliable = _ask_cld2(sentence)
        langid_lang = _tag_of(label)
        is_agreed = is_same(cld2_lang, langid_lang) or (
            is_reliable and _group_of(cld2_lang) not in _langid_groups()
        )
        lang = cld2_lang if is_agreed else UNKNOWN_LANG
        merged.append(LanguageGuess(lang, cld2_lang, langid_lang, prob))
    return merged


def guess_language(text: str) -> str:
    """Returns what pycld2 alone takes a text for, in a twentieth of the time of both; `und` else.

    Raises:
        ResourceError: pycld2 is not installed.
    """
    lang, is_reliable = _ask_cld2(text)
    return lang if is_reliable else UNKNOWN_LANG


def match_languages(
    texts: Sequence[str], langs: Sequence[str]
) -> tuple[list[str], NDArray[np.float32]]:
    """Returns the N languages identified, and (N,) whether they are those of the tags.

    1: one identifier at least says the tag's language; 0: both have it and agree on another; 0.5:
    it cannot be told.

    Raises:
        ResourceError: pycld2 or py3langid is not installed.
    """
    matches = np.full(len(texts), 0.5, np.float32)
    guesses = identify_languages(texts)
    for row, (guess, lang) in enumerate(zip(guesses, langs, strict=True)):
        if is_same(guess.cld2_lang, lang) or is_same(guess.langid_lang, lang):
            matches[row] = 1
        elif (
            guess.langid_prob >= _MIN_PROB
            and is_same(guess.cld2_lang, guess.langid_lang)
            and is_known_language(lang)
            and _num_letters(texts[row]) >= _MIN_LETTERS
        ):
            matches[row] = 0
    return [guess.lang for guess in guesses], matches


def is_same(tag: str, other: str) -> bool:
    """Returns whether two tags are one language to the identifiers; `und` is like no other.

    Scripts do not count (`srp`, `srp-Latn`), nor do differences that they cannot see: Croatian,
    Bosnian and Serbian, Bokmål and Danish, Indonesian and Malay, ...
    """
    return tag == other or (UNKNOWN_LANG not in (tag, other) and _group_of(tag) == _group_of(other))


def is_known_language(tag: str) -> bool:
    """Returns whether both identifiers have this very language, so that their answer counts.

    Of a language in another script than the usual one (`bel-Latn`) they know nothing, but for
    Chinese and Serbian, which are written in two.
    """
    base, _, script = tag.partition("-")
    if script and base not in ("zho", "srp"):
        return False
    return base in _langid_languages() and base in _cld2_languages()


def _num_letters(text: str) -> int:
    """Counts letters and marks (Unicode's general categories L and M)."""
    return sum(unicodedata.category(char)[0] in "LM" for char in text)


def _ask_cld2(sentence: str) -> tuple[str, bool]:
    text = sentence[:_MAX_CHARS]
    if not text.isprintable():
        text = _REFUSED.sub(" ", text)
    is_reliable, _, details = _cld2_detect()(text, isPlainText=True)
    return _tag_of(details[0][1]), is_reliable


@cache
def _cld2_detect():  # type: ignore[no-untyped-def]  # noqa: ANN202 - a function of a C module.
    return require("pycld2", "corpus").detect


@cache
def _tag_of(code: str) -> str:
    # Not known: un, zxx (no language), zzp (pig Latin), xx-Bugi (a script alone).
    return canonical_tag(code) if is_language(code) else UNKNOWN_LANG


@cache
def _group_of(tag: str) -> str:
    base = tag.partition("-")[0]
    return next((group[0] for group in _GROUPS if base in group), base)


@cache
def _langid_groups() -> frozenset[str]:
    return frozenset(map(_group_of, _langid_languages()))


@cache
def _langid_languages() -> frozenset[str]:
    return _bases(load_naive_bayes().labels)


@cache
def _cld2_languages() -> frozenset[str]:
    cld2 = require("pycld2", "corpus")
    codes = {name.upper(): code for name, code in cld2.LANGUAGES}
    return _bases(codes.get(name.upper(), "un") for name in cld2.DETECTED_LANGUAGES)


def _bases(codes: Iterable[str]) -> frozenset[str]:
    """Returns ISO 639-3 codes."""
    return frozenset({_tag_of(code).partition("-")[0] for code in codes} - {UNKNOWN_LANG})
