import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labse.corpus.readers import read_pairs

Run = Callable[..., Any]

ROWS = [("free", "frei"), ("equal", "gleich"), ("dignity", "ehre"), ("rights", "rechte")]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.tsv"
    rows = ["source\ttarget\tsource_lang\ttarget_lang"]
    rows += [f"{source}\t{target}\teng\tdeu" for source, target in ROWS]
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".tsv", ".tsv.gz", ".parquet"])
def test_the_pairs_come_back_with_columns(
    run: Run, pairs: Path, model: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"hard{suffix}"
    ran = run("hard-negatives", pairs, "--out", out, "--model", model, "--k", 2)
    assert (ran.code, ran.out) == (0, "")
    assert [(pair.source, pair.target) for pair in read_pairs(out)] == ROWS
    assert "4 pairs of 1 language pair," in ran.err


def test_negatives_are_other_targets_and_counted(
    run: Run, pairs: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "hard.jsonl"
    margins = ("--relative-margin", 0, "--k", 3)
    ran = run("hard-negatives", pairs, "--out", out, "--model", model, "--json", *margins)
    counts = json.loads(ran.out)
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    found = [[row[f"target_negative_{n}"] for n in (1, 2, 3)] for row in rows]
    targets = {target for _, target in ROWS}
    for row, negatives in zip(rows, found, strict=True):
        assert set(negatives) <= targets - {row["target"]} | {""}
    assert counts["num_negatives"] == sum(text != "" for row in found for text in row)
    assert counts["num_pairs"] == 4
    assert counts["num_without"] == sum(not any(row) for row in found)
    # What was looked at was taken or left out: 3 other targets a pair.
    assert counts["num_negatives"] + counts["num_known"] + counts["num_guarded"] == 12


def test_the_same_command_gives_the_same_bytes_and_goes_on(
    run: Run, pairs: Path, model: Path, tmp_path: Path
) -> None:
    files = [tmp_path / f"{name}.jsonl" for name in "abc"]
    work = ("--work", tmp_path / "work")
    for file, options in zip(files, ((), work, work), strict=True):
        assert run("hard-negatives", pairs, "--out", file, "--model", model, *options).code == 0
    assert len({file.read_bytes() for file in files}) == 1
    pairs.write_text(pairs.read_text("utf-8") + "a\tb\teng\tdeu\n", "utf-8")
    ran = run("hard-negatives", pairs, "--out", files[0], "--model", model, *work)
    assert ran.code == 2
    assert "begun with another" in ran.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--out", "x.tmx"), "known: .jsonl, .tsv, each also"),
        (("--out", "x.jsonl", "--k", 4, "--neighbours", 4), "give more than --k (4)"),
        (("--out", "x.jsonl", "--relative-margin", 1.5), "'--relative-margin'"),
        (("--out", "x.jsonl", "--memory", "much"), "--memory much"),
        (("--out", "x.jsonl", "--source-lang", "eng"), "has a column source_lang"),
    ],
)
def test_what_cannot_apply_is_wrong_use(
    run: Run, pairs: Path, model: Path, options: tuple[object, ...], message: str
) -> None:
    ran = run("hard-negatives", pairs, "--model", model, *options)
    assert ran.code == 2
    assert message in ran.err


def test_an_input_is_not_written_over(run: Run, pairs: Path, model: Path) -> None:
    before = pairs.read_bytes()
    ran = run("hard-negatives", pairs, "--out", pairs, "--model", model)
    assert (ran.code, pairs.read_bytes()) == (2, before)
    assert "would replace" in ran.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("source\ttarget\tsource_lang\ttarget_lang\n", "not one pair"),
        ("source\ttarget\tsource_lang\ttarget_lang\na\tb\teng\n", "line 2: 3 columns"),
        ("text\n", "expected the columns source and target"),
    ],
)
def test_broken_input_names_the_file(
    run: Run, model: Path, tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "broken.tsv"
    path.write_text(content, "utf-8")
    out = tmp_path / "out.jsonl"
    ran = run("hard-negatives", path, "--out", out, "--model", model)
    assert ran.code == 3
    assert message in ran.err
    assert "broken.tsv" in ran.err
    assert not out.exists()
