import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

ENGLISH = ["All are free.", "All are equal.", "Rights and dignity."]
GERMAN = ["Alle sind frei.", "Alle sind gleich.", "Rechte und Würde."]


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Aligned files and a Tatoeba set."""
    pytest.importorskip("matplotlib")
    path = tmp_path / "root"
    for lang, sentences in (("deu", GERMAN), ("eng", ENGLISH)):
        write(path / "toy" / f"{lang}.txt", [f"{text} {n}" for n, text in enumerate(sentences)])
        write(path / "words" / f"tatoeba.deu-eng.{lang}", sentences)
    return path


def test_all_writes_a_report_for_each_set_and_one_of_all(
    run: Run, tmp_path: Path, root: Path, model: Path
) -> None:
    out = tmp_path / "reports"
    ran = run("evaluate", "all", root, "--model", model, "--out", out)
    assert ran.code == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == ["report.json", "report.md", "retrieval-toy", "tatoeba-words", "xsim-toy"]
    scores = json.loads((out / "report.json").read_text("utf-8"))["scores"]
    assert {score["name"].partition(" ")[0] for score in scores} == set(names[2:])


def test_a_broken_file_of_the_last_set_is_told_before_anything_is_encoded(
    run: Run, tmp_path: Path, root: Path
) -> None:
    write(root / "words" / "tatoeba.deu-eng.deu", GERMAN[:2])
    out = tmp_path / "reports"
    ran = run("evaluate", "all", root, "--model", tmp_path / "absent", "--out", out)
    assert ran.code == 3
    assert "tatoeba.deu-eng.deu has 2 lines" in ran.err
    assert not out.exists()


def test_an_error_late_leaves_whole_reports_and_no_report_of_all(
    run: Run, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_encoder.py").write_text(
        "import numpy as np\n"
        "def encode(sentences):\n"
        "    rows = np.random.default_rng(1).random((len(sentences), 4))\n"
        f"    return rows * np.nan if {GERMAN[0]!r} in sentences else rows\n"
    )
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "reports"
    write(out / "report.json", ["{}"])  # Of an earlier run.
    ran = run("evaluate", "all", root, "--model", "late_encoder:encode", "--out", out)
    assert ran.code == 3
    assert f"NaN or infinity for {GERMAN[0]!r}" in ran.err
    assert sorted(path.name for path in out.iterdir()) == ["retrieval-toy", "xsim-toy"]
    assert json.loads((out / "xsim-toy" / "report.json").read_text("utf-8"))["scores"]


def test_a_file_where_a_folder_is_asked_for_is_a_usage_error(
    run: Run, tmp_path: Path, root: Path, model: Path
) -> None:
    ran = run("evaluate", "all", root, "--model", model, "--out", tmp_path / "all.json")
    assert ran.code == 2
    assert "all.json: name a folder without a suffix" in ran.err
    assert not (tmp_path / "all.json").exists()
