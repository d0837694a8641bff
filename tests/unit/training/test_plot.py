from pathlib import Path

import pytest
from matplotlib import figure

from labse.errors import LabseError
from labse.training.metrics import append_metrics
from labse.training.plot import plot_metrics

Panels = list[tuple[str, list[str]]]


def draw(folder: Path, monkeypatch: pytest.MonkeyPatch, *rows: dict[str, float]) -> figure.Figure:
    """Returns the figure that became the picture."""
    drawn: list[figure.Figure] = []
    save = figure.Figure.savefig

    def keep(self: figure.Figure, *arguments: object, **options: object) -> None:
        drawn.append(self)
        save(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(figure.Figure, "savefig", keep)
    for row in rows:
        append_metrics(folder / "metrics.jsonl", row)
    plot_metrics(folder / "metrics.jsonl", folder / "curves.png")
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    return drawn[0]


def panels_of(drawn: figure.Figure) -> Panels:
    return [(axes.get_ylabel(), axes.get_legend_handles_labels()[1]) for axes in drawn.axes]


def test_a_run_of_the_dual_encoder_has_its_loss_and_p_at_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"step": n, "loss": 3.0 / n, "in_batch_p_at_1": n / 4, "lr": 0.1} for n in (1, 2, 3)]
    drawn = draw(tmp_path, monkeypatch, *rows, {"step": 3, "tatoeba_p_at_1": 0.5})
    assert panels_of(drawn) == [
        ("loss", ["loss"]),
        ("P@1", ["in_batch_p_at_1", "tatoeba_p_at_1"]),
    ]


def test_a_pre_training_run_has_accuracy_and_perplexity_and_its_stages_are_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"step": n, "num_layers": 1 + (n > 2), "loss": 9.0 - n, "accuracy": 0.1, "tflops": 1.0}
        for n in range(1, 5)
    ]
    scores = {"step": 4, "mlm_accuracy": 0.2, "mlm_perplexity": 50.0}
    of_a_language = {"step": 4, "mlm_deu_accuracy": 0.1, "mlm_deu_perplexity": 60.0}
    drawn = draw(tmp_path, monkeypatch, *rows, scores | of_a_language)
    assert panels_of(drawn) == [
        ("loss", ["loss"]),
        ("accuracy", ["accuracy", "mlm_accuracy"]),
        ("perplexity", ["mlm_perplexity"]),
    ]
    assert drawn.axes[2].get_yscale() == "log"
    for axes in drawn.axes:
        marks = [line.get_xdata() for line in axes.lines if line.get_linestyle() == "--"]
        assert [list(mark) for mark in marks] == [[2, 2]]
    assert [text.get_text() for text in drawn.axes[0].texts] == [" 2 layers"]
    # The language is drawn too, in the colour of its objective.
    of_objective, of_language = (
        next(line for line in drawn.axes[2].lines if list(line.get_ydata()) == [value])
        for value in (50.0, 60.0)
    )
    assert of_language.get_color() == of_objective.get_color()


def test_a_run_without_a_loss_yet_says_so(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("")
    with pytest.raises(LabseError, match="no row with a loss"):
        plot_metrics(metrics, tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
