"""Statistics of a corpus as a table, JSON and a picture.

Takes: `CorpusStatistics`. Gives: lines, an object for JSON, PNG bytes.
Source: Feng et al. 2020, figure 1; matplotlib without pyplot.
"""

import io
from collections import Counter
from collections.abc import Iterator

from labse.corpus.languages import find_language
from labse.corpus.statistics import CorpusStatistics
from labse.runtime import require

__all__ = ["draw_statistics", "render_statistics", "to_json"]

_COLUMNS = ("lang", "name", "sentences", "pairs", "characters", "median length", "scripts")
_NUM_DRAWN = 120  # Languages in the picture; the others are told of in its title.


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
        scripts = [f"{name} {n / letters:.0%}" for name, n in one.scripts.most_common(2)]
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
    yield "\t".join(("all", f"{len(statistics.langs)} languages", *map(str, totals), "", ""))


def draw_statistics(statistics: CorpusStatistics) -> bytes:
    """Draws sentences and pairs by language, lengths and scripts as a PNG.

    Raises:
        ResourceError: matplotlib is not installed.
    """
    names = list(statistics.langs)[:_NUM_DRAWN]
    drawn = [statistics.langs[name] for name in names]
    width = max(8.0, 0.14 * len(names) + 2)
    figure_module = require("matplotlib.figure", "corpus")
    figure = figure_module.Figure(figsize=(width, 9), layout="constrained")
    grid = figure.add_gridspec(3, 2)
    for row, (values, label) in enumerate(
        (
            ([one.num_sentences for one in drawn], "sentences"),
            ([one.num_pairs for one in drawn], "pairs"),
        )
    ):
        axes = figure.add_subplot(grid[row, :])
        axes.bar(range(len(names)), values, color=f"C{row}")
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(bottom=0)
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
        axes.set_xlim(-0.8, max(len(names) - 0.2, 0.8))
        axes.set_ylabel(f"{label} (log scale)")
        axes.grid(axis="y", alpha=0.3)
    shown = f"the first {len(names)} of " if len(names) < len(statistics.langs) else ""
    figure.suptitle(f"{shown}{len(statistics.langs)} languages")
    _draw_counts(figure.add_subplot(grid[2, 0]), _all_lengths(statistics), "characters of a text")
    scripts = sum((one.scripts for one in statistics.langs.values()), Counter[str]())
    _draw_counts(figure.add_subplot(grid[2, 1]), dict(scripts.most_common(20)), "letters by script")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()


def _draw_counts(axes: object, counts: dict[str, int], title: str) -> None:
    axes.bar(range(len(counts)), list(counts.values()), color="C2")  # type: ignore[attr-defined]
    axes.set_xticks(range(len(counts)), list(counts), rotation=90, fontsize=7)  # type: ignore[attr-defined]
    axes.set_yscale("symlog", linthresh=1)  # type: ignore[attr-defined]
    axes.set_ylim(bottom=0)  # type: ignore[attr-defined]
    axes.set_title(title, fontsize=9)  # type: ignore[attr-defined]
    axes.grid(axis="y", alpha=0.3)  # type: ignore[attr-defined]


def _all_lengths(statistics: CorpusStatistics) -> dict[str, int]:
    lengths = sum((one.lengths for one in statistics.langs.values()), Counter[int]())
    return {f"from {_least(bits)}": lengths[bits] for bits in sorted(lengths)}


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
