"""TMX 1.4b out: one translation unit a pair, written as a stream.

Takes: rows with the columns source, target, source_lang and target_lang.
Gives: a document that XML parsers read; characters that XML 1.0 forbids become U+FFFD.
Source: https://www.gala-global.org/tmx-14b; XML 1.0, production 2 (Char).
"""

import re
from collections.abc import Iterable, Sequence
from typing import IO
from xml.sax.saxutils import escape, quoteattr

from labse import __version__
from labse.corpus.languages import find_language
from labse.errors import LabseError, UsageError

__all__ = ["write_tmx_rows"]

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

    stream.write(_HEADER.encode())
    number = num_altered = 0
    for number, row in enumerate(rows, start=1):
        source, target, source_lang, target_lang = (str(row[place]) for place in places)
        props = [f"<prop type={quoteattr(columns[n])}>{escape(str(row[n]))}</prop>" for n in extras]
        variants = [_variant(source_lang, source), _variant(target_lang, target)]
        unit = f"<tu srclang={quoteattr(_to_bcp47(source_lang))}>{''.join(props + variants)}</tu>\n"
        unit, num_illegal = _ILLEGAL.subn("\ufffd", unit)
        try:
            stream.write(unit.encode())
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


def _variant(lang: str, text: str) -> str:
    # A bare \r would be read back as \n (XML 1.0, section 2.11).
    segment = escape(text, {"\r": "&#13;"})
    return f'<tuv xml:lang="{_to_bcp47(lang)}"><seg>{segment}</seg></tuv>'


def _to_bcp47(lang: str) -> str:
    """Returns the shortest code, as BCP 47 wants: `de` for `deu`, `sr-Latn` for `srp-Latn`."""
    language = find_language(lang)
    _, hyphen, script = language.tag.partition("-")
    return f"{language.iso639_1}{hyphen}{script}" if language.iso639_1 else language.tag
