"""Pairs that are no good, made of pairs that are.

Takes: trusted pairs. Gives: as many wrong ones, of several kinds.
Source: the negatives of bicleaner-ai (Zaragoza-Bernabeu et al. 2022), as an idea.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["ERRORS", "make_errors"]

_NUMBER = re.compile(r"\d+")
ERRORS = ("shuffled", "neighbour", "cut", "number", "copy")
"""Another target; one of rank 2 to 4; half of the target; a number changed; not translated."""

_NEAREST = (1, 4)  # Of the targets nearest to a target, its own the first.


def make_errors(
    sources: Sequence[str],
    targets: Sequence[str],
    target_vectors: NDArray[np.floating],
    generator: np.random.Generator,
) -> tuple[list[str], list[str]]:
    """Returns for each pair a wrong target or none that fits, and which error was made.

    Args:
        sources: N texts.
        targets: as many.
        target_vectors: (N, D) of the targets, unit rows; neighbours are searched among them.
        generator: chooses.
    """
    num_pairs = len(sources)
    others = generator.permutation(num_pairs)
    others[others == np.arange(num_pairs)] -= 1  # Row 0 takes the last.
    kinds = generator.integers(len(ERRORS), size=num_pairs)
    ranks = generator.integers(*_NEAREST, size=num_pairs)
    wrong: list[str] = []
    made: list[str] = []
    for row in range(num_pairs):
        kind = ERRORS[int(kinds[row])]
        text = targets[row]
        if kind == "neighbour":
            order = np.argsort(-(target_vectors @ target_vectors[row]), kind="stable")
            text = targets[int(order[min(int(ranks[row]), num_pairs - 1)])]
        elif kind == "copy":
            text = sources[row]
        elif kind in _EDITS:
            text = _EDITS[kind](text)
        if text == targets[row]:  # Nothing to cut or change.
            kind, text = "shuffled", targets[int(others[row])]
        wrong.append(text)
        made.append(kind)
    return wrong, made


def _cut(text: str) -> str:
    words = text.split(" ")
    return " ".join(words[: (len(words) + 1) // 2]) if len(words) > 1 else text[: len(text) // 2]


def _change_number(text: str) -> str:
    return _NUMBER.sub(lambda match: str(int(match[0]) * 3 + 7), text, count=1)


_EDITS: dict[str, Callable[[str], str]] = {"cut": _cut, "number": _change_number}
