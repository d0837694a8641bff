"""XML as a stream: what a parser has finished comes out before the rest is read.

Takes: a file (plain, `.bz2`, `.gz`, `.zst`) and what handles its elements.
Gives: what that puts into a list, in constant memory; entities are refused.
Source: expat, the parser of Python; https://docs.python.org/3/library/pyexpat.html. UTF-8, UTF-16,
    Latin-1 and single-byte encodings are told apart as XML says.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar
from xml.parsers import expat

from labse.errors import LabseError
from labse.files.text import max_line_bytes, read_chunks

__all__ = ["Handlers", "iter_xml"]

T = TypeVar("T")

_MAX_DEPTH = 100_000  # The parser holds each that is open.


class Handlers(Protocol[T]):
    """Gathers parts of a document while the parser goes over its elements."""

    finished: list[T]

    def start(self, name: str, attributes: dict[str, str], /) -> None:
        """Takes the begin of an element."""

    def end(self, name: str, /) -> None:
        """Takes the end of an element."""

    def text(self, text: str, /) -> None:
        """Takes a piece of the text between tags."""

    def num_held(self) -> int:
        """Returns the characters held of what is not finished."""


def iter_xml(path: str | Path, handlers: Handlers[T]) -> Iterator[T]:
    """Parses a file and yields, and forgets, what the handlers append to `finished`.

    A document type is allowed, its file is not fetched. A declaration of an entity is refused: it
    could stand for gigabytes ("billion laughs") or for a file of this machine.

    Args:
        path: the file.
        handlers: what is called for each element and text.

    Raises:
        LabseError: not well-formed XML, cut short, empty, it declares an entity, something in it
            is longer than `max_line_bytes()`, or elements are too deep; with the line.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = 0

    def open_element(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise LabseError(
                f"{path}, line {parser.CurrentLineNumber}: more than {_MAX_DEPTH:,} elements stand "
                "one inside the other; mend the file"
            )
        handlers.start(name, attributes)

    def close_element(name: str) -> None:
        nonlocal depth
        depth -= 1
        handlers.end(name)

    parser.StartElementHandler = open_element
    parser.EndElementHandler = close_element
    parser.CharacterDataHandler = handlers.text

    def refuse(name: str | None, *_: object) -> NoReturn:
        raise LabseError(
            f"{path}, line {parser.CurrentLineNumber}: declares the entity {name!r}; entities are "
            "refused, since they can stand for gigabytes or for files of this machine"
        )

    parser.EntityDeclHandler = refuse
    try:
        most, num_bytes, place = max_line_bytes(), 0, 0
        for chunk in read_chunks(path):
            parser.Parse(chunk, False)
            # A tag or a comment without an end is kept whole, and read again at each chunk.
            num_bytes += len(chunk)
            place = max(place, parser.CurrentByteIndex)
            if num_bytes - place > most:
                raise LabseError(
                    f"{path}, line {parser.CurrentLineNumber}: more than {most >> 20} MiB without "
                    "the end of a tag; mend the file, or raise the bound with labse --max-line"
                )
            if handlers.num_held() > most:
                raise LabseError(
                    f"{path}, line {parser.CurrentLineNumber}: a text of more than {most >> 20} Mi "
                    "characters; split it, or raise the bound with labse --max-line"
                )
            yield from handlers.finished
            handlers.finished.clear()
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise LabseError(
            f"{path}, line {error.lineno}: not well-formed XML ({expat.ErrorString(error.code)})"
        ) from None
    except (LookupError, UnicodeDecodeError, ValueError) as error:
        raise LabseError(f"{path}: text in an encoding that cannot be read ({error})") from None
    yield from handlers.finished
    handlers.finished.clear()
