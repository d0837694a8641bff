"""Subtitles, XLIFF and PO are read alike by every command; what holds no text is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]
SRT = """1
00:00:01,000 --> 00:00:03,200
Where have you been?

2
00:00:03,400 --> 00:00:06,000 X1:100 X2:200
I waited at the station

for two hours.

3
00:00:06,200 --> 00:00:07,500
{\\an8}<i>The train &amp; the bus
are <font color="#fff">late</font>.</i>
4
00:00:08,000 --> 00:00:09,000

5
00:00:10,000 --> 00:00:12,000
5 < 6 in 1984
"""
CUES = [
    "Where have you been?",
    "I waited at the station for two hours.",
    "The train & the bus are late.",
    "",
    "5 < 6 in 1984",
]
VTT = """WEBVTT - a film

NOTE
not a text

STYLE
::cue { color: red }

intro
00:01.000 --> 00:03.200 align:start
<v Roger Bingham>We are in <c.loud>New York</c> City</v>

00:00:04.000 --> 00:00:06.000
<00:00:04.500>one&nbsp;day&lrm;
two
NOTE is text here

3
00:10.000 --> 00:12.000
<ruby>漢<rt>kan</rt></ruby>字
"""
XLIFF1 = """<?xml version="1.0"?>
<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"><file original="a"
 source-language="en-US" target-language="de"><header><note>no text</note></header><body><group>
<trans-unit id="1"><source>Open the <g id="1">lid</g>.<x id="2" ctype="lb"/>Now.</source>
<seg-source><mrk mid="0">Open</mrk></seg-source><target state="final">Öffnen.</target>
<alt-trans><source>No</source><target>Nein</target></alt-trans><note>no</note></trans-unit>
<trans-unit id="2"><source>Not yet</source></trans-unit></group></body></file></xliff>"""
XLIFF2 = """<xliff version="2.0" srcLang="en" trgLang="fr"
 xmlns="urn:oasis:names:tc:xliff:document:2.0">
<file id="f"><unit id="1"><notes><note>no</note></notes><originalData><data id="d">x</data>
</originalData><segment><source>Open <pc id="1">it</pc>.</source><target>Ouvrez.</target></segment>
<ignorable><source> </source></ignorable><segment><source>Good<ph id="2"/>bye,<mrk id="m">you</mrk>
</source></segment></unit></file></xliff>"""
PO = """# a comment
msgid ""
msgstr ""
"Language: de\\n"
"Content-Type: text/plain; charset=UTF-8\\n"

msgctxt "menu"
msgid "Open "
"the lid."
msgstr "Öffnen Sie\\n"
"den Deckel."

#, fuzzy
msgid "Close"
msgstr "Falsch"

msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d Datei"
msgstr[1] "%d Dateien"

msgid "Later"
msgstr ""

