import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "a").write_text("free\nequal 30\n\nrights\n")
    (tmp_path / "b").write_text("free\nequal 31\nx\nrights and much more text\n")
    return tmp_path / "a", tmp_path / "b"


def test_kept_pairs_rejects_scores_and_report_agree(
    run: Run, files: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    kept, rejects, scores = (tmp_path / name for name in ("k.tsv", "r.jsonl", "s.jsonl"))
    ran = run("filter", *files, "--model", model, "--max-length-ratio", 1.5,
              "--max-number-mismatch", 0.5, "--out", kept, "--rejects", rejects,
              "--scores", scores, "--json")  # fmt: skip
    assert ran.code == 0
    assert kept.read_text() == "source\ttarget\nfree\tfree\n"
    reasons = [json.loads(line)["reasons"] for line in rejects.read_text().splitlines()]
    assert reasons == [["max_number_mismatch"], ["empty"], ["max_length_ratio"]]
    assert len(scores.read_text().splitlines()) == 4
    report = json.loads(ran.out)
    assert (report["read"], report["kept"], report["dropped"]) == (4, 1, 3)


def test_recommended_bounds_drop_what_is_no_translation_and_give_way_to_others(
    run: Run, model: Path, tmp_path: Path
) -> None:
    rows = ["free\tfrei", "the dignity of all\tthe dignity of all", "free\tequal " + "in " * 60]
    (tmp_path / "p.tsv").write_text("source\ttarget\n" + "\n".join(rows) + "\n")
    command = ("filter", tmp_path / "p.tsv", "--model", model, "--recommended", "--out")
    assert run(*command, tmp_path / "k.tsv").code == 0
    assert (tmp_path / "k.tsv").read_text().splitlines()[1:] == rows[:1]
    assert run(*command, tmp_path / "k.tsv", "--max-overlap", 1).code == 0
    assert (tmp_path / "k.tsv").read_text().splitlines()[1:] == rows[:2]


def test_min_quality_drops_a_wrong_pair_and_new_bounds_need_no_new_scores(
    run: Run, tmp_path: Path
) -> None:
    rows = [
        "The house stands by the river.\tDas Haus steht am Fluss.",
        "Good night!\tDer Zug ab 9.",
    ]
    (tmp_path / "p.tsv").write_text("source\ttarget\n" + "\n".join(rows) + "\n")
    out, scores = tmp_path / "k.tsv", tmp_path / "s.jsonl"
    command = ("filter", tmp_path / "p.tsv", "--out", out, "--min-quality")
    assert run(*command, 0.3, "--scores", scores).code == 0
    assert out.read_text().splitlines()[1:] == rows[:1]
    good, bad = (json.loads(line)["quality"] for line in scores.read_text().splitlines())
    assert good > 0.3 > bad
    assert run(*command, (good + 1) / 2, "--from-scores", scores).code == 0
    assert out.read_text().splitlines()[1:] == []


def test_scores_of_another_corpus_are_refused(
    run: Run, files: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    scores = tmp_path / "s.jsonl"
    run("filter", *files, "--model", model, "--scores", scores)
    for file in files:
        file.write_text("one\n")
    ran = run(
        "filter", *files, "--from-scores", scores, "--recommended", "--out", tmp_path / "k.tsv"
    )
    assert ran.code == 3
    assert "does not have one line for each line of the input" in ran.err
    assert not (tmp_path / "k.tsv").exists()


def test_a_table_of_pairs_is_filtered_by_its_columns(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("source\ttarget\nfree\tfree\nfree\tdignity\n")
    ran = run("filter", tmp_path / "p.tsv", "--model", model, "--min-margin", 0.999, "--k", 1,
              "--out", tmp_path / "k.tsv")  # fmt: skip
    assert ran.code == 0
    assert (tmp_path / "k.tsv").read_text() == "source\ttarget\nfree\tfree\n"


def test_the_bound_of_calibrate_is_applied(run: Run, tmp_path: Path) -> None:
    rated, mined = tmp_path / "rated.tsv", tmp_path / "mined.tsv"
    rated.write_text("".join(f"{1 + n / 100}\t{'GOOD' if n > 20 else 'BAD'}\n" for n in range(60)))
    mined.write_text("margin_score\tsource\ttarget\n1.5\ta\tb\n1.05\tc\td\n")
    calibrated = tmp_path / "calibration.json"
    assert run("calibrate", rated, "--precision", 0.9, "--out", calibrated).code == 0
    ran = run("filter", mined, "--min-score-from", calibrated, "--out", tmp_path / "kept.tsv")
    assert ran.code == 0, ran.err
    assert (tmp_path / "kept.tsv").read_text().split("\n")[1:] == ["a\tb\t1.5", ""]
    ran = run("filter", mined, "--min-score-from", mined, "--out", tmp_path / "kept.tsv")
    assert ran.code == 3
    both = ("--min-score", 1, "--min-score-from", calibrated)
    assert run("filter", mined, *both, "--out", tmp_path / "kept.tsv").code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give --out FILE"),
        (("--out", "k.tsv"), "no bound is given; take --recommended"),
        (("--recommended", "--out", "k.tmx"), "TMX needs --source-lang"),
        (
            ("--recommended", "--out", "k.tsv", "--source-lang", "de"),
            "give both --source-lang and --target-lang",
        ),
        (("--out", "k.tsv", "--min-language-match", 1), "--min-language-match needs"),
    ],
)
def test_wrong_use_is_told(
    run: Run, files: tuple[Path, Path], model: Path, options: tuple, message: str,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    ran = run("filter", *files, "--model", model, *options)
    assert ran.code == 2
    assert message in ran.err


def test_unequal_files_are_told_before_anything_is_written(
    run: Run, files: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    files[1].write_text("free\n")
    ran = run("filter", *files, "--model", model, "--recommended", "--out", tmp_path / "k.tsv")
    assert ran.code == 3
    assert "source has 4 lines and the target 1" in ran.err
    assert not (tmp_path / "k.tsv").exists()
