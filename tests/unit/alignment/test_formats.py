import json
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.alignment.align import Bead
from labse.alignment.formats import LinkedLines, format_beads, link_lines, read_links
from labse.errors import LabseError

SOURCE = ["Eins.", "Zwei\tund", "drei.", "", "Vier & <fünf>."]
TARGET = ["One.", "Two and three.", "Four & <five>\x0b.", "More."]
BEADS = [
    Bead(0, 1, 0, 1, 0.91234),
    Bead(1, 3, 1, 2, 0.5),
    Bead(3, 4, 2, 2, 0.0),
    Bead(4, 5, 2, 3, 0.75),
    Bead(5, 5, 3, 4, 0.0),
]


def test_a_ladder_has_a_rung_for_the_start_of_each_bead_and_the_end() -> None:
    payload = format_beads(BEADS, SOURCE, TARGET, "ladder").payload
    assert payload.decode().splitlines() == [
        "0\t0\t0.9123",
        "1\t1\t0.5000",
        "3\t2\t0.0000",
        "4\t2\t0.7500",
        "5\t3\t0.0000",
        "5\t4\t0.0000",
    ]


def test_tsv_joins_lines_and_counts_what_it_changed() -> None:
    formatted = format_beads(BEADS, SOURCE, TARGET, "tsv", ids=True)
    rows = [line.split("\t") for line in formatted.payload.decode().split("\n")[:-1]]
    assert rows[0] == ["score", "source", "target", "source_lines", "target_lines"]
    assert rows[2] == ["0.5000", "Zwei und drei.", "Two and three.", "2,3", "2"]
    assert rows[3] == ["0.0000", "", "", "4", ""]
    assert rows[5] == ["0.0000", "", "More.", "", "4"]
    assert formatted.num_changed == 1
    named = format_beads(BEADS, SOURCE, TARGET, "tsv", langs=("deu", "eng")).payload.decode()
    assert {line.split("\t", 3)[3] for line in named.split("\n")[1:-1]} == {"deu\teng"}
    plain = format_beads(BEADS, SOURCE, TARGET, "tsv").payload.decode()
    assert all(line.count("\t") == 2 for line in plain.split("\n")[:-1])


def test_jsonl_keeps_the_text_and_names_lines_from_1() -> None:
    rows = list(map(json.loads, format_beads(BEADS, SOURCE, TARGET, "jsonl").payload.splitlines()))
    assert rows[1] == {
        "score": 0.5,
        "source": "Zwei\tund drei.",
        "target": "Two and three.",
        "source_lines": [2, 3],
        "target_lines": [2],
    }
    assert rows[4]["source_lines"] == []


def test_tmx_has_a_unit_for_each_bead_with_both_sides_and_is_xml() -> None:
    formatted = format_beads(BEADS, SOURCE, TARGET, "tmx", langs=("deu", "eng"))
    units = ElementTree.fromstring(formatted.payload.decode().partition("?>")[2]).iter("tu")
    texts = [[segment.text for segment in unit.iter("seg")] for unit in units]
    assert texts[1] == ["Zwei\tund drei.", "Two and three."]
    assert texts[2] == ["Vier & <fünf>.", "Four & <five>\ufffd."]
    assert (formatted.num_left_out, formatted.num_changed) == (2, 1)


def test_an_unknown_format_is_a_wrong_call() -> None:
    with pytest.raises(ValueError, match="bead_format"):
        format_beads(BEADS, SOURCE, TARGET, "xml")  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)).filter(any), max_size=20))
def test_a_ladder_reads_back_as_its_beads(sizes: list[tuple[int, int]]) -> None:
    beads, i, j = [], 0, 0
    for m, n in sizes:
        beads.append(Bead(i, i + m, j, j + n, 0.5))
        i, j = i + m, j + n
    payload = format_beads(beads, ["x"] * i, ["y"] * j, "ladder").payload
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ladder"
        path.write_bytes(payload)
        assert read_links(path, num_source=i, num_target=j) == list(map(link_lines, beads))


def test_lists_of_lines_are_read_like_a_ladder(tmp_path: Path) -> None:
    path = tmp_path / "gold"
    path.write_text("[0]:[0, 1]:0.25\n[1,2]:[]\n\n []:[2]\n[]:[]\n")
    assert read_links(path) == [
        LinkedLines((0,), (0, 1)),
        LinkedLines((1, 2), ()),
        LinkedLines((), (2,)),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("0 0\nx 1\n", "line 2: expected a rung"),
        ("0\t0\n3\t1\n2\t2\n", "line 3: the ladder goes back"),
        ("[0]:[0]\n0\t1\n", "line 2: expected"),
        ("0 0\n9 1\n", "names source line 8 .* has 5 lines"),
        ("[0]:[4]\n", "names target line 4 .* has 4 lines"),
    ],
)
def test_a_wrong_gold_file_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "gold"
    path.write_text(text)
    with pytest.raises(LabseError, match=message):
        read_links(path, num_source=5, num_target=4)
