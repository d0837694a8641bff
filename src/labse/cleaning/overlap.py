"""Overlap with test sets: training text that a model will be scored on.

Takes: a folder of test sets. Gives: whether a text is one of their sentences but for case, spaces
and punctuation.
Source: docs/evaluation.md; the rule of recipes/default/prepare.py, as keys of 16 bytes, so that ten
million test sentences take about a gigabyte.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from labse.errors import LabseError
from labse.files.text import read_lines

__all__ = ["HeldOutSentences", "find_test_files", "fold_text", "read_held_out_sentences"]


class HeldOutSentences:
    """A set of sentences that near copies are found in."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self._keys = {_digest(folded) for s in sentences if (folded := fold_text(s))}

    def __len__(self) -> int:
        """Returns how many different ones there are, blank ones aside."""
        return len(self._keys)

    def __contains__(self, text: str) -> bool:
        """Returns whether `text` has the letters and digits of a test sentence, in their order."""
        return _digest(fold_text(text)) in self._keys


def fold_text(text: str) -> str:
    """Returns the letters and digits of a text, lower-cased: near copies have equal ones.

    Marks of scripts that spell vowels with them are dropped as well, on both sides alike.
    """
    return "".join(filter(str.isalnum, text.lower()))


def find_test_files(folder: str | Path) -> list[Path]:
    """Returns every file below a folder of test sets, through links too, but those named README."""
    return sorted(
        Path(parent, name)
        for parent, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name != "README"
    )


def read_held_out_sentences(folder: str | Path) -> HeldOutSentences:
    """Reads every line of every file below a folder of test sets, and the fields of each line.

    Fields are what tabs part: BUCC has an identifier before the sentence, STS scores and two
    sentences. Files named README are not read.

    Raises:
        LabseError: no file there, or one that is no UTF-8 text.
    """
    files = find_test_files(folder)
    if not files:
        raise LabseError(f"{folder}: no test sets to check the training data against")
    return HeldOutSentences(text for file in files for text in _read_texts(file))


def _read_texts(file: Path) -> Iterator[str]:
    for line in read_lines(file):
        yield line
        if "\t" in line:
            yield from line.split("\t")


def _digest(folded: str) -> bytes:
    return hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=16).digest()
