"""A shipped model on the word rows of another one: kept without them, made whole where it is asked.

Takes: two folders of ours with the same word rows, and files such as the tokenizer in common.
Gives: a folder of what the second has of its own, and the whole folder again, byte for byte.
Source: https://github.com/huggingface/safetensors, format.
"""

import json
import shutil
from operator import itemgetter
from pathlib import Path

from labse.errors import LabseError, ResourceError
from labse.files.atomic import MANIFEST_NAME, replace_folder, sha256_file
from labse.files.system import cache_folder
from labse.model_folder.integrity import check_hashes, listed_hashes

__all__ = ["leave_out_shared", "locate_whole", "write_whole"]

_WEIGHTS_NAME = "model.int4.safetensors"
_OWN_NAME = "own_weights.bin"  # The file of weights, its header too, without word rows.
_WORD_ROWS = "embeddings.word_embeddings.weight"


def leave_out_shared(whole: Path, base: Path, out: Path) -> None:
    """Writes a folder of what a model has beside the word rows and the files of `base`.

    Args:
        whole: a folder of ours with word rows of 4 bits.
        base: another one with the same rows.
        out: the folder to make.

    Raises:
        LabseError: the rows differ, or a folder holds no such model.
        ResourceError: `out` cannot be written.
    """
    listed, shared = _list_files(whole), _list_files(base)
    header, tensors = _read_weights(whole)
    rows = _read_weights(base)[1]
    if any(data != rows.get(name) for name, data in tensors.items() if _is_shared(name)):
        raise LabseError(f"{whole}: its word rows are not those of {base}")

    with replace_folder(out) as folder:
        (folder / _OWN_NAME).write_bytes(
            header + b"".join(data for name, data in tensors.items() if not _is_shared(name))
        )
        for name in (MANIFEST_NAME, *listed):
            if name != _WEIGHTS_NAME and shared.get(name) != listed.get(name, ""):
                _copy(whole / name, folder / name)


def write_whole(part: Path, base: Path, out: Path) -> None:
    """Writes the folder that `leave_out_shared` was given, byte for byte.

    Raises:
        LabseError: `base` is another than it was then, or a file is damaged.
        ResourceError: `out` cannot be written.
    """
    listed = _list_files(part)
    own = (part / _OWN_NAME).read_bytes()
    rows = _read_weights(base)[1]
    place = _header_end(own)
    with replace_folder(out) as folder:
        with (folder / _WEIGHTS_NAME).open("wb") as stream:
            stream.write(own[:place])
            for name, size in _tensor_sizes(own):
                if _is_shared(name):
                    stream.write(rows[name])
                else:
                    stream.write(own[place : place + size])
                    place += size
        for name in (MANIFEST_NAME, *listed):
            if name != _WEIGHTS_NAME:
                _copy((part if (part / name).is_file() else base) / name, folder / name)
        try:
            check_hashes(folder, listed)
        except LabseError as error:
            raise LabseError(
                f"{part}: not made on {base} as it is now, or damaged; install labse again "
                f"({Path(str(error).partition(':')[0]).name} differs)"
            ) from None


def locate_whole(part: Path, base: Path) -> Path:
    """Returns the whole folder in the cache, where the first call writes it.

    Raises:
        LabseError, ResourceError: see `write_whole`.
    """
    # The name follows from the hashes of all files, which loading checks as those of any folder.
    whole = cache_folder("models") / f"{part.name}-{sha256_file(part / MANIFEST_NAME)[:16]}"
    if not whole.is_dir():
        try:
            whole.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResourceError(
                f"{whole.parent}: cannot be made ({error.strerror or error}); set LABSE_CACHE to a "
                "folder that can be written"
            ) from None
        write_whole(part, base, whole)
    return whole


def _is_shared(name: str) -> bool:
    return name.startswith(_WORD_ROWS)  # Scales and levels too.


def _list_files(folder: Path) -> dict[str, str]:
    listed = listed_hashes(folder)
    if not listed or _WEIGHTS_NAME not in listed:
        raise LabseError(f"{folder}: not a model of labse with word rows of 4 bits")
    return listed


def _read_weights(folder: Path) -> tuple[bytes, dict[str, bytes]]:
    """Returns the header of the file and the bytes of each tensor, in their order."""
    content = (folder / _WEIGHTS_NAME).read_bytes()
    place = end = _header_end(content)
    tensors: dict[str, bytes] = {}
    for name, size in _tensor_sizes(content):
        tensors[name] = content[place : place + size]
        place += size
    return content[:end], tensors


def _header_end(content: bytes) -> int:
    return 8 + int.from_bytes(content[:8], "little")


def _tensor_sizes(content: bytes) -> list[tuple[str, int]]:
    """Returns the name and the bytes of each tensor, in the order of the file."""
    header = json.loads(content[8 : _header_end(content)])
    ranges = [(name, *header[name]["data_offsets"]) for name in header if name != "__metadata__"]
    return [(name, end - first) for name, first, end in sorted(ranges, key=itemgetter(1, 2))]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
