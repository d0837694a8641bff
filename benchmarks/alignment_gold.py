"""Gold alignments from sentences that are parallel line by line: merge, split, drop.

Every pair of lines is, by the draws of one seeded generator and in this order,
- dropped on one side (its line on the other side has no counterpart: 1:0 or 0:1),
- merged with the next one or two pairs on one side (2:1, 3:1, 1:2, 1:3),
- merged with the next pair on both sides at different places (2:2: both sides join both lines and
  cut the sum at another place than between them),
- split on one side at the punctuation mark or space nearest to its middle (1:2, 2:1),
- or left as it is (1:1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["GoldDocument", "build_gold"]

_DROPPED, _MERGED, _CROSSED, _SPLIT = 0.06, 0.10, 0.02, 0.08
_MARKS = ".,;:!?。、，；：！？؟،؛।॥።፣፤၊။"


@dataclass(frozen=True, slots=True)
class GoldDocument:
    """Two documents and their beads: line numbers, from 0, of both sides."""

    source: list[str]
    target: list[str]
    beads: list[tuple[list[int], list[int]]]


def build_gold(
    source_lines: Sequence[str], target_lines: Sequence[str], generator: np.random.Generator
) -> GoldDocument:
    gold = GoldDocument([], [], [])
    i = 0
    while i < len(source_lines):
        left = len(source_lines) - i
        draw, side = generator.random(), int(generator.integers(2))
        if draw < _DROPPED:
            sides, used = ([source_lines[i]], [target_lines[i]]), 1
            sides[side].clear()
        elif draw < _DROPPED + _MERGED and left > 1:
            used = min(left, 2 + int(generator.random() < 0.3))
            sides = list(source_lines[i : i + used]), list(target_lines[i : i + used])
            sides[side][:] = [" ".join(sides[side])]
        elif draw < _DROPPED + _MERGED + _CROSSED and left > 1:
            used = 2
            sides = list(source_lines[i : i + 2]), list(target_lines[i : i + 2])
            sides[side][:] = _split(" ".join(sides[side])) or sides[side]
        elif draw < _DROPPED + _MERGED + _CROSSED + _SPLIT:
            used = 1
            sides = [source_lines[i]], [target_lines[i]]
            sides[side][:] = _split(sides[side][0]) or sides[side]
        else:
            sides, used = ([source_lines[i]], [target_lines[i]]), 1
        numbers = (
            list(range(len(gold.source), len(gold.source) + len(sides[0]))),
            list(range(len(gold.target), len(gold.target) + len(sides[1]))),
        )
        gold.source.extend(sides[0])
        gold.target.extend(sides[1])
        gold.beads.append(numbers)
        i += used
    return gold


def _split(text: str) -> list[str] | None:
    """Cuts a text in two; None if there is no place to cut it but inside a word."""
    places = [i for i in range(1, len(text) - 1) if text[i] == " " or text[i - 1] in _MARKS]
    if not places:
        return None
    middle = len(text) / 2
    # A mark is as good as a space that is a quarter of the text nearer to the middle.
    place = min(
        places, key=lambda i: abs(i - middle) - (len(text) / 4 if text[i - 1] in _MARKS else 0)
    )
    parts = [text[:place].strip(), text[place:].strip()]
    return parts if all(parts) else None
