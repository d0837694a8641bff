r"""Records: a sentence, a document, a line of it, and a pair of translations of each other.

Takes: text and canonical language tags.
Gives: frozen records whose text is one line that UTF-8 can write.
Source: docs/design.md, promises: rows never shift.
"""

from dataclasses import dataclass

__all__ = ["UNKNOWN_LANG", "Document", "Sentence", "SentencePair", "TextRecord"]

UNKNOWN_LANG = "und"


@dataclass(frozen=True, slots=True)
class Sentence:
    r"""One sentence; it may be empty and may hold any character but `\n`, `\r` and surrogates.

    NUL and Unicode's other line separators are text: no reader of labse splits at them.

    Raises:
        ValueError: `text` is more than one line, or a lone surrogate makes it no Unicode text.
    """

    text: str
    lang: str

    def __post_init__(self) -> None:
        """Checks the text."""
        _check_text(self.text)


@dataclass(frozen=True, slots=True)
class SentencePair:
    """A sentence and its translation; the same rules as for `Sentence` hold for both texts.

    Raises:
        ValueError: see `Sentence`.
    """

    source: str
    target: str
    source_lang: str
    target_lang: str

    def __post_init__(self) -> None:
        """Checks both texts."""
        _check_text(self.source)
        _check_text(self.target)


@dataclass(frozen=True, slots=True)
class Document:
    r"""A text of several lines, as a web page or an encyclopedia article gives it.

    Attributes:
        text: its paragraphs, each ended by `\n`.
        lang: a tag, or `und` where the raw material does not tell.
        document: what it is called within its origin: an address, a title.
        origin: where it comes from, such as the name of the file.
    """

    text: str
    lang: str
    document: str
    origin: str


@dataclass(frozen=True, slots=True)
class TextRecord:
    """A line of a document: a paragraph, or a sentence once it is split; rules as for `Sentence`.

    Attributes:
        text: one line.
        lang: a tag, or `und`.
        document: as in `Document`; the lines of one document follow each other.
        origin: as in `Document`.

    Raises:
        ValueError: see `Sentence`.
    """

    text: str
    lang: str
    document: str
    origin: str

    def __post_init__(self) -> None:
        """Checks the text."""
        _check_text(self.text)


def _check_text(text: str) -> None:
    if "\n" in text or "\r" in text:
        raise ValueError("a line feed or carriage return inside a text; replace it with a space")
    if (
        not text.isascii()
    ):  # Runs for each record of a corpus: a flag test, far cheaper than encode.
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"a lone surrogate (U+{ord(text[error.start]):04X}) inside a text; remove it"
            ) from None
