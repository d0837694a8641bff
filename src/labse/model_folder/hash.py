"""The identity of a model: one hash of all that its vectors depend on.

Takes: a model folder. Gives: a SHA-256, the same wherever the folder lies. Vectors of two models
must never meet, and this is how embeddings remember theirs.
"""

import hashlib
import re
from pathlib import Path

from labse.errors import LabseError
from labse.files.atomic import MANIFEST_NAME, read_json, sha256_file
from labse.model_folder.layout import MODULES_NAME

__all__ = ["hash_model_folder"]

# Configuration, tokenizer and weights; the last two are those of a TensorFlow checkpoint.
_IS_PART = re.compile(r"\.(json|safetensors|bin|txt|index|data-\d+-of-\d+)$")
# The same without notes: whoever lays a text file beside a listed model has the same model.
_IS_READ = re.compile(r"(\.(json|safetensors|bin|index|data-\d+-of-\d+)|^.*vocab.*\.txt)$")


def hash_model_folder(path: str | Path) -> str:
    """Returns the SHA-256 over the names and hashes of a model's files.

    A folder of ours lists the hashes in its manifest, where loading has checked them; what it does
    not list of configuration, tokenizer and weights is read.

    Raises:
        LabseError: there is no such folder, or it cannot be read.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise LabseError(f"{folder}: no such model folder")
    listed = None
    # Loading checks the manifest of a folder of ours, which has modules.
    if (folder / MANIFEST_NAME).is_file() and (folder / MODULES_NAME).is_file():
        listed = read_json(folder / MANIFEST_NAME).get("files")
    hashes = {}
    if isinstance(listed, dict):
        hashes = {str(name): str(digest) for name, digest in listed.items()}
    # A list that leaves out what is read would give two models one name.
    is_part = _IS_PART if listed is None else _IS_READ
    for file in folder.rglob("*"):
        name = str(file.relative_to(folder))
        if name not in hashes and is_part.search(file.name) and file.is_file():
            hashes[name] = sha256_file(file)
    if listed is not None:
        hashes.pop(MANIFEST_NAME, None)
    lines = "".join(f"{digest} {name}\n" for name, digest in sorted(hashes.items()))
    return hashlib.sha256(lines.encode(errors="backslashreplace")).hexdigest()
