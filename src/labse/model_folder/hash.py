"""The identity of a model: one hash of all that its vectors depend on.

Takes: a model folder. Gives: a SHA-256, the same wherever the folder lies. Vectors of two models
must never meet, and this is how embeddings remember theirs.
"""

import hashlib
import re
from pathlib import Path

from labse.errors import LabseError
from labse.files.atomic import MANIFEST_NAME, read_json, sha256_file

__all__ = ["hash_model_folder"]

# Configuration, tokenizer and weights; the last two are those of a TensorFlow checkpoint.
_IS_PART = re.compile(r"\.(json|safetensors|bin|txt|index|data-\d+-of-\d+)$")


def hash_model_folder(path: str | Path) -> str:
    """Returns the SHA-256 over the names and hashes of a model's files.

    A folder of ours lists the hashes in its manifest, where loading has checked them; of another
    one, configuration, tokenizer and weights are read.

    Raises:
        LabseError: there is no such folder, or it cannot be read.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise LabseError(f"{folder}: no such model folder")
    listed = None
    if (folder / MANIFEST_NAME).is_file():
        listed = read_json(folder / MANIFEST_NAME).get("files")
    if isinstance(listed, dict):
        hashes = {str(name): str(digest) for name, digest in listed.items()}
    else:
        files = [
            file for file in folder.rglob("*") if _IS_PART.search(file.name) and file.is_file()
        ]
        hashes = {str(file.relative_to(folder)): sha256_file(file) for file in files}
    lines = "".join(f"{digest} {name}\n" for name, digest in sorted(hashes.items()))
    return hashlib.sha256(lines.encode(errors="backslashreplace")).hexdigest()
