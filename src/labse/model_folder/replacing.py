"""What a model folder may take the place of.

Takes: the folder to make. Gives: an error if something else stands there.
Source: docs/design.md, promises.
"""

from pathlib import Path

from labse.errors import LabseError
from labse.files.atomic import MANIFEST_NAME, read_json
from labse.files.replacing import files_in
from labse.model_folder.layout import MODULES_NAME

__all__ = ["check_replaceable"]


def check_replaceable(target: Path) -> None:
    """Refuses to replace files that are not those of a model folder of labse.

    Raises:
        LabseError: `target` is a file, or holds something else or more.
    """
    if target.exists() and not target.is_dir():
        raise LabseError(f"{target}: is a file; give another folder")
    found = {str(file.relative_to(target)) for file in files_in(target)}
    if not found:
        return
    files = read_json(target / MANIFEST_NAME).get("files") if MANIFEST_NAME in found else None
    if not isinstance(files, dict) or MODULES_NAME not in files:
        raise LabseError(f"{target}: is not empty and not a model folder; give another folder")
    if others := sorted(found - {*files, MANIFEST_NAME}):
        raise LabseError(
            f"{target}: holds {others[0]!r} beside the model, which replacing it would delete; "
            "move it or give another folder"
        )
