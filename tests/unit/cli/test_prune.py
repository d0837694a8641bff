import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_sizes_and_the_share_that_changes_are_told(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("free and equal\n")
    options = ("--text", tmp_path / "text.txt", "--held-out", tmp_path / "text.txt", "--json")

    ran = run("prune", model, tmp_path / "out", *options)

    assert ran.code == 0
    assert "held out: 0.00 % of 12 tokens" in ran.err
    report = json.loads(ran.out)
    assert report["vocab_size_after"] < report["vocab_size_before"]
    assert run("info", tmp_path / "out").code == 0


def test_languages_are_separated_by_commas(run: Run, model: Path, tmp_path: Path) -> None:
    assert run("prune", model, tmp_path / "out", "--langs", "de, ru").code == 0
    ran = run("prune", model, tmp_path / "out", "--langs", "zz-none")
    assert ran.code == 2
    assert "unknown language 'zz-none'" in ran.err


def test_nothing_to_keep_is_wrong_use(run: Run, model: Path, tmp_path: Path) -> None:
    ran = run("prune", model, tmp_path / "out")
    assert ran.code == 2
    assert "give --langs, --text or both" in ran.err
