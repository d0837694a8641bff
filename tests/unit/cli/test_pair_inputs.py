from pathlib import Path

import numpy as np
import pytest

from labse.cli.pair_inputs import ModelChoice, load_needed_encoder, open_side
from labse.errors import LabseError, UsageError


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
