"""A model by its name: the one that comes with labse, or one of the Hugging Face hub.

Takes: a path, `default`, `owner/name` (looked up in the local cache) or `hub:owner/name`
(downloaded).
Gives: a folder on this machine.
Source: huggingface_hub, `snapshot_download`; an optional package.
"""

import re
from pathlib import Path

from labse.errors import LabseError, ResourceError
from labse.runtime import require

__all__ = ["DEFAULT_NAME", "locate_model"]

DEFAULT_NAME = "default"
DEFAULT_FOLDER = Path(__file__).parents[1] / "models" / "default"
_PREFIX = "hub:"
_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_PATTERNS = ["*.json", "*.safetensors", "vocab.txt", "pytorch_model.bin", "*/pytorch_model.bin"]


def locate_model(path: str | Path) -> Path:
    """Returns the folder of a model; only `hub:owner/name` goes to the network.

    `default` is the model that comes with labse, unless a folder of that name is there.

    Raises:
        LabseError: this build of labse has no model, the name is none of the hub, or the hub does
            not have it.
        ResourceError: the name needs huggingface_hub, which is not installed, or the network.
    """
    text = str(path)
    name = text.removeprefix(_PREFIX)
    is_asked = text.startswith(_PREFIX)
    if text == DEFAULT_NAME and not Path(path).exists():
        return _locate_default()
    if Path(path).exists() or not (is_asked or _NAME.fullmatch(text)):
        return Path(path)
    if not _NAME.fullmatch(name):
        raise LabseError(f"{text}: not a name of the hub; write hub:owner/name")
    if is_asked:
        return _fetch(name, is_local=False)
    try:
        return _fetch(name, is_local=True)
    except (LabseError, ResourceError):
        return Path(path)  # Whose reader says that there is no such folder.


def _locate_default() -> Path:
    if not DEFAULT_FOLDER.is_dir():
        raise LabseError(
            "no default model is packaged in this version of labse; give the path of a model folder"
        )
    return DEFAULT_FOLDER


def _fetch(name: str, *, is_local: bool) -> Path:
    hub = require("huggingface_hub", "hub")
    # Of many LaBSEs the .bin is a second copy of the weights; it is fetched where it is the only.
    ignored = ["*.bin"] if is_local or _has_safetensors(hub, name) else None
    try:
        found = hub.snapshot_download(
            name,
            local_files_only=is_local,
            allow_patterns=_PATTERNS,
            ignore_patterns=ignored,
        )
    except (OSError, ValueError) as error:  # Its own errors are among these.
        reason = " ".join(str(error).split())[:160]
        raise ResourceError(f"hub:{name}: cannot be fetched ({reason})") from None
    return Path(found)


def _has_safetensors(hub: object, name: str) -> bool:
    try:
        files = hub.list_repo_files(name)  # type: ignore[attr-defined]
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ResourceError(f"hub:{name}: cannot be reached ({reason})") from None
    return "model.safetensors" in files
