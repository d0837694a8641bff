r"""Records: a sentence, and a pair of sentences that are translations of each other.

Takes: text and canonical language tags.
Gives: frozen records whose text is one line that UTF-8 can write.
Source: docs/design.md, promises: rows never shift.
"""

from dataclasses import dataclass

__all__ = ["Sentence", "SentencePair"]


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
