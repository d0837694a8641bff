"""Charts of scores: bars per language, sorted by script, and languages against languages.

Takes: named values from 0 to 1. Gives: PNG bytes.
Source: matplotlib without pyplot, so that no window system and no global state is touched.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.corpus.languages import find_language
from labse.errors import UsageError
from labse.runtime import require

__all__ = ["Bar", "HeatMap", "draw_bars", "draw_heat_map", "script_of", "sort_by_script"]

_UNKNOWN_SCRIPT = "?"


@dataclass(frozen=True, slots=True)
class Bar:
    """One value from 0 to 1; `lang` gives the script by which bars are sorted."""

    name: str
    lang: str
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """Values from 0 to 1, rows against columns; NaN stays white."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: NDArray[np.float64]


def script_of(lang: str) -> str:
    """Returns the ISO 15924 script of a language, `?` if the language is not known."""
    try:
        return find_language(lang).script
    except UsageError:
        return _UNKNOWN_SCRIPT


def sort_by_script(bars: tuple[Bar, ...]) -> list[Bar]:
    """Returns the bars by script, the script of most bars first, then by value, best first."""
    scripts = [script_of(bar.lang) for bar in bars]
    return sorted(
        bars,
        key=lambda bar: (
            -scripts.count(script_of(bar.lang)),
            script_of(bar.lang),
            -bar.value,
            bar.name,
        ),
    )


def draw_bars(bars: tuple[Bar, ...], title: str) -> bytes:
    """Draws one bar a language, each script in a colour of its own.

    Raises:
        ResourceError: matplotlib is not installed.
    """
    ordered = sort_by_script(bars)
    scripts = list(dict.fromkeys(script_of(bar.lang) for bar in ordered))
    width = max(6.0, 0.17 * len(ordered) + 1.5)
    figure = require("matplotlib.figure", "plot").Figure(figsize=(width, 4), layout="constrained")
    axes = figure.subplots()
    colours = require("matplotlib", "plot").colormaps["tab20"].colors
    for number, script in enumerate(scripts):
        places = [n for n, bar in enumerate(ordered) if script_of(bar.lang) == script]
        values = [100 * ordered[n].value for n in places]
        axes.bar(places, values, color=colours[number % len(colours)], label=script)
    axes.set_xticks(range(len(ordered)), [bar.name for bar in ordered], rotation=90, fontsize=7)
    axes.set_xlim(-0.8, len(ordered) - 0.2)
    axes.set_ylim(0, 100)
    axes.set_ylabel("percent")
    axes.set_title(title)
    axes.grid(axis="y", alpha=0.3)
    # Outside: among the bars it would hide some, and which are short is not known.
    columns = max(1, min(len(scripts), int(width / 0.9)))
    figure.legend(fontsize=7, ncols=columns, loc="outside lower center", title="script")
    return _to_png(figure)


def draw_heat_map(heat_map: HeatMap) -> bytes:
    """Draws the values as colours with the percent in each cell, languages by script.

    Raises:
        ResourceError: matplotlib is not installed.
    """
    rows, columns = _order_by_script(heat_map.rows), _order_by_script(heat_map.columns)
    values = 100 * heat_map.values[np.ix_(rows, columns)]
    size = (max(4.0, 0.36 * len(columns) + 2), max(3.5, 0.3 * len(rows) + 2))
    figure = require("matplotlib.figure", "plot").Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, vmin=0, vmax=100, cmap="viridis", aspect="auto")
    across = [f"{heat_map.columns[n]} {script_of(heat_map.columns[n])}" for n in columns]
    axes.set_xticks(range(len(columns)), across, rotation=90, fontsize=7)
    down = [f"{heat_map.rows[n]} {script_of(heat_map.rows[n])}" for n in rows]
    axes.set_yticks(range(len(rows)), down, fontsize=7)
    for row, column in np.argwhere(np.isfinite(values)).tolist():
        value = values[row, column]
        colour = "black" if value > 60 else "white"
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=6, color=colour)
    for place in _script_changes([heat_map.rows[n] for n in rows]):
        axes.axhline(place - 0.5, color="white", linewidth=1.5)
    for place in _script_changes([heat_map.columns[n] for n in columns]):
        axes.axvline(place - 0.5, color="white", linewidth=1.5)
    axes.set_title(heat_map.title)
    figure.colorbar(image, label="percent")
    return _to_png(figure)


def _order_by_script(langs: tuple[str, ...]) -> list[int]:
    """Returns the places of the languages, those of one script together, the commonest first."""
    ordered = sort_by_script(tuple(Bar(str(n), lang, 0) for n, lang in enumerate(langs)))
    places = [int(bar.name) for bar in ordered]
    scripts = [script_of(langs[place]) for place in places]
    return sorted(places, key=lambda place: (scripts.index(script_of(langs[place])), place))


def _script_changes(langs: list[str]) -> list[int]:
    scripts = [script_of(lang) for lang in langs]
    return [n for n in range(1, len(langs)) if scripts[n] != scripts[n - 1]]


def _to_png(figure: object) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)  # type: ignore[attr-defined]
    return stream.getvalue()
