"""An index copied from engine to engine."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.index.conftest import HEADER
from tests.unit.index.test_stores import some_rows, unit_rows

from labse.cli import main
from labse.errors import InterruptedRunError, LabseError, UsageError
from labse.index.addresses import create_store, open_store
from labse.index.copy_index import copy_index
from labse.index.rows import IndexRow
from labse.index.store import StoreHeader

pytest.importorskip("qdrant_edge")


def fill(address: str | Path, num_rows: int, header: StoreHeader = HEADER) -> None:
    store = create_store(address, header)
    store.add(some_rows(num_rows), unit_rows(num_rows))
    store.close()


def content(address: str | Path) -> dict[str, tuple[IndexRow, NDArray[np.float32]]]:
    store = open_store(address)
    found = [pair for part in store.scan(500) for pair in zip(*part, strict=True)]
    store.close()
    return {row.id: (row, vector) for row, vector in found}


def test_a_copy_on_a_server_and_back_has_equal_rows(tmp_path: Path, postgres_address: str) -> None:
    there, back = f"{postgres_address}&table=copied", tmp_path / "back"
    fill(tmp_path / "first", 1500)
    done = copy_index(tmp_path / "first", there)
    assert (done.num_source, done.num_copied, done.num_there, done.num_rows) == (
        1500,
        1500,
        0,
        1500,
    )
    copy_index(there, back)
    first, last = content(tmp_path / "first"), content(back)
    assert first.keys() == last.keys()
    for row_id, (row, vector) in first.items():
        assert last[row_id][0] == row
        np.testing.assert_allclose(last[row_id][1], vector, atol=1e-6)


def test_a_stopped_copy_goes_on_with_the_rows_that_are_missing(tmp_path: Path) -> None:
    fill(tmp_path / "first", 2500)

    def stop(_: int, __: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match="goes on"):
        copy_index(tmp_path / "first", tmp_path / "other", on_progress=stop)
    told: list[tuple[int, int | None]] = []
    done = copy_index(
        tmp_path / "first", tmp_path / "other", on_progress=lambda *now: told.append(now)
    )
    assert (done.num_copied, done.num_there, done.num_rows) == (1500, 1000, 2500)
    assert told == [(1000, 2500), (2000, 2500), (2500, 2500)]


def test_what_cannot_be_copied_is_told(tmp_path: Path) -> None:
    fill(tmp_path / "first", 3)
    fill(tmp_path / "other", 3, StoreHeader("b" * 64, 8))
    (tmp_path / "else").mkdir()
    (tmp_path / "else/notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is the index itself"):
        copy_index(tmp_path / "first", tmp_path / "x" / ".." / "first")
    with pytest.raises(UsageError, match="vectors of another model"):
        copy_index(tmp_path / "first", tmp_path / "other")
    with pytest.raises(LabseError, match="is not an index"):
        copy_index(tmp_path / "first", tmp_path / "else")
    with pytest.raises(LabseError, match="no such index"):
        copy_index(tmp_path / "nothing", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    held = open_store(tmp_path / "first")
    assert main(["index", "copy", str(tmp_path / "first"), str(tmp_path / "new")]) == 2
    held.close()
    assert main(["index", "copy", str(tmp_path / "first"), str(tmp_path / "new")]) == 0
    assert content(tmp_path / "new").keys() == content(tmp_path / "first").keys()
