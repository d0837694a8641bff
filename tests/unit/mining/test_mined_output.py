import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from labse.corpus.pair_files import iter_pairs
from labse.errors import UsageError
from labse.files.stage import open_stage
from labse.mining.bitext import MinedIndices
from labse.mining.mined_output import MinedOutput, write_mined
from labse.mining.sides import EmbeddedSides, embed_side


@pytest.fixture
def sides() -> Iterator[EmbeddedSides]:
    rows = np.ones((3, 2), np.float32)
    with open_stage(None, {}) as stage:
        yield EmbeddedSides(
            embed_side("source", ["x\x0b 20", "a\tb\nc", "same text"], rows, stage),
            embed_side("target", ["y 30", "d", "same text"], rows, stage),
            stage,
        )


MINED = MinedIndices(
    np.array([0, 1, 2]), np.array([0, 1, 2]), np.array([1.5, 1.25, 1.0], np.float32)
)
LANGS = ("de", "en")


def write(sides: EmbeddedSides, out: Path, **options: object) -> Counter[str]:
    settings = {"langs": LANGS, "with_ids": True, "with_flags": True} | options
    return write_mined(MINED, sides, MinedOutput(out, **settings))  # type: ignore[arg-type]


def test_rows_have_score_texts_numbers_and_flags(sides: EmbeddedSides, tmp_path: Path) -> None:
    counts = write(sides, tmp_path / "o.tsv")
    rows = (tmp_path / "o.tsv").read_text().split("\n")
    names = "margin_score source target source_line target_line flags source_lang target_lang"
    assert rows[0].split("\t") == names.split()
    assert rows[2] == "1.2500\ta b c\td\t2\t2\t\tdeu\teng"
    assert rows[3] == "1.0000\tsame text\tsame text\t3\t3\tcopy\tdeu\teng"
    assert counts == {"written": 3, "altered": 1, "number": 1, "copy": 1}


def test_json_keeps_tabs_and_line_ends(sides: EmbeddedSides, tmp_path: Path) -> None:
    assert write(sides, tmp_path / "o.jsonl")["altered"] == 0
    row = json.loads((tmp_path / "o.jsonl").read_text().splitlines()[1])
    assert row == {
        "margin_score": 1.25,
        "source": "a\tb\nc",
        "target": "d",
        "source_line": 2,
        "target_line": 2,
        "flags": "",
        "source_lang": "deu",
        "target_lang": "eng",
    }


@pytest.mark.parametrize("name", ["o.tsv", "o.jsonl", "o.parquet", "o.tmx"])
def test_every_reader_of_pairs_takes_what_was_mined(
    sides: EmbeddedSides, tmp_path: Path, name: str
) -> None:
    one_line = MINED.take(np.array([0, 2]))
    write_mined(one_line, sides, MinedOutput(tmp_path / name, langs=LANGS, with_ids=True))
    options = {"source_lang": None, "target_lang": None, "drops": Counter[str](), "tell": print}
    pairs = list(iter_pairs([str(tmp_path / name)], **options))  # type: ignore[arg-type]
    assert [pair.target for pair in pairs] == ["y 30", "same text"]
    assert {(pair.source_lang, pair.target_lang) for pair in pairs} == {("deu", "eng")}


def test_tmx_has_the_score_as_a_property_and_no_forbidden_character(
    sides: EmbeddedSides, tmp_path: Path
) -> None:
    from xml.etree import ElementTree

    assert write(sides, tmp_path / "o.tmx")["altered"] == 1
    units = ElementTree.parse(tmp_path / "o.tmx").getroot().findall("body/tu")
    assert units[0].find("prop[@type='margin_score']").text == "1.5"  # type: ignore[union-attr]
    assert units[0].find("tuv/seg").text == "x\ufffd 20"  # type: ignore[union-attr]


def test_parquet_has_typed_columns(sides: EmbeddedSides, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write(sides, tmp_path / "o.parquet", with_flags=False)
    table = parquet.read_table(tmp_path / "o.parquet")
    assert table.column("margin_score").to_pylist() == [1.5, 1.25, 1.0]
    assert table.column("target_line").to_pylist() == [1, 2, 3]


def test_moses_is_two_files_named_by_language(sides: EmbeddedSides, tmp_path: Path) -> None:
    write(sides, tmp_path / "o", format="moses", with_ids=False, with_flags=False)
    assert (tmp_path / "o.de").read_text().split("\n")[1:] == ["a\tb c", "same text", ""]
    assert (tmp_path / "o.en").read_text().split("\n")[0] == "y 30"


def test_pairs_of_a_dropped_flag_are_left_out_and_counted(
    sides: EmbeddedSides, tmp_path: Path
) -> None:
    counts = write(sides, tmp_path / "o.tsv", drop=frozenset({"copy", "number"}))
    assert (counts["dropped"], counts["written"]) == (2, 1)
    assert len((tmp_path / "o.tsv").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("format", "out", "langs", "with_ids", "message"),
    [
        ("parquet", None, LANGS, False, "whose name ends in .parquet"),
        ("parquet", "o.tsv", LANGS, False, "whose name ends in .parquet"),
        ("tmx", None, (None, "en"), False, "needs --source-lang and --target-lang"),
        ("tsv", "o", ("de", None), False, "give both --source-lang and --target-lang"),
        ("moses", "o", LANGS, True, "holds the two texts only"),
        ("moses", "o", ("en", "eng"), False, "name two languages"),
    ],
)
def test_what_a_format_cannot_do_is_refused(
    format: str, out: str | None, langs: tuple, with_ids: bool, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        MinedOutput(out or "-", format, langs, with_ids)  # type: ignore[arg-type]


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(
        UsageError, match="--drop typo: the flags are copy, number, name, letterless"
    ):
        MinedOutput(drop=frozenset({"typo"}))
