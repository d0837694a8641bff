import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    r"""The target repeats the source in another order, with a blank line; one line has a tab."""
    source, target = tmp_path / "source.txt", tmp_path / "target.txt"
    source.write_text("free\nequal in rights\nthe\tdignity\n", "utf-8", newline="")
    target.write_text("\nequal in rights\nthe\tdignity\nfree\n", "utf-8", newline="")
    return source, target


def test_pairs_are_rows_of_score_source_and_target(
    run: Run, files: tuple[Path, Path], model: Path
) -> None:
    ran = run("mine", *files, "--model", model, "--k", 1)
    assert ran.code == 0
    rows = [line.split("\t") for line in ran.out.splitlines()]
    # Equal lines have cosine 1, as the nearest neighbours of both have: the ratio is 1.
    assert rows == [
        ["1.0000", "free", "free"],
        ["1.0000", "equal in rights", "equal in rights"],
        ["1.0000", "the dignity", "the dignity"],
    ]
    assert "1 pairs hold a tab or carriage return, printed as a space" in ran.err
    assert "target: 4 lines, 1 blank left out, 0 repeated left out" in ran.err
    assert "3 pairs; 0 lines cut to 24 tokens" in ran.err


def test_ids_are_line_numbers_from_1_at_the_end(
    run: Run, files: tuple[Path, Path], model: Path
) -> None:
    ran = run("mine", *files, "--model", model, "--ids")
    numbers = {tuple(line.split("\t")[1:]) for line in ran.out.splitlines()}
    assert numbers == {
        ("free", "free", "1", "4"),
        ("equal in rights", "equal in rights", "2", "2"),
        ("the dignity", "the dignity", "3", "3"),
    }


def test_json_keeps_the_text_as_it_is(run: Run, files: tuple[Path, Path], model: Path) -> None:
    ran = run("mine", *files, "--model", model, "--k", 1, "--json", "--ids")
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert rows[2] == {
        "margin_score": 1.0,
        "source": "the\tdignity",
        "target": "the\tdignity",
        "source_line": 3,
        "target_line": 3,
    }
    assert "printed as a space" not in ran.err


def test_a_file_takes_the_place_of_standard_output(
    run: Run, tmp_path: Path, files: tuple[Path, Path], model: Path
) -> None:
    printed = run("mine", *files, "--model", model).out
    ran = run("mine", *files, "--model", model, "--out", tmp_path / "pairs.tsv")
    assert ran.out == ""
    assert (tmp_path / "pairs.tsv").read_text("utf-8") == printed


@pytest.mark.parametrize("retrieval", ["forward", "backward", "intersect", "max"])
def test_the_least_score_holds_for_every_retrieval(
    run: Run, files: tuple[Path, Path], model: Path, retrieval: str
) -> None:
    options = ("--model", model, "--margin", "absolute", "--retrieval", retrieval)
    assert len(run("mine", *files, *options, "--min-score", 0.99).out.splitlines()) == 3
    assert run("mine", *files, *options, "--min-score", 1.01).out == ""


def test_the_same_file_twice_is_a_usage_error(
    run: Run, tmp_path: Path, files: tuple[Path, Path], model: Path
) -> None:
    (tmp_path / "link").symlink_to(files[0])
    for pair in ((files[0], files[0]), (files[0], tmp_path / "link"), ("-", "-")):
        ran = run("mine", *pair, "--model", model)
        assert ran.code == 2
        assert "given as both source and target" in ran.err


def test_a_file_with_nothing_to_mine_says_so(
    run: Run, tmp_path: Path, files: tuple[Path, Path], model: Path
) -> None:
    for content, message in (("", "empty"), ("\n \n", "all its 2 lines are blank")):
        (tmp_path / "none.txt").write_text(content)
        ran = run("mine", files[0], tmp_path / "none.txt", "--model", model)
        assert ran.code == 3
        assert f"none.txt: {message}; there is nothing to mine" in ran.err


@pytest.mark.parametrize("option", [("--k", 0), ("--min-score", "nan"), ("--margin", "cosine")])
def test_options_out_of_range_are_usage_errors(
    run: Run, files: tuple[Path, Path], model: Path, option: tuple[str, object]
) -> None:
    ran = run("mine", *files, "--model", model, *option)
    assert ran.code == 2
    assert option[0] in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    run: Run, tmp_path: Path, files: tuple[Path, Path], model: Path
) -> None:
    ran = run("mine", *files, "--model", model, "--out", tmp_path / "missing" / "pairs.tsv")
    assert ran.code == 4
    assert "pairs.tsv: cannot be written: No such file or directory" in ran.err
    assert len(ran.err.splitlines()) == 1  # Nothing was read or embedded.
