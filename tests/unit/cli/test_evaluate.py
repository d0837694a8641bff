import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

ENGLISH = ["All are free.", "All are equal.", "Rights and dignity."]
GERMAN = ["Alle sind frei.", "Alle sind gleich.", "Rechte und Würde."]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sets; the French one is a copy of English, so that its P@1 is 1."""
    path = tmp_path / "tatoeba"
    path.mkdir()
    for lang, sentences in (("deu", GERMAN), ("fra", ENGLISH)):
        for side, lines in ((lang, sentences), ("eng", ENGLISH)):
            (path / f"tatoeba.{lang}-eng.{side}").write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_a_table_with_signatures_goes_to_standard_output(
    run: Run, folder: Path, model: Path
) -> None:
    ran = run("evaluate", "tatoeba", folder, "--model", model)
    assert ran.code == 0
    assert ran.out.index("French") < ran.out.index("\np_at_1|data:tatoeba|langs:deu+fra|dir:both|")
    assert ran.out.index("norm:l2|v:") < ran.out.index("\ngroup 14 left out: ")
    assert ran.err == ""


def test_json_and_report_hold_the_same(run: Run, tmp_path: Path, folder: Path, model: Path) -> None:
    report = tmp_path / "report.json"
    ran = run("evaluate", "tatoeba", folder, "--model", model, "--json", "--out", report)
    assert json.loads(ran.out) == json.loads(report.read_text("utf-8"))
    scores = {row["lang"]: row["p_at_1"] for row in json.loads(ran.out)["langs"]}
    assert scores["fra"] == 1.0
    assert "report written" in ran.err


def test_a_report_that_cannot_be_written_is_told_before_the_work(
    run: Run, tmp_path: Path, folder: Path, model: Path
) -> None:
    (tmp_path / "file").touch()
    report = tmp_path / "file" / "report.json"
    ran = run("evaluate", "tatoeba", folder, "--model", model, "--out", report)
    assert ran.code == 4
    assert ran.out == ""
    assert "report.json: cannot be written: Not a directory" in ran.err


def test_languages_go_by_any_code(run: Run, folder: Path, model: Path) -> None:
    ran = run("evaluate", "tatoeba", folder, "--model", model, "--langs", "de, ", "--json")
    assert [row["lang"] for row in json.loads(ran.out)["langs"]] == ["deu"]


def test_what_was_cut_is_counted(run: Run, folder: Path, model: Path) -> None:
    path = folder / "tatoeba.deu-eng.deu"
    path.write_text("\n".join([*GERMAN[:2], "frei " * 40]) + "\n", "utf-8")
    ran = run("evaluate", "tatoeba", folder, "--model", model)
    assert "1 sentences cut to 24 tokens" in ran.err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--langs", "sv", "no set for 'sv'"),
        ("--langs", "xx", "unknown language 'xx'"),
        ("--langs", ", ", "names nothing"),
        ("--memory", "1", "--memory 1: give at least 1M"),
    ],
)
def test_a_value_that_cannot_be_is_a_usage_error(
    run: Run, folder: Path, model: Path, option: str, value: str, message: str
) -> None:
    ran = run("evaluate", "tatoeba", folder, "--model", model, option, value)
    assert ran.code == 2
    assert message in ran.err


@pytest.fixture
def aligned(tmp_path: Path) -> Path:
    """Lines in three languages; the French ones are copies of the English."""
    path = tmp_path / "toy"
    path.mkdir()
    for lang, sentences in (("deu", GERMAN), ("eng", ENGLISH), ("fra", ENGLISH)):
        lines = [f"{sentence} {n}" for n, sentence in enumerate(sentences)]
        (path / f"{lang}.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture
def bucc(tmp_path: Path) -> Path:
    inner = tmp_path / "bucc" / "fr-en"
    inner.mkdir(parents=True)
    for split in ("training", "test"):
        for lang in ("fr", "en"):
            rows = [f"{lang}-{n}\t{sentence}" for n, sentence in enumerate(ENGLISH)]
            (inner / f"fr-en.{split}.{lang}").write_text("\n".join(rows) + "\n", "utf-8")
        (inner / f"fr-en.{split}.gold").write_text("fr-0\ten-0\nfr-1\ten-1\n", "utf-8")
    return tmp_path / "bucc"


def test_a_folder_gets_json_markdown_and_a_picture(
    run: Run, tmp_path: Path, folder: Path, model: Path
) -> None:
    pytest.importorskip("matplotlib")
    ran = run("evaluate", "tatoeba", folder, "--model", model, "--out", tmp_path / "report")
    assert ran.code == 0
    names = sorted(path.name for path in (tmp_path / "report").iterdir())
    assert names == ["report.json", "report.md", "report.png"]


def test_retrieval_of_copies_is_perfect(run: Run, aligned: Path, model: Path) -> None:
    langs = ("--langs", "en,fr", "--memory", "16M")
    ran = run("evaluate", "retrieval", aligned, "--model", model, *langs, "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["scores"][0]["value"] == 1.0
    assert "data:toy|langs:eng+fra" in json.loads(ran.out)["scores"][0]["signature"]


def test_xsim_and_xsimpp_of_copies_are_without_error(run: Run, aligned: Path, model: Path) -> None:
    ran = run("evaluate", "xsim", aligned, "--model", model, "--langs", "fr", "--json")
    rows = json.loads(ran.out)["rows"]
    assert [(row["metric"], row["error"]) for row in rows] == [
        ("xsim_error", 0.0),
        ("xsimpp_error", 0.0),
    ]
    assert rows[1]["num_near_misses"] > 0


def test_bucc_of_copies_shows_the_paper_beside_its_protocol(
    run: Run, bucc: Path, model: Path
) -> None:
    ran = run("evaluate", "bucc", bucc, "--model", model)
    assert ran.code == 0
    assert "88.7" in ran.out
    assert "bucc_f1|data:bucc|lang_pair:fr-en|split:test|retrieval:forward" in ran.out


def test_a_gold_file_with_an_unknown_id_leaves_no_report(
    run: Run, tmp_path: Path, bucc: Path, model: Path
) -> None:
    (bucc / "fr-en" / "fr-en.training.gold").write_text("fr-9\ten-0\n", "utf-8")
    ran = run("evaluate", "bucc", bucc, "--model", model, "--out", tmp_path / "report")
    assert ran.code == 3
    assert "no source sentence has the id 'fr-9'" in ran.err
    assert not (tmp_path / "report").exists()


def test_un_finds_copies_in_a_pool(run: Run, tmp_path: Path, aligned: Path, model: Path) -> None:
    more = tmp_path / "more.txt"
    more.write_text("Somebody else.\n", "utf-8")
    files = (aligned / "eng.txt", aligned / "fra.txt")
    ran = run("evaluate", "un", *files, "--pair", "en-fr", "--distractors", more,
              "--model", model, "--shard-rows", 2, "--json")  # fmt: skip
    value = json.loads(ran.out)
    assert value["scores"][0]["value"] == 1.0
    assert (value["num_queries"], value["num_pool"]) == (3, 4)


def test_sts_reads_tables(run: Run, tmp_path: Path, model: Path) -> None:
    (tmp_path / "toy.tsv").write_text("free\tfree\t5\nfree\tequal rights\t1\n", "utf-8")
    ran = run("evaluate", "sts", tmp_path / "toy.tsv", "--model", model)
    assert ran.code == 0
    assert "100.0" in ran.out


def test_a_broken_function_is_bad_data_and_leaves_no_report(
    run: Run, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_encoder.py").write_text(
        "def encode(sentences):\n    return [[float('nan')]] * len(sentences)\n"
    )
    monkeypatch.chdir(tmp_path)
    report = tmp_path / "report.json"
    ran = run("evaluate", "tatoeba", folder, "--model", "broken_encoder:encode", "--out", report)
    assert ran.code == 3
    assert "NaN or infinity" in ran.err
    assert not report.exists()


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
    assert "toy: report written" in ran.err
    assert names == ["report.json", "report.md", "retrieval-toy", "tatoeba-words", "xsim-toy"]
    scores = json.loads((out / "report.json").read_text("utf-8"))["scores"]
    assert {score["name"].partition(" ")[0] for score in scores} == set(names[2:])


def test_a_broken_file_of_the_last_set_is_told_before_anything_is_encoded(
    run: Run, tmp_path: Path, root: Path, model: Path
) -> None:
    write(root / "words" / "tatoeba.deu-eng.deu", GERMAN[:2])
    out = tmp_path / "reports"
    ran = run("evaluate", "all", root, "--model", model, "--out", out)
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
