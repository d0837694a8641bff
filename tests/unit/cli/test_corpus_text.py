import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
WET = (
    "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: https://a.b/1\r\n"
    "WARC-Identified-Content-Language: deu\r\nContent-Length: {}\r\n\r\n{}\r\n\r\n"
)


@pytest.fixture
def wet(tmp_path: Path) -> Path:
    pytest.importorskip("fastwarc")
    text = "Guten Tag. Wie geht es?\nGut.\n"
    path = tmp_path / "a.wet"
    path.write_bytes((WET.format(len(text), text) + WET.format(1, "\x80")).encode("latin-1"))
    return path


def test_extract_gives_a_row_a_paragraph(run: Run, wet: Path) -> None:
    ran = run("corpus", "extract", wet)
    assert ran.code == 0
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert [row["text"] for row in rows] == ["Guten Tag. Wie geht es?", "Gut."]
    assert rows[0]["document"] == "https://a.b/1"
    assert (rows[0]["lang"], rows[0]["origin"]) == ("deu", "a.wet")
    assert "left out: 1 (not UTF-8)" in ran.err
    assert "-: 2 rows" in ran.err


def test_split_gives_a_row_a_sentence(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("sentencex")
    text = tmp_path / "a.txt"
    text.write_text("Guten Tag. Wie geht es?\n\nGut.\n", "utf-8")
    ran = run("corpus", "split", text, "--lang", "de", "--format", "txt")
    assert (ran.code, ran.out) == (0, "Guten Tag.\nWie geht es?\n\nGut.\n")
    out = tmp_path / "b.jsonl"
    ran = run("corpus", "split", text, "--lang", "de", "--out", out, "--json")
    assert json.loads(ran.out) == {
        "out": str(out),
        "num_rows": 4,
        "num_altered": 0,
        "langs": {"deu": 4},
        "drops": {},
    }


def test_options_that_cannot_apply_are_usage_errors(run: Run, tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("x\n")
    for arguments, message in (
        (("split", text, "--json"), "--json tells of a file on standard output"),
        (("split", text, "--out", text), "would replace; name another file"),
        (("split", text, "--lang", "germn"), "did you mean 'deu'"),
        (("extract", text, "--out", tmp_path / "a.xlsx"), "cannot tell the format"),
        (("convert", text, "--out", tmp_path / "a.tsv"), "come in twos"),
        (("convert", text, "--out", "a", "--out", "b", "--out", "c"), "--out once, or twice"),
    ):
        ran = run("corpus", *arguments)
        assert (ran.code, message in ran.err) == (2, True), ran.err


def test_convert_goes_round_through_every_format(run: Run, tmp_path: Path) -> None:
    start = tmp_path / "a.tsv"
    start.write_text("source\ttarget\tsource_lang\ttarget_lang\nhouse\tHaus\teng\tdeu\n", "utf-8")
    before = start
    for name in ("b.tmx.gz", "c.jsonl", "d.tsv"):
        ran = run("corpus", "convert", before, "--out", tmp_path / name)
        assert (ran.code, ran.out) == (0, ""), ran.err
        before = tmp_path / name
    assert before.read_bytes() == start.read_bytes()
    moses = (tmp_path / "x.en", tmp_path / "x.de")
    run("corpus", "convert", start, "--out", moses[0], "--out", moses[1])
    langs = ("--source-lang", "en", "--target-lang", "de")
    ran = run("corpus", "convert", *moses, *langs, "--out", "-", "--format", "tsv")
    assert ran.out.encode() == start.read_bytes()


def test_convert_tells_what_it_left_out_and_altered(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"source": "a\\u0001", "target": "b", "source_lang": "en", "target_lang": "de", "n": 1}\n'
    )
    ran = run("corpus", "convert", tmp_path / "a.jsonl", "--out", tmp_path / "a.tmx", "--json")
    assert json.loads(ran.out) == {
        "out": [str(tmp_path / "a.tmx")],
        "num_rows": 1,
        "num_altered": 1,
        "drops": {},
    }
    assert "columns left out: 'n'" in ran.err
    assert "1 rows hold a character that the format cannot, replaced" in ran.err
    outs = ("--out", tmp_path / "x", "--out", tmp_path / "y", "--format", "tsv")
    ran = run("corpus", "convert", tmp_path / "a.jsonl", *outs)
    assert (ran.code, "have no other format" in ran.err) == (2, True)
    bomb = tmp_path / "bomb.tmx"
    bomb.write_text('<!DOCTYPE tmx [<!ENTITY a "aaaa">]><tmx>&a;</tmx>')
    ran = run("corpus", "convert", bomb, "--out", tmp_path / "b.tsv")
    assert (ran.code, "declares the entity" in ran.err) == (3, True)
    assert not (tmp_path / "b.tsv").exists()


def test_stats_is_a_table_json_or_a_picture(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "a.txt").write_text("Haus\nHof\n")
    (tmp_path / "p.tsv").write_text("lang\tenglish\ttext\nde\thouse\tHaus\n")
    files = (tmp_path / "a.txt", tmp_path / "p.tsv")
    ran = run("corpus", "stats", *files, "--lang", "de", "--out", tmp_path / "a.png")
    assert ran.code == 0
    assert ran.out.splitlines()[1].split("\t")[:4] == ["deu", "German", "2", "1"]
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    ran = run("corpus", "stats", *files, "--json")
    assert json.loads(ran.out)["lang_pairs"] == {"eng-deu": 1}
