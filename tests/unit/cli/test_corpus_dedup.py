import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


pytest.importorskip("xxhash")


def test_dedup_tells_what_it_dropped(tmp_path: Path, run: Run) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\none\n", "utf-8")
    (tmp_path / "b.txt").write_text("two\n", "utf-8")
    files = (tmp_path / "a.txt", tmp_path / "b.txt")
    ran = run("corpus", "dedup", *files, "--lang", "en", "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert "2 of 4 rows; 2 copies and 0 near copies dropped" in ran.err
    ran = run("corpus", "dedup", *files, "--lang", "en", "--out", tmp_path / "out", "--json")
    assert json.loads(ran.out)["kept"] == {"eng": 2}


def test_text_without_a_language_is_an_error(tmp_path: Path, run: Run) -> None:
    (tmp_path / "a.txt").write_text("one\n", "utf-8")
    ran = run("corpus", "dedup", tmp_path / "a.txt", "--out", tmp_path / "out")
    assert ran.code == 2
    assert "give --lang" in ran.err


def test_likeness_below_what_is_found_reliably_is_refused(tmp_path: Path, run: Run) -> None:
    ran = run("corpus", "dedup", "a.txt", "--near", "0.4", "--out", tmp_path / "out")
    assert ran.code == 2
    assert "--near" in ran.err


def test_overlap_with_test_sets_is_told_for_each_file(tmp_path: Path, run: Run) -> None:
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "set.eng").write_text("I am here.\n", "utf-8")
    (tmp_path / "a.txt").write_text("“I am here”\nOnly here.\n", "utf-8")
    command = ("corpus", "overlap", tmp_path / "a.txt", "--lang", "en", "--tests")
    ran = run(*command, tmp_path / "eval", "--out", tmp_path / "kept.txt")
    assert (ran.code, (tmp_path / "kept.txt").read_text("utf-8")) == (0, "Only here.\n"), ran.err
    assert "1 of 2 rows have one of the 1 test sentences" in ran.err
    ran = run(*command, tmp_path / "eval", "--json")
    assert json.loads(ran.out)["files"] == {str(tmp_path / "a.txt"): 1}
    assert run(*command, tmp_path / "none").code == 3
