"""What a corpus holds: rows by language, lengths and scripts.

Takes: sentences and pairs. Gives: counts; a table of them, JSON and a picture.
Source: Feng et al. 2020, figure 1: monolingual sentences and bilingual pairs of each language.
"""

import io
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from labse.corpus.languages import find_language
from labse.corpus.records import Sentence, SentencePair, TextRecord
from labse.runtime import require

__all__ = [
    "CorpusStatistics",
    "LangStatistics",
    "count_corpus",
    "draw_sizes",
    "draw_statistics",
    "render_statistics",
    "script_name",
    "to_json",
]

_COLUMNS = ("lang", "name", "sentences", "pairs", "characters", "median length", "scripts")
_NUM_DRAWN = 120  # Languages in the picture; the others are told of in its title.


@dataclass(slots=True)
class LangStatistics:
    """What a corpus holds of one language.

    Attributes:
        num_sentences: monolingual ones.
        num_pairs: pairs with this language on a side; for English, all of its pairs.
        num_characters: of both kinds.
        lengths: texts by the number of bits of their length: key k counts those of 2^(k-1) to
            2^k - 1 characters, key 0 the empty ones.
        scripts: letters by the name of their script, `Latin`.
    """

    num_sentences: int = 0
    num_pairs: int = 0
    num_characters: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    scripts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class CorpusStatistics:
    """What a corpus holds.

    Attributes:
        langs: by tag, the largest first, ties by tag.
        lang_pairs: number of pairs by `source-target`, each pair of tags in the order of the data.
        origins: number of rows by file or origin.
    """

    langs: Mapping[str, LangStatistics]
    lang_pairs: Mapping[str, int]
    origins: Mapping[str, int]


def count_corpus(
    rows: Iterable[tuple[str, Sentence | TextRecord | SentencePair]],
) -> CorpusStatistics:
    """Counts the rows, each given with its origin; memory is that of the distinct characters."""
    langs: dict[str, LangStatistics] = {}
    characters: dict[str, Counter[str]] = {}
    lang_pairs: Counter[str] = Counter()
    origins: Counter[str] = Counter()

    def count_text(text: str, lang: str) -> LangStatistics:
        statistics = langs.setdefault(lang, LangStatistics())
        statistics.num_characters += len(text)
        statistics.lengths[len(text).bit_length()] += 1
        characters.setdefault(lang, Counter()).update(text)
        return statistics

    # Each side of a pair counts for its own language.
    for origin, row in rows:
        origins[origin] += 1
        if isinstance(row, SentencePair):
            source = count_text(row.source, row.source_lang)
            target = count_text(row.target, row.target_lang)
            source.num_pairs += 1
            target.num_pairs += target is not source
            lang_pairs[f"{row.source_lang}-{row.target_lang}"] += 1
        else:
            count_text(row.text, row.lang).num_sentences += 1

    # A script is looked up once for each distinct character.
    for lang, counts in characters.items():
        for char, count in counts.items():
            if char.isalpha():
                langs[lang].scripts[script_name(char)] += count

    # The largest first.
    ordered = sorted(
        langs, key=lambda lang: (-langs[lang].num_sentences - langs[lang].num_pairs, lang)
    )
    return CorpusStatistics(
        {lang: langs[lang] for lang in ordered},
        dict(sorted(lang_pairs.items(), key=lambda item: (-item[1], item[0]))),
        dict(sorted(origins.items(), key=lambda item: (-item[1], item[0]))),
    )


@cache
def script_name(char: str) -> str:
    """Returns the first word of a letter's Unicode name, `Latin`, `Cyrillic`; `Han` for `CJK`."""
    name = unicodedata.name(char, "unknown").split()[0].capitalize()
    return "Han" if name == "Cjk" else name


def to_json(statistics: CorpusStatistics) -> dict[str, object]:
    """Returns all counts; lengths by their least number of characters."""
    return {
        "langs": {
            lang: {
                "num_sentences": one.num_sentences,
                "num_pairs": one.num_pairs,
                "num_characters": one.num_characters,
                "lengths": {str(_least(bits)): n for bits, n in sorted(one.lengths.items())},
                "scripts": dict(one.scripts.most_common()),
            }
            for lang, one in statistics.langs.items()
        },
        "lang_pairs": dict(statistics.lang_pairs),
        "origins": dict(statistics.origins),
    }


