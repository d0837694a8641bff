"""Columns of hard negatives: read once from files of pairs, refused where there are none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from labse.dual_encoder.data.negatives import negative_columns
from labse.errors import LabseError, UsageError

Write = Callable[..., Any]

ROWS = [
    "a b\tA B\teng\tdeu\tC D\tE F\tg h",
    "e f\tE F\teng\tdeu\t\t\t",
]


def test_the_columns_are_named_by_side_the_hardest_first() -> None:
    assert negative_columns("target", 2) == ("target_negative_1", "target_negative_2")


def test_they_are_read_once(write_negatives: Write) -> None:
    data = write_negatives(ROWS)
    before = data.prepare()
    data.file.unlink()
    assert data.prepare().negatives.tolist() == before.negatives.tolist()
    with pytest.raises(LabseError, match="no such file"):
        data.prepare(key="other bytes")


def test_a_damaged_file_on_disk_is_told(write_negatives: Write) -> None:
    data = write_negatives(ROWS)
    data.prepare()
    (data.cache / "known.npy").write_bytes(b"?")
    with pytest.raises(LabseError, match="damaged"):
        data.prepare()


def test_a_manifest_that_is_damaged_has_the_files_read_anew(write_negatives: Write) -> None:
    data = write_negatives(ROWS)
    before = data.prepare()
    (data.cache / "manifest.json").write_text("{}")
    assert data.prepare().negatives.tolist() == before.negatives.tolist()


def test_files_without_columns_are_refused_with_the_command_that_makes_them(
    write_negatives: Write,
) -> None:
    with pytest.raises(UsageError, match="labse hard-negatives"):
        write_negatives(["a\tA\teng\tdeu"], columns="").prepare()


def test_empty_columns_are_refused(write_negatives: Write) -> None:
    with pytest.raises(LabseError, match="are empty"):
        write_negatives(["a\tA\teng\tdeu\t\t \t"]).prepare()


def test_of_a_pair_that_stands_twice_the_first_row_counts(write_negatives: Write) -> None:
    data = write_negatives(["a\tA\teng\tdeu\tB\t\t", "a\tA\teng\tdeu\tC\tD\t", ROWS[0]])
    batch = data.batch(("a", "A"))
    drawn = data.prepare().draw(*batch, num_per_pair=9, generator=np.random.default_rng(0))
    assert data.texts(drawn) == ({"B"}, set())
