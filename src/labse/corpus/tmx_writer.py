"""TMX 1.4b out: one translation unit a pair, written as a stream.

Takes: rows with the columns source, target, source_lang and target_lang.
Gives: a document that XML parsers read; characters that XML 1.0 forbids become U+FFFD.
Source: https://www.gala-global.org/tmx-14b; XML 1.0, production 2 (Char).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO
from xml.sax.saxutils import escape, quoteattr

from labse import __version__
from labse.corpus.languages import find_language
from labse.errors import LabseError, UsageError

__all__ = ["TmxUnit", "write_tmx_rows", "write_tmx_units"]

_PAIR_COLUMNS = ("source", "target", "source_lang", "target_lang")
# Surrogates are not named here: they are no text in any format, so they stay an error.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def write_tmx_rows(
    stream: IO[bytes], columns: Sequence[str], rows: Iterable[Sequence[str | int | float]]
) -> tuple[int, int]:
    """Writes a document and returns the numbers of rows and of rows with a forbidden character.

    The header names no source language (`*all*`), since each row has its own. A column beside the
    four of a pair becomes `<prop type="NAME">`.

    Raises:
        LabseError: a lone surrogate, with the number of the row.
        UsageError: one of the four columns is missing.
    """
    if missing := [name for name in _PAIR_COLUMNS if name not in columns]:
        raise UsageError(f"TMX needs the column {missing[0]}; the rows have {', '.join(columns)}")
    places = [columns.index(name) for name in _PAIR_COLUMNS]
    extras = [n for n, name in enumerate(columns) if name not in _PAIR_COLUMNS]
    units = (
        TmxUnit(
            source, target, source_lang, target_lang, [(columns[n], str(row[n])) for n in extras]
        )
        for row in rows
        for source, target, source_lang, target_lang in ([str(row[place]) for place in places],)
    )
    return write_tmx_units(stream, units)


@dataclass(frozen=True, slots=True)
class TmxUnit:
    """A pair with what is told of it: of the unit, and of each of its sides.

    Attributes:
        props: type and value of each `<prop>` of the unit.
        source_props: those of the source, such as the addresses that it stands under.
        target_props: those of the target.
    """

    source: str
    target: str
    source_lang: str
    target_lang: str
    props: Sequence[tuple[str, str]] = ()
    source_props: Sequence[tuple[str, str]] = ()
    target_props: Sequence[tuple[str, str]] = ()


def write_tmx_units(stream: IO[bytes], units: Iterable[TmxUnit]) -> tuple[int, int]:
    """Writes a document and returns the numbers of units and of units with a forbidden character.

    Raises:
        LabseError: a lone surrogate, with the number of the unit.
    """
    stream.write(_HEADER.encode())
    number = num_altered = 0
    for number, unit in enumerate(units, start=1):
        props = _format_props(unit.props)
        variants = [
            _variant(unit.source_lang, unit.source, unit.source_props),
            _variant(unit.target_lang, unit.target, unit.target_props),
        ]
        lang = quoteattr(_to_bcp47(unit.source_lang))
        text = f"<tu srclang={lang}>{props}{''.join(variants)}</tu>\n"
        text, num_illegal = _ILLEGAL.subn("\ufffd", text)
        try:
            stream.write(text.encode())
        except UnicodeEncodeError:
            raise LabseError(f"TMX, row {number}: a lone surrogate; remove it") from None
        num_altered += num_illegal > 0
    stream.write(b"</body>\n</tmx>\n")
    return number, num_altered


_HEADER = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<tmx version="1.4">\n'
    f'<header creationtool="labse" creationtoolversion="{__version__}" segtype="sentence" '
    'o-tmf="labse" adminlang="en" srclang="*all*" datatype="plaintext"/>\n'
    "<body>\n"
)


def _variant(lang: str, text: str, props: Sequence[tuple[str, str]]) -> str:
    # A bare \r would be read back as \n (XML 1.0, section 2.11).
    segment = escape(text, {"\r": "&#13;"})
    told = _format_props(props)
    return f'<tuv xml:lang="{_to_bcp47(lang)}">{told}<seg>{segment}</seg></tuv>'


def _format_props(props: Sequence[tuple[str, str]]) -> str:
    return "".join(f"<prop type={quoteattr(name)}>{escape(value)}</prop>" for name, value in props)


def _to_bcp47(lang: str) -> str:
    """Returns the shortest code, as BCP 47 wants: `de` for `deu`, `sr-Latn` for `srp-Latn`."""
    language = find_language(lang)
    _, hyphen, script = language.tag.partition("-")
    return f"{language.iso639_1}{hyphen}{script}" if language.iso639_1 else language.tag
