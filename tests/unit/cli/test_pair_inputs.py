from pathlib import Path

import numpy as np
import pytest

from labse.cli.pair_inputs import ModelChoice, load_needed_encoder, open_side, parse_bytes
from labse.errors import LabseError, UsageError


@pytest.mark.parametrize(
    ("size", "num_bytes"),
    [
        ("2GB", 2 << 30),
        ("800M", 800 << 20),
        ("1.5 gib", 3 << 29),
        ("16777216", 16 << 20),
        ("1T", 1 << 40),
    ],
)
def test_sizes_are_read_as_people_write_them(size: str, num_bytes: int) -> None:
    assert parse_bytes(size) == num_bytes


@pytest.mark.parametrize("size", ["", "much", "-1G", "1X"])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(UsageError, match="give a size such as 800M"):
        parse_bytes(size)


@pytest.mark.parametrize("size", ["1", "0.0001G", "15M"])
def test_memory_too_little_to_search_with_is_refused(size: str) -> None:
    with pytest.raises(UsageError, match="give at least 16M"):
        parse_bytes(size)


def test_vectors_alone_stand_for_numbered_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.ones((3, 2), np.float32))
    side = open_side("source", str(tmp_path / "v.npy"), None, None)
    assert list(side.texts) == ["0", "1", "2"]
    assert not side.has_text
    with pytest.raises(UsageError, match="leave out --source-vectors"):
        open_side("source", str(tmp_path / "v.npy"), tmp_path / "v.npy", None)


def test_tables_give_a_column(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("source\ttarget\na\tb\n")
    side = open_side("target", str(tmp_path / "t.tsv"), None, "target")
    assert list(side.texts) == list(side.texts) == ["b"]


def test_a_side_changes_its_identity_with_its_content(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a\n")
    before = open_side("source", str(tmp_path / "t.txt"), None, None).identify()
    (tmp_path / "t.txt").write_text("b\n")
    assert open_side("source", str(tmp_path / "t.txt"), None, None).identify() != before


def test_vectors_of_different_widths_never_meet(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 2), np.float32))
    np.save(tmp_path / "b.npy", np.ones((3, 4), np.float32))
    sides = tuple(open_side("x", str(tmp_path / f"{name}.npy"), None, None) for name in "ab")
    with pytest.raises(LabseError, match="2"):
        load_needed_encoder(sides, ModelChoice(None, "float32", "auto", None))  # type: ignore[arg-type]
