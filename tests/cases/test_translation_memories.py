"""Translation memories as the tools of translators write them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
CONVERT = ("corpus", "convert", "m.tmx", "--out", "-", "--format", "tsv")


def unit(*variants: tuple[str, str], seg: str = "seg") -> str:
    tuvs = (f'<tuv xml:lang="{lang}"><{seg}>{text}</{seg}></tuv>' for lang, text in variants)
    return f"<tu>{''.join(tuvs)}</tu>"


def write(*units: str, srclang: str = "en") -> None:
    body = f'<header srclang="{srclang}"/><body>{"".join(units)}</body>'
    Path("m.tmx").write_text(f'<tmx version="1.4">{body}</tmx>', "utf-8")


def rows(out: str) -> list[str]:
    return out.splitlines()[1:]


@pytest.mark.parametrize(
    "tag", ["ja-JP-x-lvariant-JP", "jp", "ja-JP-u-ca-japanese", "JA_JP.UTF-8", "ja-Jpan-JP"]
)
def test_a_variant_is_read_however_its_language_is_written(
    run: Run, inside: Path, tag: str
) -> None:
    write(unit(("en-US", "The lamp is red."), ("de", "Rot."), (tag, "ランプは赤いです。")))
    ran = run(*CONVERT)
    assert rows(ran.out) == [
        "The lamp is red.\tRot.\teng\tdeu",
        "The lamp is red.\tランプは赤いです。\teng\tjpn",
    ]


def test_each_variant_that_is_not_taken_has_a_reason_and_a_count(run: Run, inside: Path) -> None:
    write(
        unit(("en-US", "Lamp"), ("en-GB", "Lamp"), ("de", "Lampe"), ("x-klingon", "tlh")),
        unit(("", "Lamp"), ("en", "Lamp"), ("fr", "Lampe")),
        unit(("de", "Lampe"), ("fr", "Lampe")),
        "<tu></tu>",
    )
    ran = run(*CONVERT)
    assert len(rows(ran.out)) == 2
    for reason in (
        "1 (another variant in the source's language)",
        "1 (language not known: x-klingon)",
        "1 (no language is named)",
        "1 (no variant in en, the srclang of the header)",
        "1 (no variant in the unit)",
    ):
        assert f"left out: {reason}" in ran.err


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('Close it.<ph type="lb">&lt;br/&gt;</ph>Open it.', "Close it. Open it."),
        ('Name:<x id="2"/>Anna', "Name: Anna"),
        ("a first line<ph>\\n</ph>a second", "a first line a second"),
        ("cell<ph>&lt;/td&gt;&lt;td&gt;</ph>cell", "cell cell"),
        ("one<br/>two", "one two"),
        ('The b<bpt i="1">&lt;i&gt;</bpt>ol<ept i="1">&lt;/i&gt;</ept>d text.', "The bold text."),
        ("un<ph>&lt;b&gt;</ph>known", "unknown"),
        ("co<ph>&amp;shy;</ph>operate", "cooperate"),
        ("bold<ut>{\\b </ut>ly", "boldly"),
        ("the <hi>lamp</hi>s", "the lamps"),
        ('Stop<ph x="1"/>, then (<ph x="2"/>go)', "Stop, then (go)"),
        ('電<ph x="1"/>話', "電話"),
        ('電話。<ph type="lb"/>電話', "電話。 電話"),
    ],
)
def test_a_code_parts_words_or_stands_inside_one(
    run: Run, inside: Path, written: str, text: str
) -> None:
    write(unit(("en", written), ("de", "x")))
    assert rows(run(*CONVERT).out) == [f"{text}\tx\teng\tdeu"]


def test_a_memory_that_gives_no_pair_says_why(run: Run, inside: Path) -> None:
    write("<tu><tuv xml:lang='en'>Lamp</tuv><tuv xml:lang='ca'>Llum</tuv></tu>")
    err = run(*CONVERT).err
    assert "no pair in 1 unit (no seg in the variant)" in err
    assert "--source-lang" not in err
    write(unit(("en", "Lamp"), ("es", "Luz")), srclang="de-DE")
    err = run(*CONVERT).err
    assert "no variant in de-DE, the srclang of the header" in err
    assert "--source-lang says which language to take" in err
    ran = run(*CONVERT, "--source-lang", "es")
    assert rows(ran.out) == ["Luz\tLamp\tspa\teng"]


def test_a_file_named_after_a_language_holds_this_language_alone(run: Run, inside: Path) -> None:
    write(
        unit(("en", "Wash."), ("de", "Waschen."), ("fr", "Lavez.")),
        unit(("en", "Close."), ("fr", "Fermez.")),
    )
    assert run("corpus", "convert", "m.tmx", "--out", "o.en", "--out", "o.fr").code == 0
    assert Path("o.fr").read_text() == "Lavez.\nFermez.\n"
    assert run("corpus", "convert", "m.tmx", "--out", "r.fr", "--out", "r.en").code == 0
    assert Path("r.fr").read_text() == "Lavez.\nFermez.\n"
    assert Path("r.en").read_text() == "Wash.\nClose.\n"
    ran = run("corpus", "convert", "m.tmx", "--out", "a.txt", "--out", "b.txt")
    assert ran.code == 2
    assert "found deu and fra" in ran.err
    assert "--target-lang" in ran.err
    assert not Path("b.txt").exists()


def test_a_table_of_several_languages_is_parted_by_the_names_of_files(
    run: Run, inside: Path
) -> None:
    Path("p.tsv").write_text(
        "source\ttarget\tsource_lang\ttarget_lang\na\tb\ten\tfr\nc\td\tfr\ten\ne\tf\ten\tde\n"
    )
    ran = run("corpus", "convert", "p.tsv", "--out", "o.en", "--out", "o.fr")
    assert Path("o.en").read_text() == "a\nd\n"
    assert Path("o.fr").read_text() == "b\nc\n"
    assert "left out: 1 (eng-deu, of which no file is)" in ran.err


def test_a_row_of_an_unknown_language_is_skipped_on_demand(run: Run, inside: Path) -> None:
    Path("p.tsv").write_text(
        "source\ttarget\tsource_lang\ttarget_lang\na\tb\ten\tapd\nc\td\ten\tzap\ne\tf\ten\tx-no\n"
    )
    command = ("corpus", "convert", "p.tsv", "--out", "-", "--format", "tsv")
    assert run(*command).code == 3
    ran = run(*command, "--skip-unknown")
    assert rows(ran.out) == ["a\tb\teng\tapd", "c\td\teng\tzap"]
    assert "left out: 1 (language not known: x-no)" in ran.err
