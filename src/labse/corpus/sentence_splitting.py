"""Sentences out of paragraphs, for all 109 languages of LaBSE.

Takes: one paragraph and its language. Gives: its sentences, in order; nothing but white space
    between them is lost.
Source: sentencex (MIT, Wikimedia) for most; docs/corpus.md lists the rules that stand beside it and
    what they were measured on. Terminators: Unicode 16, property Sentence_Terminal. Abbreviations:
    abbreviations.tsv, whose first lines say whence.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from importlib import resources

from labse.corpus.languages import find_language
from labse.corpus.records import TextRecord
from labse.runtime import require

__all__ = ["split_records", "split_sentences"]

# Marks that may stand between the end of a sentence and the white space after it.
_CLOSERS = r"[\"'”’»›)\]}」』】）]*"
# A sentence ends after a match. Scripts in which sentencex 1.0 has no or the wrong terminators.
_ENDS = {
    # Khan, bariyoosan, koomuut.
    "Khmr": re.compile(rf"(?:[។៕៚!?…]|៖(?=\s*[«“\"])){_CLOSERS}\s*"),
    # The section mark; the little section mark (U+104A) is a comma, for which sentencex splits.
    "Mymr": re.compile(rf"[။!?…]{_CLOSERS}\s*|(?<![\d.])[.]{_CLOSERS}\s+"),
    # Shad, or two, before white space; tsheg and shad inside a phrase go on.
    "Tibt": re.compile(r"(?:[།༎༏༐༑༔]\s*)+(?:\s+|$)|[?!]\s*"),
}
# Thai ends no sentence with a mark but parts them, and clauses, with a space.
_THAI_LETTER = r"[\u0e01-\u0e3a\u0e40-\u0e4e]"
_THAI_END = re.compile(
    rf"[!?…]+{_CLOSERS}\s*|(?<=[\u0e00-\u0e7f])[.]\s+|(?<={_THAI_LETTER})\s+(?={_THAI_LETTER})"
)
_MIN_THAI_CHARACTERS = 8
_FULL_STOP = re.compile(rf"[.．。](?P<closers>{_CLOSERS})(?P<space>\s*)$")
# What stands before a full stop: `Mme`, `art` of `l'art`, `z.B`.
_WORD = re.compile(r"[^\s\"'‘’“”„«»(\[{/]+$")
_PERSONAL_INITIALS = re.compile(r"[^\W\d_](?:\.-?[^\W\d_])*")
# They look like initials of names and end sentences.
_NO_INITIALS = frozenset({"U.S", "U.S.A", "U.K", "U.N", "E.U", "D.C", "A.D", "B.C", "P.M", "A.M"})
_ROMAN = re.compile(r"[IVXLC]+\b")
_THAI_ABBREVIATION = re.compile(r"(?:^|[\s(])[ก-ฮ]{1,4}(?:\.[ก-ฮ]{1,4})*$")
_INITIALS = re.compile(r"(?:^|[^\w.])[^\W\d_](?:\.[^\W\d_])+\.\s*$")
# sentencex takes them for quotes and ends no sentence between two; in many languages they are
# letters or stand for some. As long as what they replace.
_APOSTROPHES = "'‘’"
_NEUTRAL_APOSTROPHE = "\u02bc"
_IDEOGRAPHIC_STOP = re.compile(r"[。！？](?=\d)")
_MAX_CHARACTERS = 20_000  # What sentencex is given at a time.


def split_sentences(text: str, lang: str) -> list[str]:
    """Returns the sentences of a paragraph, stripped; none is empty.

    Joined again, they equal the text but for white space, which is also where a paragraph of more
    than 20,000 characters is cut first.

    Args:
        text: the paragraph.
        lang: any code that `find_language` knows; `und` is split as English.

    Raises:
        ResourceError: sentencex is not installed.
        UsageError: unknown language.
    """
    language = find_language(lang)
    if language.script == "Thai":
        pieces = _split_thai(text)
    elif ends := _ENDS.get(language.script):
        pieces = _cut(text, (match.end() for match in ends.finditer(text)))
    else:
        code = language.iso639_1 or language.tag.partition("-")[0]
        pieces = _split_with_sentencex(text, code, language.tag)
    return [stripped for piece in pieces if (stripped := piece.strip())]


def split_records(records: Iterable[TextRecord]) -> Iterator[TextRecord]:
    """Yields a record for each sentence; a record without text is one still."""
    for record in records:
        sentences = split_sentences(record.text, record.lang)
        for sentence in sentences or [""]:
            yield replace(record, text=sentence)


def _cut(text: str, ends: Iterable[int]) -> Iterator[str]:
    start = 0
    for end in ends:
        yield text[start:end]
        start = end
    yield text[start:]


def _split_thai(text: str) -> Iterator[str]:
    """Cuts at marks, and at spaces once a piece has the length of a short sentence."""
    start = 0
    for match in _THAI_END.finditer(text):
        is_mark = not match[0].isspace()
        if match[0][0] == "." and _THAI_ABBREVIATION.search(text, start, match.start()):
            continue
        if is_mark or match.start() - start >= _MIN_THAI_CHARACTERS:
            yield text[start : match.end()]
            start = match.end()
    yield text[start:]


def _split_with_sentencex(text: str, code: str, tag: str) -> Iterator[str]:
    segment = require("sentencex", "corpus").segment
    pending = ""
    for part in _cut(text, _breaks(text)):
        neutral = part
        for apostrophe in _APOSTROPHES:
            neutral = neutral.replace(apostrophe, _NEUTRAL_APOSTROPHE)
        lengths = map(len, segment(code, neutral))
        for piece in _recut(_cut(part, itertools.accumulate(lengths))):
            if pending and not _is_end(pending, piece, tag):
                pending += piece
                continue
            if pending:
                yield pending
            pending = piece
    yield pending


def _recut(pieces: Iterable[str]) -> Iterator[str]:
    """Cuts Chinese and Japanese before a digit, where sentencex goes on as after a full stop."""
    for piece in pieces:
        yield from _cut(piece, (match.end() for match in _IDEOGRAPHIC_STOP.finditer(piece)))


def _is_end(piece: str, following: str, tag: str) -> bool:
    """Tells whether what sentencex took for the end of a sentence is one.

    After a full stop, a lower-case letter goes on; without white space, anything but an upper-case
    letter does, and after letters with stops between, in a script without case, any: Tamil and
    Amharic write abbreviations so. After an abbreviation of the language, and after the initial of
    a name, a sentence goes on.
    """
    match = _FULL_STOP.search(piece[-20:])
    if not match or "。" in match[0]:
        return True
    if not match["closers"] and _is_abbreviated(piece[-40:].rstrip()[:-1], following.lstrip(), tag):
        return False
    first = following.lstrip()[:1]
    if _INITIALS.search(piece[-20:]) and first.upper() == first.lower():
        return False
    if match["space"] or following[:1].isspace():
        return not (first.islower() and first.title() != first)  # Georgian has no capitals in use.
    return first.isupper()


def _is_abbreviated(before: str, after: str, tag: str) -> bool:
    """Tells whether the full stop between is that of an abbreviation inside a sentence."""
    found = _WORD.search(before)
    if not found or not after:
        return False
    word = found[0]
    if len(word) <= 3 and word.islower() and before[: found.start()].rstrip()[-1:].isdigit():
        return False  # A unit, as in "2 m. Er"; or the year of "2007 г. Он".
    names, numbers = _abbreviations(tag)
    lowered = word[0].lower() + word[1:]
    if (word in numbers or lowered in numbers) and (after[0].isdigit() or _ROMAN.match(after)):
        return True
    if word in names or lowered in names:
        return after[0].isalnum() or after[0] in "\"“„«'‘’("
    is_initial = _PERSONAL_INITIALS.fullmatch(word) and word.isupper() and word not in _NO_INITIALS
    # "It was I. He knew": in English, the pronoun is no initial.
    return bool(is_initial) and after[0].isupper() and (word, tag) != ("I", "eng")


@cache
def _abbreviations(tag: str) -> tuple[frozenset[str], frozenset[str]]:
    """Returns the abbreviations of a language after which a sentence goes on.

    Returns:
        Those before anything, mostly names, and those before a number.
    """
    text = resources.files("labse.corpus").joinpath("abbreviations.tsv").read_text("utf-8")
    words: dict[str, set[str]] = {"name": set(), "number": set()}
    for line in text.splitlines():
        if line.startswith(f"{tag}\t"):
            _, kind, listed = line.split("\t")
            words[kind].update(listed.split(" "))
    return frozenset(words["name"]), frozenset(words["number"])


def _breaks(text: str) -> Iterator[int]:
    """Yields places of white space, at most 20,000 characters apart where there is any."""
    start = 0
    while len(text) - start > _MAX_CHARACTERS:
        place = text.rfind(" ", start, start + _MAX_CHARACTERS) + 1
        start = place if place > start else start + _MAX_CHARACTERS
        yield start
