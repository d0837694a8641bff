from pathlib import Path

import pytest

from labse.cli.measure import VisibleMeasurement, measure, split_langs
from labse.errors import ResourceError, UsageError


def test_codes_stand_between_commas() -> None:
    assert split_langs(None) is None
    assert split_langs("de, fr,") == ["de", "fr"]
    with pytest.raises(UsageError, match="names nothing"):
        split_langs(", ")


def test_a_model_folder_is_measured_with_its_length(model: Path) -> None:
    measured = measure(str(model), "float32", "auto", None, None)
    assert isinstance(measured, VisibleMeasurement)
    assert measured.encode(["free"]).shape == (1, 32)
    assert (measured.max_seq_length, measured.num_truncated) == (24, 0)


def test_a_report_that_cannot_be_written_is_told_before_the_model_is_read(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot be written"):
        measure("absent", "float32", "auto", None, tmp_path / "absent" / "report.json")
