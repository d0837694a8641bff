import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

LINES = ["free and equal", "in dignity", "and rights", "they are endowed", "with reason"]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The target joins two lines of the source, drops one, and has a blank one."""
    source, target = tmp_path / "source.txt", tmp_path / "target.txt"
    source.write_text("".join(f"{line}\n" for line in LINES))
    target.write_text(f"{LINES[0]}\n{LINES[1]} {LINES[2]}\n\n{LINES[4]}\n")
    return source, target


def test_pairs_go_to_standard_output_unless_a_ladder_is_asked_for(
    run: Run, files: tuple[Path, Path], model: Path
) -> None:
    ran = run("align", *files, "--model", model)
    assert ran.out.splitlines()[1] == f"1.0000\t{LINES[0]}\t{LINES[0]}"
    ran = run("align", *files, "--model", model, "--format", "ladder")
    assert ran.code == 0, ran.err
    rungs = [line.split("\t") for line in ran.out.splitlines()]
    assert [(rung[0], rung[1]) for rung in rungs][:2] == [("0", "0"), ("1", "1")]
    assert rungs[-1][:2] == ["5", "4"]
    assert "4 beads; 6 spans of lines cut to 24 tokens" in ran.err


def test_each_format_is_written_to_a_file(
    run: Run, files: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert (
        run("align", *files, "--model", model, "--format", "tsv", "--ids", "--out", out).code == 0
    )
    rows = [line.split("\t") for line in out.read_text().splitlines()]
    assert rows[1] == ["1.0000", LINES[0], LINES[0], "1", "1"]
    assert ["0.0000", "", "", "", "3"] in rows

    assert run("align", *files, "--model", model, "--format", "jsonl", "--out", out).code == 0
    numbers = [n for line in out.read_text().splitlines() for n in json.loads(line)["source_lines"]]
    assert numbers == [1, 2, 3, 4, 5]

    langs = ("--source-lang", "en", "--target-lang", "en")
    ran = run("align", *files, "--model", model, *langs, "--out", tmp_path / "out.tmx")
    assert ran.code == 0
    assert (tmp_path / "out.tmx").read_text().count("<tu ") >= 2
    assert "left out of the TMX" in ran.err


def test_gold_prints_strict_and_lax_scores(
    run: Run, files: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    gold = tmp_path / "gold"
    gold.write_text(run("align", *files, "--model", model, "--format", "ladder").out)
    ran = run("align", *files, "--model", model, "--gold", gold, "--json")
    assert ran.code == 0, ran.err
    scores = json.loads(ran.out)
    assert scores["strict"]["f1"] == scores["lax"]["recall"] == 1.0
    assert scores["strict"]["signature"].startswith("alignment_strict|max_size:4|skip:50|seed:1|v:")
    table = run("align", *files, "--model", model, "--gold", gold).out
    assert "1.000" in table
    assert "lax" in table


def test_folders_are_aligned_and_a_second_run_finds_them_done(
    run: Run, files: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    for side, file in zip(("de", "en"), files, strict=True):
        (tmp_path / side).mkdir()
        for name in ("one", "two"):
            (tmp_path / side / f"{name}.{side}").write_text(file.read_text())
    command = (
        "align",
        tmp_path / "de",
        tmp_path / "en",
        "--model",
        model,
        "--format",
        "ladder",
        "--out",
        tmp_path / "out",
    )
    assert run(*command).code == 0
    made = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert {name for name in made if not name.startswith(".")} == {
        "one.ladder",
        "two.ladder",
        "manifest.json",
        "progress.jsonl",
    }
    single = run("align", *files, "--model", model, "--format", "ladder").out
    assert made["one.ladder"].decode() == single

    (tmp_path / "out/two.ladder").unlink()
    ran = run(*command)
    assert "1 documents were aligned already" in ran.err
    assert (tmp_path / "out/two.ladder").read_bytes() == made["two.ladder"]

    assert "max_size (4, now 5)" in run(*command, "--max-size", 5).err
    ran = run(*command[:-2], "--gold", tmp_path / "out", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["strict"]["f1"] == 1.0


def test_lists_name_the_documents(
    run: Run, files: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    (tmp_path / "src.list").write_text("source.txt\n" * 2)
    (tmp_path / "tgt.list").write_text("target.txt\n" * 2)
    lists = (tmp_path / "src.list", tmp_path / "tgt.list")
    ran = run("align", *lists, "--lists", "--model", model, "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert (tmp_path / "out/000002-source.tsv").exists()
    (tmp_path / "tgt.list").write_text("target.txt\n")
    ran = run("align", *lists, "--lists", "--model", model, "--out", tmp_path / "out")
    assert ran.code == 3
    assert "names 2 documents" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "ladder", "--ids"), "--ids is for tsv and parquet"),
        (("--json",), "--json prints the scores of --gold"),
        (("--format", "tsv", "--source-lang", "de"), "give both"),
        (("--format", "tmx"), "give --source-lang and --target-lang"),
        (("--format", "ladder", "--source-lang", "de"), "not for --format ladder"),
        (("--format", "tmx", "--source-lang", "xx-yy", "--target-lang", "de"), "xx-yy"),
        (("--max-size", 1), "--max-size"),
        (("--skip-percentile", 101), "--skip-percentile"),
        (("--skip-percentile", "nan"), "--skip-percentile"),
    ],
)
def test_options_that_cannot_apply_are_told(
    run: Run, files: tuple[Path, Path], model: Path, arguments: tuple[object, ...], message: str
) -> None:
    ran = run("align", *files, "--model", model, *arguments)
    assert ran.code == 2
    assert message in ran.err


def test_broken_files_are_told(
    run: Run, files: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad").write_bytes(b"fine\n\xff\xfe\n")
    ran = run("align", tmp_path / "bad", files[1], "--model", model)
    assert (ran.code, ran.out) == (3, "")
    assert "bad, line 2: not valid UTF-8" in ran.err
    assert run("align", tmp_path / "none", files[1], "--model", model).code == 3
    assert run("align", "-", "-", "--model", model).code == 2
    assert run("align", tmp_path, files[1], "--model", model, "--out", tmp_path / "o").code == 2
    assert run("align", tmp_path, tmp_path, "--model", model).code == 2
    ran = run("align", *files, "--model", model, "--out", tmp_path / "bad/out")
    assert ran.code == 4
    assert "cannot be written" in ran.err


def test_a_batch_into_a_place_that_is_no_folder_is_told(
    run: Run, files: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    (tmp_path / "list").write_text("source.txt\n")
    ran = run(
        "align",
        tmp_path / "list",
        tmp_path / "list",
        "--lists",
        "--model",
        model,
        "--out",
        files[0],
    )
    assert ran.code == 4
    assert "give the name of a folder" in ran.err


@pytest.mark.system
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_batch_goes_on_to_the_same_bytes(
    run: Run, files: tuple[Path, Path], model: Path, tmp_path: Path, stop: signal.Signals
) -> None:
    sides = ("source", "target")
    for name, file in zip(sides, files, strict=True):
        (tmp_path / name).mkdir()
        for number in range(150):
            (tmp_path / name / f"{number}.txt").write_text(f"{file.read_text()}free {number}\n")
    command = ["align", *(str(tmp_path / name) for name in sides), "--model", str(model), "--out"]
    parts, whole = tmp_path / "parts", tmp_path / "whole"

    process = subprocess.Popen([sys.executable, "-m", "labse.cli", *command, str(parts)])
    while len(list(parts.glob("*.tsv"))) < 3:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(stop)
    code = process.wait(timeout=60)
    assert code == (5 if stop == signal.SIGINT else -signal.SIGKILL)
    num_done = len(list(parts.glob("*.tsv")))
    assert 0 < num_done < 150

    found = re.search(r"(\d+) documents were aligned already", run(*command, parts).err)
    assert found
    assert int(found[1]) in (num_done - 1, num_done)  # A kill may come before a file is noted.
    run(*command, whole)
    names = [path.name for path in whole.iterdir() if path.suffix in (".tsv", ".json")]
    assert len(names) == 151
    assert all((parts / name).read_bytes() == (whole / name).read_bytes() for name in names)
