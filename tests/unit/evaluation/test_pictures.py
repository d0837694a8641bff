import numpy as np
import pytest

from labse.evaluation.pictures import (
    Bar,
    HeatMap,
    draw_bars,
    draw_heat_map,
    script_of,
    sort_by_script,
)

PNG = b"\x89PNG\r\n\x1a\n"


def test_bars_stand_by_script_the_commonest_first_then_by_value() -> None:
    bars = tuple(
        Bar(lang, lang, value)
        for lang, value in (("rus", 0.9), ("deu", 0.5), ("ell", 0.7), ("fra", 0.8), ("zz9", 0.1))
    )
    assert [bar.name for bar in sort_by_script(bars)] == ["fra", "deu", "zz9", "rus", "ell"]
    assert script_of("zz9") == "?"


def test_pictures_are_png() -> None:
    pytest.importorskip("matplotlib")
    bars = (Bar("deu", "deu", 0.5), Bar("rus", "rus", 1.0))
    assert draw_bars(bars, "tatoeba").startswith(PNG)
    values = np.array([[np.nan, 0.25], [0.75, np.nan]])
    assert draw_heat_map(HeatMap("x", ("a", "b"), ("a", "b"), values)).startswith(PNG)


def test_a_heat_map_shows_the_languages_by_script(monkeypatch: pytest.MonkeyPatch) -> None:
    figure_module = pytest.importorskip("matplotlib.figure")
    drawn = []
    save = figure_module.Figure.savefig

    def keep(figure: object, *arguments: object, **options: object) -> None:
        drawn.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(figure_module.Figure, "savefig", keep)
    langs = ("deu", "rus", "fra", "ell")
    values = np.arange(16).reshape(4, 4) / 100
    draw_heat_map(HeatMap("x", langs, langs, values))
    axes = drawn[0].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "deu Latn", "fra Latn", "rus Cyrl", "ell Grek",
    ]  # fmt: skip
    # Row fra, column rus is 9 percent, wherever they stand.
    assert axes.images[0].get_array()[1, 2] == pytest.approx(9)
