from pathlib import Path

import pytest

from labse.errors import ResourceError
from labse.files.replacing import files_in, replace_folder


def test_a_folder_appears_when_the_block_ends_well(tmp_path: Path) -> None:
    with replace_folder(tmp_path / "new") as folder:
        (folder / "inner").mkdir()
        (folder / "inner/file").write_text("x")
        assert not (tmp_path / "new").exists()
    assert [path.name for path in files_in(tmp_path / "new")] == ["file"]

    with pytest.raises(ValueError, match="stop"), replace_folder(tmp_path / "other") as folder:
        raise ValueError("stop")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(ResourceError, match=r"file/x: cannot be written: Not a directory$"),
        replace_folder(tmp_path / "file/x"),
    ):
        pass
