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
    assert "French" in ran.out
    assert "p_at_1|data:tatoeba|langs:deu+fra|dir:both|max_seq_length:24" in ran.out
    assert ran.err == ""


def test_json_and_report_hold_the_same(run: Run, tmp_path: Path, folder: Path, model: Path) -> None:
    report = tmp_path / "report.json"
    ran = run("evaluate", "tatoeba", folder, "--model", model, "--json", "--out", report)
    assert json.loads(ran.out) == json.loads(report.read_text("utf-8"))
    scores = {row["lang"]: row["p_at_1"] for row in json.loads(ran.out)["langs"]}
    assert scores["fra"] == 1.0
    assert "report written" in ran.err


def test_languages_go_by_any_code(run: Run, folder: Path, model: Path) -> None:
    ran = run("evaluate", "tatoeba", folder, "--model", model, "--langs", "de, ", "--json")
    assert [row["lang"] for row in json.loads(ran.out)["langs"]] == ["deu"]


def test_what_was_cut_is_counted(run: Run, folder: Path, model: Path) -> None:
    path = folder / "tatoeba.deu-eng.deu"
    path.write_text("\n".join([*GERMAN[:2], "frei " * 40]) + "\n", "utf-8")
    ran = run("evaluate", "tatoeba", folder, "--model", model)
    assert "1 sentences cut to 24 tokens" in ran.err


@pytest.mark.parametrize(
    ("langs", "message"), [("sv", "no set for 'sv'"), ("xx", "unknown language 'xx'"), (",", "")]
)
def test_a_language_without_a_set_is_a_usage_error(
    run: Run, folder: Path, model: Path, langs: str, message: str
) -> None:
    ran = run("evaluate", "tatoeba", folder, "--model", model, "--langs", langs)
    assert ran.code == 2
    assert message in ran.err
