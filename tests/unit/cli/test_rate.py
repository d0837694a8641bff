import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def mined(tmp_path: Path) -> Path:
    path = tmp_path / "mined.tsv"
    path.write_text("".join(f"{2 - n / 50}\tsource {n}\ttarget {n}\n" for n in range(50)))
    return path


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_keys_rate_skip_undo_and_quit(
    run: Run, mined: Path, tmp_path: Path, keys: Callable[[str], None]
) -> None:
    out = tmp_path / "rated.tsv"
    keys("g\nB\ns\nu\nx\ng\nq\n")
    ran = run("rate", mined, "--out", out, "--count", 10)
    assert ran.code == 0, ran.err
    rows = [line.split("\t") for line in out.read_text().splitlines()]
    assert [row[1] for row in rows] == ["GOOD", "BAD", "GOOD"]
    assert all(row[2] == f"source {int(row[4]) - 1}" for row in rows)
    assert "'x' is no key here" in ran.err
    assert "3 of 10 rated: 2 GOOD, 1 BAD, 0 skipped" in ran.err
    assert "the same command goes on from here" in ran.err
    assert ran.out == ""


def test_stopped_and_continued_equals_one_go(
    run: Run, mined: Path, tmp_path: Path, keys: Callable[[str], None]
) -> None:
    keys("g\nb\n" * 6)
    assert run("rate", mined, "--out", tmp_path / "whole", "--count", 12).code == 0
    keys("g\nb\n" * 2)  # Then standard input ends.
    assert run("rate", mined, "--out", tmp_path / "parts", "--count", 12).code == 0
    keys("g\nb\n" * 4)
    ran = run("rate", mined, "--out", tmp_path / "parts", "--count", 12)
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    assert "goes on" not in ran.err
    assert "5/12" in ran.err
    assert "4/12" not in ran.err


def test_undo_with_nothing_rated_is_told(
    run: Run, mined: Path, tmp_path: Path, keys: Callable[[str], None]
) -> None:
    keys("u\n")
    assert "no rating to undo" in run("rate", mined, "--out", tmp_path / "rated").err


def test_control_characters_do_not_reach_the_terminal(
    run: Run, mined: Path, tmp_path: Path, keys: Callable[[str], None]
) -> None:
    mined.write_text("1.0\t\x1b[2Jgone\tb[bold]old\n")
    keys("")
    shown = run("rate", mined, "--out", tmp_path / "rated").err
    assert "\x1b[2J" not in shown
    assert "\ufffd[2Jgone" in shown
    assert "b[bold]old" in shown


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [("", 3, "nothing to rate"), ("nan\ta\tb\n", 3, "line 1: the score"), ("1\ta\n", 3, "columns")],
)
def test_broken_files_are_told(
    run: Run, tmp_path: Path, text: str, code: int, message: str
) -> None:
    (tmp_path / "mined").write_text(text)
    ran = run("rate", tmp_path / "mined", "--out", tmp_path / "rated")
    assert ran.code == code
    assert message in ran.err
    assert not (tmp_path / "rated").exists()


def test_places_and_inputs_that_cannot_be(
    run: Run, mined: Path, tmp_path: Path, keys: Callable[[str], None]
) -> None:
    keys("g\n")
    assert run("rate", mined, "--out", tmp_path / "none/rated").code == 4
    assert run("rate", "-", "--out", tmp_path / "rated").code == 2
    assert run("rate", mined, "--out", mined).code == 3
    assert len(mined.read_text().splitlines()) == 50


def test_a_terminal_needs_no_enter(mined: Path, tmp_path: Path) -> None:
    main_end, program_end = pty.openpty()
    command = [sys.executable, "-m", "labse.cli", "rate", str(mined), "--out", str(tmp_path / "r")]
    process = subprocess.Popen(command, stdin=program_end, stderr=subprocess.PIPE)
    assert process.stderr
    while not process.stderr.readline().startswith(b"  target"):
        pass  # Keys typed before the first pair is shown are not taken for ratings.
    os.write(main_end, b"gbq")
    _, err = process.communicate(timeout=60)
    os.close(main_end)
    os.close(program_end)
    assert process.returncode == 0, err
    labels = [line.split("\t")[1] for line in (tmp_path / "r").read_text().splitlines()]
    assert labels == ["GOOD", "BAD"]
