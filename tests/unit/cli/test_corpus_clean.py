import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

PAIRS = """lang\tenglish\ttext
de\tThe children played.\tDie Kinder spielten.
de\tSave the file\tSave the file
"""


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.tsv"
    path.write_text(PAIRS, "utf-8")
    return path


def test_clean_prints_a_table_of_reasons(tmp_path: Path, pairs: Path, run: Run) -> None:
    ran = run(
        "corpus", "clean", pairs, "--kind", "pairs", "--no-language-id", "--out", tmp_path / "out"
    )
    assert ran.code == 0, ran.err
    assert "eng-deu" in ran.out
    assert "untranslated 1" in ran.out
    assert "50.0" in ran.out


def test_decide_takes_other_bounds_and_prints_json(tmp_path: Path, pairs: Path, run: Run) -> None:
    out = tmp_path / "out"
    run("corpus", "clean", pairs, "--kind", "pairs", "--no-language-id", "--out", out)
    (tmp_path / "bounds.toml").write_text("max_overlap = 1.0\nmin_characters = 14\n")
    options = ("--bounds", tmp_path / "bounds.toml", "--json", "--rejects")
    ran = run("corpus", "decide", out, *options)
    counts = json.loads(ran.out)["counts"]["pairs"]["eng-deu"]
    assert counts == {"kept": 1, "source: too short": 1}
    ran = run("corpus", "decide", out, *options, "--set", "min_characters=5")
    assert json.loads(ran.out)["counts"]["pairs"]["eng-deu"] == {"kept": 2}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["clean", "{pairs}", "--out", "{out}", "--set", "max_overlap=1"], 2, "unknown key"),
        (["clean", "{out}.txt", "--out", "{out}"], 3, "no such file"),
        (
            ["clean", "{pairs}", "--kind", "pairs", "--lang", "de", "--out", "{out}"],
            2,
            "lang is for text",
        ),
        (["clean", "{pairs}", "--kind", "pairs", "--out", "{pairs}"], 4, "Not a directory"),
        (["clean", "{pairs}", "--lang", "xx-none", "--out", "{out}"], 2, "unknown language"),
        (["clean", "{pairs}", "{pairs}", "--out", "{out}"], 2, "is given twice"),
        (["clean", "{named}", "--out", "{out}"], 2, "its rows are pairs; give --kind pairs"),
        (["decide", "{out}"], 3, "no whole scores in it"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, pairs: Path, run: Run, arguments: list[str], code: int, message: str
) -> None:
    named = tmp_path / "named.tsv"
    named.write_text("source\ttarget\tsource_lang\ttarget_lang\n")
    places = {"pairs": pairs, "out": tmp_path / "out", "named": named}
    filled = [argument.format(**places) for argument in arguments]
    ran = run("corpus", *filled)
    assert ran.code == code
    assert message in ran.err
    assert ran.err.count("\n") == 1