#~ msgid "old"
#~ msgstr "alt"
"""


def rows(run: Run, *arguments: str) -> list[dict[str, str]]:
    ran = run("corpus", *arguments, "--out", "-", "--format", "jsonl")
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_cue_of_srt_is_one_row(run: Run, inside: Path, end: str, encoding: str) -> None:
    Path("film.en.srt").write_bytes(SRT.replace("\n", end).encode(encoding))
    found = rows(run, "extract", "film.en.srt", "--lang", "en")
    assert [row["text"] for row in found] == CUES


def test_subtitles_are_cleaned_once_their_language_is_given(run: Run, inside: Path) -> None:
    Path("film.srt").write_text(SRT)
    command = ("corpus", "clean", "film.srt", "--no-language-id", "--out", "clean")
    ran = run(*command)
    assert ran.code == 2
    assert "give --lang" in ran.err
    assert run(*command, "--lang", "en").code == 0


def test_a_cue_of_vtt_is_one_row(run: Run, inside: Path) -> None:
    Path("film.vtt").write_text(VTT, "utf-8")
    found = rows(run, "extract", "film.vtt", "--lang", "en")
    assert [row["text"] for row in found] == [
        "We are in New York City",
        "one day two NOTE is text here",
        "漢字",
    ]


def test_what_has_no_cue_is_an_error(run: Run, inside: Path) -> None:
    Path("no.srt").write_text("a\nb\n")
    ran = run("corpus", "extract", "no.srt")
    assert ran.code == 3
    assert "no cue in it" in ran.err


def test_units_of_xliff_are_pairs(run: Run, inside: Path) -> None:
    Path("a.xlf").write_text(XLIFF1, "utf-8")
    Path("b.xliff").write_text(XLIFF2, "utf-8")
    found = rows(run, "convert", "a.xlf", "b.xliff")
    assert [tuple(row.values()) for row in found] == [
        ("Open the lid. Now.", "Öffnen.", "eng", "deu"),
        ("Open it.", "Ouvrez.", "eng", "fra"),
    ]
    ran = run("corpus", "convert", "a.xlf", "b.xliff", "--out", "-", "--format", "tsv")
    assert "left out: 2 (not translated)" in ran.err


def test_messages_of_po_are_pairs(run: Run, inside: Path) -> None:
    pytest.importorskip("polib")
    Path("app.po").write_text(PO, "utf-8")
    found = rows(run, "convert", "app.po", "--source-lang", "en")
    assert [(row["source"], row["target"]) for row in found] == [
        ("Open the lid.", "Öffnen Sie den Deckel."),
        ("%d file", "%d Datei"),
        ("%d files", "%d Dateien"),
    ]
    assert {row["target_lang"] for row in found} == {"deu"}


def test_encode_mine_and_align_read_the_same_texts(run: Run, inside: Path) -> None:
    pytest.importorskip("polib")
    Path("film.en.srt").write_bytes(SRT.encode("utf-8-sig"))
    Path("film.txt").write_text("\n".join(CUES) + "\n")
    Path("app.xlf").write_text(XLIFF1, "utf-8")
    Path("app.po").write_text(PO, "utf-8")
    for name, num_rows in (("film.en.srt", 5), ("film.txt", 5), ("app.xlf", 2), ("app.po", 5)):
        ran = run("encode", name, "--out", f"{name}.npy")
        assert ran.code == 0, ran.err
        assert len(np.load(f"{name}.npy")) == num_rows
    np.testing.assert_array_equal(np.load("film.en.srt.npy"), np.load("film.txt.npy"))
    assert run("encode", "app.xlf", "--column", "target", "--out", "t.npy").code == 0
    ran = run("align", "film.en.srt", "film.txt", "--format", "tsv")
    beads = [line.split("\t") for line in ran.out.splitlines()[1:]]
    assert [bead[1] for bead in beads if bead[1]] == [cue for cue in CUES if cue]
    assert all(bead[1] == bead[2] for bead in beads)
    ran = run("mine", "film.en.srt", "film.txt", "--margin", "absolute")
    assert len(ran.out.splitlines()) == 1 + 4


NO_TEXT = (
    "html htm docx pdf ass sub sbv sdlxliff ts properties resx ndjson rtf odt epub doc tgz csv"
)


@pytest.mark.parametrize("suffix", [*NO_TEXT.split(), "tmx", "json", "xlsx", "HTML", "csv.gz"])
def test_all_commands_refuse_what_is_no_text(run: Run, inside: Path, suffix: str) -> None:
    name = f"a.{suffix}"
    Path(name).write_bytes(b"a\n")
    Path("b.txt").write_text("b\n")
    ran = run("encode", name, "--out", "a.npy")
    assert (ran.code, "files are not read" in ran.err) == (2, True)
    assert run("align", name, "b.txt").code == 2
    assert run("mine", "b.txt", name).code == 2
    if suffix != "tmx":
        assert run("corpus", "convert", name, "b.txt", "--out", "o.tsv").code == 2
        assert run("corpus", "extract", name).code == 2
    assert run("corpus", "clean", name, "--lang", "en", "--out", "clean").code == 2


def test_the_code_of_a_language_is_still_text(run: Run, inside: Path) -> None:
    for name in ("a.de", "a.pt_BR", "a.zh-Hant", "a.tso", "a.apd"):
        Path(name).write_text("Guten Tag.\n")
        assert [row["text"] for row in rows(run, "extract", name)] == ["Guten Tag."]
