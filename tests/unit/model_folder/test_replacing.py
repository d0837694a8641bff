"""What takes whose place is tested through write_model_folder, in test_folder.py."""

from pathlib import Path

import pytest

from labse.errors import LabseError
from labse.model_folder.replacing import check_replaceable


def test_only_a_model_folder_or_nothing_may_be_replaced(tmp_path: Path) -> None:
    check_replaceable(tmp_path / "absent")
    (tmp_path / "file").write_text("x")
    with pytest.raises(LabseError, match="not empty and not a model folder"):
        check_replaceable(tmp_path)
