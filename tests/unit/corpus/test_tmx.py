from collections import Counter
from pathlib import Path

import pytest

from labse.corpus.records import SentencePair
from labse.corpus.tmx import read_tmx
from labse.errors import LabseError, UsageError


def write(tmp_path: Path, body: str, srclang: str = "en", root: str = "tmx") -> Path:
    path = tmp_path / "memory.tmx"
    path.write_text(
        f'<{root} version="1.4"><header srclang="{srclang}"/><body>{body}</body></{root}>', "utf-8"
    )
    return path


def unit(*variants: tuple[str, str], attributes: str = "") -> str:
    parts = (f'<tuv xml:lang="{lang}"><seg>{text}</seg></tuv>' for lang, text in variants)
    return f"<tu {attributes}>{''.join(parts)}</tu>"


def read(path: Path, **langs: str) -> tuple[list[SentencePair], Counter[str]]:
    drops: Counter[str] = Counter()
    return list(read_tmx(path, drops=drops, **langs)), drops


def test_the_source_of_the_header_goes_with_each_other_variant(tmp_path: Path) -> None:
    body = unit(("de-AT", "Haus"), ("EN-us", "house"), ("ru", "дом"))
    pairs, drops = read(write(tmp_path, body))
    assert pairs == [
        SentencePair("house", "Haus", "eng", "deu"),
        SentencePair("house", "дом", "eng", "rus"),
    ]
    assert not drops


def test_the_unit_says_its_source_and_any_means_the_first(tmp_path: Path) -> None:
    variants = (("de", "Haus"), ("en", "house"))
    body = unit(*variants, attributes='srclang="de"') + unit(*variants)
    pairs, _ = read(write(tmp_path, body))
    assert [pair.source for pair in pairs] == ["Haus", "house"]
    pairs, _ = read(write(tmp_path, unit(*variants), srclang="*all*"))
    assert [pair.source for pair in pairs] == ["Haus"]


def test_languages_that_are_asked_for_choose_the_variants(tmp_path: Path) -> None:
    body = unit(("en", "house"), ("de", "Haus"), ("ru", "дом")) + unit(("en", "a"), ("de", "b"))
    pairs, drops = read(write(tmp_path, body), source_lang="de", target_lang="Russian")
    assert pairs == [SentencePair("Haus", "дом", "deu", "rus")]
    assert drops == {"no target": 1, "another target than rus": 2}
    with pytest.raises(UsageError, match="unknown language"):
        read(write(tmp_path, body), source_lang="klingonish")


def test_codes_of_markup_go_and_highlighted_text_stays(tmp_path: Path) -> None:
    body = unit(
        ("en", 'Press <bpt i="1">&lt;b&gt;</bpt><hi>OK</hi><ept i="1">x<sub>y</sub></ept> now'),
        ("de", "Jetzt\n\t <ph x='1'>[img]</ph>OK\u00a0 drücken "),
    )
    pairs, _ = read(write(tmp_path, body))
    assert pairs == [SentencePair("Press OK now", "Jetzt OK\u00a0 drücken", "eng", "deu")]


def test_units_without_a_pair_are_counted_by_reason(tmp_path: Path) -> None:
    body = (
        unit(("en", "alone"))
        + unit(("de", "a"), ("ru", "b"))
        + unit(("en", "a"), ("xx-nonsense", "b"))
        + "<tu></tu>"
        + unit(("en", "a"), ("en-GB", "b"))
    )
    pairs, drops = read(write(tmp_path, body))
    assert pairs == []
    assert drops == {
        "no target": 3,
        "no variant in en, the srclang of the header": 1,
        "no variant in the unit": 1,
        "language not known: xx-nonsense": 1,
        "another variant in the source's language": 1,
    }


def test_an_old_file_writes_lang_without_a_namespace(tmp_path: Path) -> None:
    body = '<tu><tuv lang="EN"><seg>a</seg></tuv><tuv lang="DE"><seg>b</seg></tuv></tu>'
    assert read(write(tmp_path, body))[0] == [SentencePair("a", "b", "eng", "deu")]


def test_a_segment_of_a_million_characters_is_one_pair(tmp_path: Path) -> None:
    long = "x" * 1_000_000
    (pair,), _ = read(write(tmp_path, unit(("en", long), ("de", "b"))))
    assert pair.source == long


def test_what_is_not_tmx_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="not TMX: its outermost element is 'html'"):
        read(write(tmp_path, "", root="html"))
    path = write(tmp_path, unit(("en", "a"), ("de", "b")))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(LabseError, match=r"memory\.tmx, line 1: not well-formed"):
        read(path)
    with pytest.raises(LabseError, match="no such file"):
        read(tmp_path / "nothing.tmx")


def test_entities_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tmx"
    path.write_text('<!DOCTYPE tmx [<!ENTITY a "aaaa">]><tmx><body>&a;</body></tmx>')
    with pytest.raises(LabseError, match="declares the entity 'a'"):
        read(path)
