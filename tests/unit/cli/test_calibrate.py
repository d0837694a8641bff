import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def rated(tmp_path: Path) -> Path:
    """40 GOOD from 0.6 up, 40 BAD below: from 0.5 up 40 of 50 are GOOD."""
    rows = [f"{0.6 + n / 100}\tGOOD\ta\tb\t{n}\n" for n in range(40)]
    rows += [f"{0.59 - n / 100}\tBAD\ta\tb\t{n}\n" for n in range(40)]
    path = tmp_path / "rated.tsv"
    path.write_text("".join([*rows, "0.3\tSKIP\n"]))
    return path


def test_the_table_names_the_threshold_and_its_interval(run: Run, rated: Path) -> None:
    ran = run("calibrate", rated)
    assert ran.code == 0, ran.err
    assert "min_score for 80% GOOD" in ran.out
    assert "0.5000" in ran.out
    assert "50 of 80 rated pairs have at least this score; 1 skipped" in ran.err


def test_json_holds_the_same(run: Run, rated: Path) -> None:
    found = json.loads(run("calibrate", rated, "--json", "--precision", 0.8).out)
    assert found["min_score"] == pytest.approx(0.5)
    assert found["min_score_interval"][0] <= 0.5
    assert (found["num_kept"], found["num_ratings"], found["num_skipped"]) == (50, 80, 1)
    assert found == json.loads(run("calibrate", rated, "--json").out)


def test_gold_pairs_give_the_best_f1(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mined").write_text("3\ta\tA\n2\tx\tY\n1\tb\tB\n0.5\tz\tZ\n")
    (tmp_path / "gold").write_text("a\tA\nb\tB\n")
    ran = run("calibrate", tmp_path / "mined", "--gold", tmp_path / "gold", "--json")
    found = json.loads(ran.out)
    assert (found["min_score"], found["precision"], found["recall"]) == (1.0, 2 / 3, 1.0)
    assert found["f1"] == pytest.approx(0.8)
    ran = run("calibrate", tmp_path / "mined", "--gold", tmp_path / "gold")
    assert "0.800" in ran.out
    assert "3 of 4 mined pairs kept, 2 of them among the 2 gold pairs" in ran.err


def test_a_picture_is_written(run: Run, rated: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run("calibrate", rated, "--plot", tmp_path / "p.png").code == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_all_good_enough_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rated").write_text("".join(f"{n}\tGOOD\n" for n in range(30)))
    ran = run("calibrate", tmp_path / "rated")
    assert ran.code == 0
    assert "lower ones, which were not rated, may be too" in ran.err


@pytest.mark.parametrize(
    ("text", "arguments", "code", "message"),
    [
        ("", (), 3, "rated: empty; labse rate makes ratings"),
        ("margin_score\tsource\ttarget\n", (), 3, "no column label; expected score, a tab"),
        ("1\tGOOD\n" * 5, (), 3, "5 rated so far, too few"),
        ("1\tBAD\n" * 50, (), 3, "no min_score reaches a precision of 80%"),
        ("nan\tGOOD\n", (), 3, "line 1: the score is 'nan'"),
        ("1\tFINE\n", (), 3, "the label is 'FINE'"),
        ("1\tGOOD\n", ("--precision", 1), 2, "--precision 1.0: give a share"),
        ("1\tGOOD\n", ("--confidence", 0), 2, "--confidence 0.0: give a share"),
        ("1\tGOOD\n", ("--gold", "x", "--precision", 0.9), 2, "--precision is for rated pairs"),
        ("1\tGOOD\n", ("--gold", "x", "--plot", "y"), 2, "--plot is for rated pairs"),
        ("1\tGOOD\n", ("--plot", "/dev/null/p.png"), 4, "cannot be written"),
        ("1\tGOOD\n", ("--plot", "p.pdf"), 2, "pictures are PNG"),
    ],
)
def test_what_cannot_be_told_is_one_line(
    run: Run, tmp_path: Path, text: str, arguments: tuple[object, ...], code: int, message: str
) -> None:
    (tmp_path / "rated").write_text(text)
    ran = run("calibrate", tmp_path / "rated", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1
