"""PO in: the messages of a catalogue of GNU gettext, `.po` and `.pot`.

Takes: a file, also `.bz2`, `.gz` and `.zst`. Gives: a row for each message and plural form.
Source: polib (MIT); https://www.gnu.org/software/gettext/manual/html_node/PO-Files.html.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labse.corpus.xliff import Unit
from labse.errors import LabseError
from labse.files.text import max_line_bytes, read_chunks
from labse.runtime import require

__all__ = ["read_po"]

_MAX_LINES = 4  # Of the greatest length, in a catalogue: 64 MiB.
_CHARSET = re.compile(rb"charset=([\w.:-]+)")
_LINE_ENDS = re.compile(r"[ \t]*[\r\n]+[ \t]*")


def read_po(path: str | Path) -> Iterator[Unit]:
    """Yields the messages that are not obsolete; the languages are those of the header.

    A message that is not translated, or whose translation is marked as fuzzy, has an empty target.
    Of a plural, the first form goes with the singular, the last with the plural. Line ends inside
    become spaces.

    Raises:
        LabseError: not such a file, or text that its charset does not allow.
        ResourceError: polib is not installed.
    """
    catalogue = _parse(path)
    langs = catalogue.metadata.get("X-Source-Language", ""), catalogue.metadata.get("Language", "")
    for entry in catalogue:
        if entry.obsolete:
            continue
        forms = [entry.msgstr]
        if entry.msgid_plural:
            forms = [form for _, form in sorted(entry.msgstr_plural.items())] or [""]
        if entry.fuzzy:
            forms = [""]
        yield Unit(_one_line(entry.msgid), _one_line(forms[0]), *langs)
        if entry.msgid_plural:
            yield Unit(_one_line(entry.msgid_plural), _one_line(forms[-1]), *langs)


def _parse(path: str | Path) -> Any:  # noqa: ANN401 - polib has no types
    polib = require("polib", "corpus")
    content = _read_whole(path).removeprefix(b"\xef\xbb\xbf")
    found = _CHARSET.search(content[:65_536])
    charset = found[1].decode() if found else "utf-8"
    try:
        text = content.decode("utf-8" if charset.upper() == "CHARSET" else charset)
    except (LookupError, UnicodeDecodeError) as error:
        raise LabseError(f"{path}: text that is not {charset}: {error}") from None
    text = text.replace("\r\n", "\n")
    if not re.search(r"^\s*msgid\s", text, re.MULTILINE):
        if text.strip():
            raise LabseError(f"{path}: not PO: no line begins with msgid")
        return polib.POFile()
    try:
        return polib.pofile(text if "\n" in text else text + "\n")
    except (OSError, ValueError, IndexError, UnicodeError) as error:
        raise LabseError(f"{path}: not PO that can be read: {error}") from None


def _read_whole(path: str | Path) -> bytes:
    most, num_bytes, chunks = _MAX_LINES * max_line_bytes(), 0, []
    for chunk in read_chunks(path):
        chunks.append(chunk)
        num_bytes += len(chunk)
        if num_bytes > most:
            raise LabseError(
                f"{path}: more than {most >> 20} MiB, and a catalogue is held whole; split it, or "
                "raise the bound with labse --max-line"
            )
    return b"".join(chunks)


def _one_line(text: str) -> str:
    return _LINE_ENDS.sub(" ", text).strip()
