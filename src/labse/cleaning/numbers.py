"""Whether two texts hold the same numbers, each compared by its value.

Takes: two texts. Gives: the share of the numbers of one side that the other does not have.
Source: docs/cleaning.md; `number_reading` says what a number may stand for.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from labse.cleaning.number_reading import (
    Number,
    count_written,
    has_digits,
    join_spaced,
    names_month,
    read_numbers,
    to_ascii_digits,
)

__all__ = ["number_mismatch"]


def number_mismatch(source: str, target: str) -> float:
    """Returns the share of the numbers that the other side does not have; 0 if one side has none.

    A number is its value: 1,000.50 is 1.000,50, a date is one number with its month as figure or
    word, 7.30 pm is 19:30, and digits are of any script. One side may spell its numbers out, so
    nothing can be said where it has no digits; for the same reason a number up to 12 is missed only
    where the other side has one too many.
    """
    if not (has_digits(source) and has_digits(target)):
        return 0.0
    source, target = to_ascii_digits(source), to_ascii_digits(target)
    is_alike = count_written(source) == count_written(target)
    if is_alike and not (names_month(source) and names_month(target)):
        return 0.0  # Most pairs.
    share = _share_of_odd(read_numbers(source), read_numbers(target))
    # A plain space parts thousands (10 000), or two numbers.
    spaced = join_spaced(source), join_spaced(target)
    if share and spaced != (source, target):
        share = min(share, _share_of_odd(read_numbers(spaced[0]), read_numbers(spaced[1])))
    return share


def _share_of_odd(source: list[Number], target: list[Number]) -> float:
    """Returns the share of the figures of the side with more that have no partner."""
    total = max(_num_figures(source), _num_figures(target))
    missing, added = _without_pairs(*sorted((sorted(source), sorted(target))))
    if not (missing or added):
        return 0.0
    missing, added = _without_parts(missing, added)
    if missing and added:
        num_odd = max(_num_figures(missing), _num_figures(added))
    else:
        num_odd = _num_figures(number for number in missing + added if not number.may_be_spelled)
    return min(num_odd / total, 1.0)


def _num_figures(numbers: Iterable[Number]) -> int:
    return sum(max(len(number.parts), 1) for number in numbers)


def _without_pairs(source: list[Number], target: list[Number]) -> tuple[list[Number], list[Number]]:
    """Leaves out numbers of both sides that have a reading in common."""
    by_reading: dict[str, list[int]] = defaultdict(list)
    for place in reversed(range(len(target))):
        for reading in target[place].readings:
            by_reading[reading].append(place)
    taken: set[int] = set()
    missing: list[Number] = []
    for number in sorted(source, key=lambda number: len(number.readings)):
        for reading in number.readings:
            places = by_reading.get(reading, [])
            while places and places[-1] in taken:
                places.pop()
            if places:
                taken.add(places.pop())
                break
        else:
            missing.append(number)
    return missing, [number for place, number in enumerate(target) if place not in taken]


def _without_parts(missing: list[Number], added: list[Number]) -> tuple[list[Number], list[Number]]:
    """Compares what is left by its parts.

    So 30.10.2007 is `30 XXX 2007` in a language whose months are not known, 19:30 is `19 Uhr 30`,
    and `18 and 19 June` is `June 18-19`.
    """
    sides = [_take_apart(side) for side in (missing, added)]
    first, second = sides
    common = first.figures & second.figures
    first.figures -= common
    second.figures -= common

    # A month is that of the other side, or a figure there.
    rest = []
    for names in first.months:
        partner = next((m for m in second.months if not set(m).isdisjoint(names)), None)
        if partner is None:
            rest.append(names)
        else:
            second.months.remove(partner)
    first.months = rest
    for side, other in ((first, second), (second, first)):
        if other.months:  # Both name one, and not the same.
            continue
        for names in tuple(side.months):
            if figure := next((name for name in names if other.figures[name] > 0), None):
                other.figures[figure] -= 1
                side.months.remove(names)

    # Times and decimals may be written apart.
    for side, other in ((first, second), (second, first)):
        rest_whole = []
        for number in side.whole:
            parts = Counter(number.parts)
            if parts and parts <= other.figures:
                other.figures -= parts
            else:
                rest_whole.append(number)
        side.whole = rest_whole
    return first.numbers(), second.numbers()


@dataclass(slots=True)
class _Parts:
    """What one side has beyond the other: figures, months, and numbers that stay whole."""

    figures: Counter[str]
    months: list[tuple[str, ...]]
    whole: list[Number]

    def numbers(self) -> list[Number]:
        figures = [*self.figures.elements(), *(names[0] for names in self.months)]
        return [*self.whole, *(Number((figure,), (figure,)) for figure in figures)]


def _take_apart(numbers: list[Number]) -> _Parts:
    whole = [number for number in numbers if number.kind == "whole"]
    apart = [number for number in numbers if number.kind != "whole"]
    return _Parts(
        Counter(part for number in apart for part in number.parts),
        [number.months for number in apart if number.months],
        whole,
    )
