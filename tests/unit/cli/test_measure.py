import inspect
from pathlib import Path

import pytest

from labse.cli.measure import (
    Measuring,
    VisibleMeasurement,
    measure,
    measuring,
    split_langs,
    to_bytes,
)
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


def test_a_command_gets_the_shared_options_as_one_and_shows_them_as_its_own() -> None:
    calls = []

    @measuring
    def command(options: Measuring, folder: str, k: int = 4) -> None:
        """Says what it does."""
        calls.append((options, folder, k))

    command(folder="a", k=5, **dict.fromkeys(("model", "out", "json", "runtime", "threads")),
            precision="int8")  # fmt: skip
    ((options, folder, k),) = calls
    assert (options.precision, options.threads, folder, k) == ("int8", None, "a", 5)
    names = list(inspect.signature(command).parameters)
    assert names == [
        "folder", "k", "model", "out", "json", "precision", "runtime", "threads",
    ]  # fmt: skip
    assert command.__doc__ == "Says what it does."


def test_memory_is_given_in_gib() -> None:
    assert (to_bytes(None), to_bytes(0.5)) == (None, 2**29)
