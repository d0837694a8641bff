import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


pytest.importorskip("sklearn")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    words = [f"{a}{b}" for a in ("lo", "mi", "ta", "re", "no") for b in ("ka", "su", "pe", "di")]
    good = [f"The {a} saw the {b} near a {c}." for a in words for b in words for c in words[:2]]
    bad = [
        f"{a.title()} | {b.title()} | {c.upper()}" for a in words for b in words for c in words[:2]
    ]
    for name, lines in (("good", good), ("bad", bad)):
        (tmp_path / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return tmp_path / "good.txt", tmp_path / "bad.txt"


def test_a_model_is_trained_reported_and_applied(
    tmp_path: Path, files: tuple[Path, Path], run: Run
) -> None:
    good, bad = files
    model = tmp_path / "model"
    ran = run("corpus", "quality", "train", "--good", good, "--bad", bad, "--out", model)
    assert ran.code == 0, ran.err
    assert "precision" in ran.out
    assert "ROC AUC" in ran.err
    (tmp_path / "new.txt").write_text("The loka saw the midi.\n\nLoka | Misu | TAPE\n", "utf-8")
    ran = run("corpus", "quality", "apply", model, tmp_path / "new.txt")
    rows = [line.split("\t") for line in ran.out.splitlines()]
    assert [text for _, text in rows] == ["The loka saw the midi.", "", "Loka | Misu | TAPE"]
    assert float(rows[0][0]) > 0.5 > float(rows[2][0])
    assert rows[1][0] == "nan"


def test_the_report_is_json_on_request(tmp_path: Path, files: tuple[Path, Path], run: Run) -> None:
    good, bad = files
    options = ("--good", good, "--bad", bad, "--lang", "en", "--json")
    ran = run("corpus", "quality", "train", *options, "--out", tmp_path / "model")
    report = json.loads(ran.out)
    assert [one["lang"] for one in report["languages"]] == ["all", "eng"]
    assert 0 <= report["calibration_error"] <= 1


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, run: Run) -> None:
    ran = run("corpus", "quality", "apply", tmp_path, tmp_path / "new.txt")
    assert ran.code == 3
    assert "manifest.json" in ran.err