def render_statistics(statistics: CorpusStatistics) -> Iterator[str]:
    """Yields the lines of a table, a language a row, with tabs between its cells."""
    yield "\t".join(_COLUMNS)
    for lang, one in statistics.langs.items():
        letters = max(one.scripts.total(), 1)
        shares = [(name, n / letters) for name, n in one.scripts.most_common(2)]
        scripts = [f"{name} {_percent(share)}" for name, share in shares]
        cells = (
            *(lang, find_language(lang).name, str(one.num_sentences), str(one.num_pairs)),
            *(str(one.num_characters), _median(one.lengths), ", ".join(scripts)),
        )
        yield "\t".join(cells)
    totals = [
        sum(one.num_sentences for one in statistics.langs.values()),
        sum(statistics.lang_pairs.values()),
        sum(one.num_characters for one in statistics.langs.values()),
    ]
    yield "\t".join(("all", _count_langs(statistics), *map(str, totals), "", ""))


def draw_statistics(statistics: CorpusStatistics) -> bytes:
    """Draws sentences and pairs by language, lengths and scripts as a PNG.

    Raises:
        ResourceError: matplotlib is not installed.
    """
    figure, grid = _draw_langs(statistics, num_rows=3)
    _draw_counts(figure.add_subplot(grid[2, 0]), _all_lengths(statistics), "characters of a text")
    scripts = sum((one.scripts for one in statistics.langs.values()), Counter[str]())
    _draw_counts(figure.add_subplot(grid[2, 1]), dict(scripts.most_common(20)), "letters by script")
    return _to_png(figure)


def draw_sizes(statistics: CorpusStatistics) -> bytes:
    """Draws sentences and pairs by language alone.

    Raises:
        ResourceError: matplotlib is not installed.
    """
    return _to_png(_draw_langs(statistics, num_rows=2)[0])


def _draw_langs(statistics: CorpusStatistics, num_rows: int) -> tuple[Any, Any]:
    """Returns a figure and its grid, whose first two of so many rows are drawn."""
    names = list(statistics.langs)[:_NUM_DRAWN]
    drawn = [statistics.langs[name] for name in names]
    width = max(8.0, 0.14 * len(names) + 2)
    figure_module = require("matplotlib.figure", "plot")
    figure = figure_module.Figure(figsize=(width, 3 * num_rows), layout="constrained")
    grid = figure.add_gridspec(num_rows, 2)
    for row, (values, label) in enumerate(
        (
            ([one.num_sentences for one in drawn], "sentences"),
            ([one.num_pairs for one in drawn], "pairs"),
        )
    ):
        axes = figure.add_subplot(grid[row, :])
        axes.bar(range(len(names)), values, color=f"C{row}")
        _scale(axes, values)
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
        axes.set_xlim(-0.8, max(len(names) - 0.2, 0.8))
        axes.set_ylabel(f"{label} (log scale)")
    shown = f"the first {len(names)} of " if len(names) < len(statistics.langs) else ""
    figure.suptitle(f"{shown}{_count_langs(statistics)}")
    return figure, grid


def _to_png(figure: Any) -> bytes:  # noqa: ANN401  matplotlib is not loaded here.
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()


def _draw_counts(axes: object, counts: dict[str, int], title: str) -> None:
    axes.bar(range(len(counts)), list(counts.values()), color="C2")  # type: ignore[attr-defined]
    axes.set_xticks(range(len(counts)), list(counts), rotation=90, fontsize=7)  # type: ignore[attr-defined]
    _scale(axes, counts.values())
    axes.set_title(title, fontsize=9)  # type: ignore[attr-defined]


def _scale(axes: Any, counts: Iterable[int]) -> None:  # noqa: ANN401  matplotlib is not loaded.
    """Sets a logarithmic axis from 0 to a power of ten, which has a tick also over few bars."""
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, 10 ** len(str(max(counts, default=0))))
    axes.grid(axis="y", alpha=0.3)


def _all_lengths(statistics: CorpusStatistics) -> dict[str, int]:
    lengths = sum((one.lengths for one in statistics.langs.values()), Counter[int]())
    return {f"from {_least(bits)}": lengths[bits] for bits in sorted(lengths)}


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "<1%"


def _count_langs(statistics: CorpusStatistics) -> str:
    number = len(statistics.langs)
    return "1 language" if number == 1 else f"{number} languages"


def _median(lengths: Counter[int]) -> str:
    """Returns the bounds of the class in which the median lies."""
    below, half = 0, lengths.total() / 2
    for bits, count in sorted(lengths.items()):
        below += count
        if below >= half:
            return "0" if bits == 0 else f"{_least(bits)}-{2 * _least(bits) - 1}"
    return ""


def _least(bits: int) -> int:
    return 1 << (bits - 1) if bits else 0
