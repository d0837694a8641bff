"""Numbers as they are written: what `30.10.2007`, `19:30` or `1.000,50` may stand for.

Takes: a text. Gives: its numbers in order, each with all its readings.
Source: notations as in Unicode CLDR, month names in months.tsv beside this module. Where languages
write two things alike (3/5 is in March or in May), both readings count.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

__all__ = [
    "Number",
    "count_written",
    "has_digits",
    "join_spaced",
    "names_month",
    "read_numbers",
    "to_ascii_digits",
]

_DIGIT, _DIGITS = re.compile(r"\d"), re.compile(r"\d+")
# Up to here languages spell numbers out at will: "3 dogs", "three dogs".
_MAX_SPELLED = 12
_MAX_DAY, _MAX_MONTH, _MAX_HOUR, _MAX_MINUTE = 31, 12, 24, 59
_BUDDHIST_YEARS, _BUDDHIST_SHIFT = range(2400, 2601), 543  # Thai years of 1857 to 2057.
_THAI_NEAR = 40  # Characters: the time of a line stays linear.
# Between digits: other widths and scripts of one separator; `'` and `_` only part thousands.
_SEPARATORS = dict(
    zip(
        "\uff0c\uff0e\uff1a\uff0f\uff0d\u2010\u2011\u2019\u066c\u060c\u06d4\u1361\u066b",
        ",.:/---'''.:\u066b",
        strict=True,
    )
)
_SEPARATOR = re.compile(rf"(?<=\d)[{''.join(_SEPARATORS)}](?=\d)")
_HARD_SPACE = re.compile(r"(?<=\d)(?:[\u00a0\u2009\u202f]|&(?:nbsp|thinsp);)(?=\d{3}(?!\d))")
_POINT = re.compile(r"(?<![\w.,])\.(?=\d)")  # .5 is 0.5.
_SPACE = re.compile(r"(?<=\d)[,.]? (?=\d{3}(?!\d))")
_WRITTEN = re.compile(r"\d+(?:[.,:/'_\u066b-]\d+)*")
_TOKEN = re.compile(
    r"""
    (?=[\d\u00bc-\u00be\u2150-\u215e])(?:
    (?P<han>(?:(\d{4})\s?[年년]\s?)?(\d{1,2})\s?[月월]\s?(\d{1,2})\s?[日일号號])
    |(?P<date>(?<![\d.])(?:
        (\d{4})(?P<part>[-/.])\s?(\d{1,2})(?P=part)\s?(\d{1,2})(?!\d|(?P=part)\d)
        |(\d{1,2})(?P<sign>[-/.])\s?(\d{1,2})(?P=sign)\s?(\d{4}|\d\d)(?!\d|(?P=sign)\d)))
    |(?P<clock>(?<![\d:])\d{1,3}:\d{1,2}(?::\d\d)?(?![\d:])
        |(?<!\d)\d{1,2}\s?[h時时點点시]\s?[0-5]\d(?!\d))
    |(?P<vulgar>\d*\s?[\u00bc-\u00be\u2150-\u215e])
    |(?P<slash>(?<![\d/])\d{1,2}/\d{1,2}(?![\d/]))
    |(?P<run>\d+(?:[.,'_\u066b]\d+)*))
    """,
    re.VERBOSE,
)
# What makes 7:30 to 19:30, or says that it is not; only where it stands beside the number.
_AFTERNOON = re.compile(
    r"\s?p\.?\s?m\b|\s(?:in the (?:afternoon|evening)|at night|du soir|de l['’]après-midi"
    r"|de la (?:tarde|noche)|della sera|del pomeriggio|da (?:tarde|noite)|(?:Uhr )?(?:nach"
    r"mittags|abends)|вечера|дня)\b",
    re.IGNORECASE,
)
_MORNING = re.compile(r"\s?a\.?\s?m\b", re.IGNORECASE)
_AFTERNOON_BEFORE = re.compile(r"(?:午後|下午|晚上|오후)\s?$")
_THAI = re.compile("[\u0e01-\u0e2e]")
# A word with its marks, which \w does not count as letters.
_WORD = re.compile(r"[^\s\d!-@\[-`{-~\u2000-\u206f\u3000-\u303f،؛।]+")
_MAX_GAP, _MAX_GAP_WORD, _MAX_SHORT, _GAP_ENDS = 14, 4, 4, frozenset("\n;:()!?")
# `lokakuussa` is lokakuu with an ending; shorter stems begin too many other words.
_MIN_STEM, _MIN_LATIN_STEM, _MAX_ENDING = 4, 6, 4


@dataclass(frozen=True, slots=True, order=True)
class Number:
    """A number, date or time.

    Attributes:
        readings: what it may stand for; two numbers with one in common are the same.
        parts: the whole numbers that it is written with.
        kind: "plain", "joined" of parts that may stand apart, or "whole": of parts that say
            nothing alone, as in 0.5.
        months: what the month of a date may be where that is sure to be one; then it is no part.
        span: where it stands.
    """

    readings: tuple[str, ...]
    parts: tuple[str, ...]
    kind: str = "plain"
    months: tuple[str, ...] = ()
    span: tuple[int, int] = (0, 0)

    @property
    def may_be_spelled(self) -> bool:
        """Whether words may stand for it on the other side: all its parts are small."""
        return all(len(part) <= 2 and int(part) <= _MAX_SPELLED for part in self.parts)


def has_digits(text: str) -> bool:
    """Tells whether a text has a digit of any script."""
    return _DIGIT.search(text) is not None


def count_written(text: str) -> Counter[str]:
    """Counts the numbers of a text as they are written."""
    return Counter(_WRITTEN.findall(text))


def join_spaced(text: str) -> str:
    """Joins figures that a plain space parts, as in 10 000."""
    return _SPACE.sub("_", text)


def names_month(text: str) -> bool:
    """Tells whether a word of the text is the name of a month in some language."""
    return any(map(_months_of, _WORD.findall(text)))


def to_ascii_digits(text: str) -> str:
    """Writes digits and their separators of any script in ASCII."""
    text = _POINT.sub("0.", _HARD_SPACE.sub("_", text))
    if text.isascii():
        return text
    text = _DIGIT.sub(lambda digit: str(unicodedata.decimal(digit.group())), text)
    return _SEPARATOR.sub(lambda separator: _SEPARATORS[separator.group()], text)


def read_numbers(text: str) -> list[Number]:
    """Returns the numbers of a text in order; a date or time is one."""
    numbers = [
        number
        for match in _TOKEN.finditer(text)
        for number in _READERS[str(match.lastgroup)](match)
    ]
    return _join_months(text, numbers)


def _read_han(match: re.Match[str]) -> list[Number]:
    *year, month, day = _figures(match)
    return [_date([(year[0] if year else "", month, day)], (*year, day), match.span())]


def _read_date(match: re.Match[str]) -> list[Number]:
    """Reads 2007-10-30, 30.10.2007 and 10/30/07; both orders of 3/5/2024."""
    figures = first, second, last = _figures(match)
    if match["part"]:
        orders = [(first, second, last)]
    elif match["sign"] == ".":  # Nobody writes the month first with full stops.
        orders = [(last, second, first)]
    else:
        orders = [(last, second, first), (last, first, second)]
    orders = [order for order in orders if _is_month(order[1]) and _is_day(order[2])]
    if not orders:
        return [Number((figure,), (figure,), span=match.span()) for figure in figures]
    is_sure = len({month for _, month, _ in orders}) == 1
    parts = (orders[0][2], orders[0][0]) if is_sure else figures
    if match["sign"] and len(match.group().rpartition(match["sign"])[2]) == 2:
        orders = [(f"{c}{y:0>2}", m, d) for y, m, d in orders for c in ("19", "20")]
    return [_date(orders, parts, match.span(), is_sure=is_sure)]


def _read_clock(match: re.Match[str]) -> list[Number]:
    """Reads 19:30 and 19h30; 3:16 may also be a verse, which others write 3,16 or 3.16."""
    figures = _figures(match)
    readings = _times(match, figures[0], figures[1])
    if len(figures) == 2:
        readings += [_decimal(figures[0], _DIGITS.findall(match.group())[1])]
    return [Number(tuple(readings), figures, "whole", span=match.span())]


def _read_vulgar(match: re.Match[str]) -> list[Number]:
    """Reads 1½, which is 1.5."""
    figures, sign = _figures(match), unicodedata.numeric(match.group()[-1])
    value = f"{int(figures[0] if figures else 0) + sign:.6f}".rstrip("0")
    return [Number((value,), figures, "whole", span=match.span())]


def _read_slash(match: re.Match[str]) -> list[Number]:
    """Reads 10/30, a day of the year or a share."""
    figures = first, second = _figures(match)
    orders = [("", first, second), ("", second, first)]
    readings = [_date_key(order) for order in orders if _is_month(order[1]) and _is_day(order[2])]
    share = [f"{int(first) / int(second):.6f}".rstrip("0")] if int(second) else []
    return [Number((*readings, f"{first}/{second}", *share), figures, "joined", span=match.span())]


def _read_run(match: re.Match[str]) -> list[Number]:
    """Reads digits with separators in them: thousands, decimals, or several numbers."""
    run, span = match.group(), match.span()
    if run.isdigit():
        return _read_whole(match)
    groups, signs = _DIGITS.findall(run), _DIGITS.sub("", run)
    first, *rest = groups
    figures = tuple(map(_plain, groups))

    # Thousands (1,000; 1'000; 1,00,000), perhaps with decimals behind them.
    has_decimals = len(signs) > 1 and signs[-1] in ".,\u066b" and signs[-1] not in signs[:-1]
    between = rest[:-1] if has_decimals else rest
    is_grouped = (
        bool(between)
        and len(set(signs[: len(between)])) == 1
        and (len(between[-1]) == 3 and first[0] != "0")
        and (
            (len(first) <= 3 and all(len(group) == 3 for group in between))
            or (len(first) <= 2 and all(len(group) == 2 for group in between[:-1]))
        )
    )
    if is_grouped and has_decimals:
        value = _decimal("".join(groups[:-1]), groups[-1])
        return [Number((value,), figures, "whole", span=span)]
    if is_grouped:
        value = _plain("".join(groups))
        # 2.125 may have three decimals; not 1.500, which would be written 1.5.
        may_be_decimal = len(groups) == 2 and signs in (".", ",", "\u066b") and run[-1] != "0"
        readings = (value, *([_decimal(*groups)] if may_be_decimal else []))
        return [Number(readings, (value,), span=span)]

    # One number with decimals, which may also be a time or, in German, a day: 19.30, 30.10.
    if len(groups) == 2 and signs in ".,\u066b":
        readings = (_decimal(*groups),)
        if signs == "." and len(groups[1]) == 2 and int(first) <= _MAX_HOUR:
            readings += tuple(_times(match, *figures))
        if signs == "." and _is_day(figures[0]) and _is_month(figures[1]):
            readings += (_date_key(("", figures[1], figures[0])),)
        return [Number(readings, figures, "whole", span=span)]

    # A list, a version, a telephone number.
    return [Number((figure,), (figure,), span=span) for figure in figures]


def _read_whole(match: re.Match[str]) -> list[Number]:
    """Reads digits alone; with pm beside them they are a time."""
    figure, span = _plain(match.group()), match.span()
    if times := _times(match, figure, None):
        return [Number((figure, *times), (figure,), "joined", span=span)]
    readings: tuple[str, ...] = (figure,)
    if len(figure) == 4 and int(figure) in _BUDDHIST_YEARS:
        near = max(span[0] - _THAI_NEAR, 0), span[1] + _THAI_NEAR
        if _THAI.search(match.string, *near):
            readings += (str(int(figure) - _BUDDHIST_SHIFT),)
    return [Number(readings, (figure,), span=span)]


_READERS: dict[str, Callable[[re.Match[str]], list[Number]]] = {
    "han": _read_han,
    "date": _read_date,
    "clock": _read_clock,
    "vulgar": _read_vulgar,
    "slash": _read_slash,
    "run": _read_run,
}


def _times(match: re.Match[str], hour: str, minute: str | None) -> list[str]:
    """Returns the times of day that are meant; of a bare hour only one with am or pm beside it."""
    if len(hour) > 2:
        return []
    hours, minutes = int(hour), int(minute or 0)
    if hours > _MAX_HOUR or minutes > _MAX_MINUTE:
        return []
    text, end = match.string, match.end()
    is_half = 1 <= hours <= 12
    if is_half and (
        _AFTERNOON.match(text, end)
        or _AFTERNOON_BEFORE.search(text[max(match.start() - 4, 0) : match.start()])
    ):
        # The other side may leave the half of the day to its reader.
        whole = [] if minutes else [f"{hours % 12 + 12}"]
        return [f"{hours % 12 + 12}:{minutes}", f"pm {hours}:{minutes}", *whole]
    if is_half and _MORNING.match(text, end):
        return [f"{hours % 12}:{minutes}", f"am {hours}:{minutes}"]
    if minute is None:
        return []
    whole = [hour] if not minutes else []  # 19:00 is 19 Uhr.
    half = [f"pm {hours}:{minutes}", f"am {hours}:{minutes}"] if is_half else []
    return [f"{hours % 24}:{minutes}", *half, *whole]


def _join_months(text: str, numbers: list[Number]) -> list[Number]:
    """Joins month names and the numbers beside them: 30 October 2007, October 30, 2007 őszén."""
    words = _WORD.finditer(text)
    found = [(word.span(), months) for word in words if (months := _months_of(word.group()))]
    if not found:
        return numbers
    starts = [number.span[0] for number in numbers]
    ends = [number.span[1] for number in numbers]
    dates: dict[int, Number] = {}
    taken: set[int] = set()

    def distance(month: tuple[tuple[int, int], tuple[str, ...]]) -> int:
        start, end = month[0]
        before, after = bisect_right(ends, start), bisect_left(starts, end)
        gaps = [start - ends[before - 1]] if before else []
        gaps += [starts[after] - end] if after < len(starts) else []
        return min(gaps, default=0)

    for (start, end), months in sorted(found, key=distance):
        # Up to two numbers on each side, as far as they stand near.
        place = bisect_right(ends, start)
        before = [place - 1, place - 2]
        after = [place, place + 1] if place == bisect_left(starts, end) else []
        lefts = _near(text, numbers, taken, before, start, end)
        rights = _near(text, numbers, taken, after, start, end)
        day, year = _pick_date(numbers, lefts, rights)
        if day is None and year is None:
            continue
        # Short names are also other words (des, kan, may) where they have no capital.
        if end - start <= _MAX_SHORT and text[start].islower() and None in (day, year):
            continue
        used = [place for place in (day, year) if place is not None]
        years = numbers[year].readings if year is not None else ("",)
        figure = numbers[day].parts[0] if day is not None else ""
        orders = [(y, month, figure) for month in months for y in years]
        parts = tuple(numbers[place].parts[0] for place in used)
        dates[min(used)] = _date(orders, parts, (start, end))
        taken.update(used)
    return [
        dates.get(n, number) for n, number in enumerate(numbers) if n in dates or n not in taken
    ]


def _near(
    text: str, numbers: list[Number], taken: set[int], places: list[int], start: int, end: int
) -> list[int]:
    """Returns those places of plain numbers that stand near the month in `text[start:end]`."""
    found: list[int] = []
    for place in places:
        if not 0 <= place < len(numbers) or place in taken or numbers[place].kind != "plain":
            break
        span = numbers[place].span
        is_left = span[1] <= start
        gap = text[span[1] : start] if is_left else text[end : span[0]]
        words = _WORD.findall(gap.lower())
        if len(gap) > _MAX_GAP or not _GAP_ENDS.isdisjoint(gap) or (is_left and "," in gap):
            break
        if any(len(word) > _MAX_GAP_WORD for word in words):
            break
        found.append(place)
        start, end = min(start, span[0]), max(end, span[1])
    return found


def _pick_date(
    numbers: list[Number], lefts: list[int], rights: list[int]
) -> tuple[int | None, int | None]:
    """Returns the places of day and year, None where there is none."""
    days = [
        [place for place in side if _is_day(numbers[place].parts[0])] for side in (lefts, rights)
    ]
    years = [[place for place in side if _is_year(numbers[place])] for side in (lefts, rights)]
    if lefts and lefts[0] in days[0]:
        return lefts[0], next(iter(rights[:1] if rights[:1] == years[1][:1] else years[0]), None)
    if lefts and lefts[0] in years[0]:
        return next(iter(rights[:1] if rights[:1] == days[1][:1] else []), None), lefts[0]
    if rights and rights[0] in days[1]:
        return rights[0], next(iter(years[1]), None)
    return None, next(iter(years[1]), None)


def _months_of(word: str) -> tuple[str, ...]:
    """Returns the months that a word may name, endings of cases and a Hebrew `in` aside."""
    return _months_of_lower(word.lower().removeprefix("\u05d1"))


@lru_cache(1 << 14)
def _months_of_lower(word: str) -> tuple[str, ...]:
    table = _month_table()
    least = _MIN_STEM if word[:1] > "\u02ff" else _MIN_LATIN_STEM
    stems = range(len(word), max(len(word) - _MAX_ENDING, least) - 1, -1)
    stem = next((word[:size] for size in stems if word[:size] in table), None)
    if word in table or stem is None:
        return table.get(word, ())
    # `červenci` may be of červen, June, or of červenec, July.
    months = [months for name, months in table.items() if name.startswith(stem)]
    return tuple(dict.fromkeys(month for names in months for month in names))


@cache
def _month_table() -> dict[str, tuple[str, ...]]:
    text = resources.files("labse.cleaning").joinpath("months.tsv").read_text(encoding="utf-8")
    table: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        month, is_row, words = line.partition("\t")
        for word in words.split() if is_row else ():
            table[word] = (*table.get(word, ()), month)
    return table


def _figures(match: re.Match[str]) -> tuple[str, ...]:
    return tuple(map(_plain, _DIGITS.findall(match.group())))


def _plain(digits: str) -> str:
    return digits.lstrip("0") or "0"


def _decimal(whole: str, decimals: str) -> str:
    decimals = decimals.rstrip("0")
    return f"{_plain(whole)}.{decimals}" if decimals else _plain(whole)


def _date(
    orders: Sequence[tuple[str, str, str]],
    parts: tuple[str, ...],
    span: tuple[int, int],
    *,
    is_sure: bool = True,
) -> Number:
    """Makes a date that may be one of several, each of year, month and day.

    Args:
        orders: what may be meant.
        parts: the figures of day and year; of the month too, unless `is_sure`.
        span: where it stands.
        is_sure: the month is no day.
    """
    months = tuple(dict.fromkeys(month for _, month, _ in orders)) if is_sure else ()
    return Number(tuple(map(_date_key, orders)), parts, "joined", months, span)


def _date_key(order: tuple[str, str, str]) -> str:
    return "-".join(order)


def _is_day(figure: str) -> bool:
    return len(figure) <= 2 and 1 <= int(figure) <= _MAX_DAY


def _is_month(figure: str) -> bool:
    return len(figure) <= 2 and 1 <= int(figure) <= _MAX_MONTH


def _is_year(number: Number) -> bool:
    return len(number.parts[0]) == 4 and number.span[1] - number.span[0] == 4
