"""A model by its name: the one that comes with labse, or one of the Hugging Face hub.

Takes: a path, `default`, `LaBSE`, or `owner/name` with or without `hub:` in front.
Gives: a folder on this machine.
Source: huggingface_hub, `snapshot_download`, an optional package, and the layout of its cache.
"""

import os
import re
from pathlib import Path

from labse.errors import LabseError, ResourceError
from labse.model_folder.shared_table import locate_whole
from labse.runtime import require

__all__ = ["DEFAULT_NAME", "locate_model"]

DEFAULT_NAME = "default"
CONTEXT_NAME = "default-context"  # Layers on the word rows of the default model.
DEFAULT_FOLDER = Path(__file__).parents[1] / "models" / "default"
_PREFIX = "hub:"
_ALIASES = {"labse": "sentence-transformers/LaBSE"}
_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_TIMEOUT_SECONDS = 10
_PATTERNS = ["*.json", "*.safetensors", "vocab.txt", "pytorch_model.bin", "*/pytorch_model.bin"]


def locate_model(path: str | Path | None) -> Path:
    """Returns the folder of a model; a name of the hub is fetched if no cache here has it.

    None is the model that comes with labse. So is `default`; `default-context` is the one with
    layers on its word rows, if it has come too, and `LaBSE` is `sentence-transformers/LaBSE`,
    unless a folder of that name is there. `runs/model` is a path where there is a folder `runs`.

    Raises:
        LabseError: this build of labse has no model, or the name is none of the hub.
        ResourceError: the model must be fetched, and huggingface_hub or the network is missing.
    """
    if path is None or (str(path) == DEFAULT_NAME and not Path(path).exists()):
        return _locate_default()
    if str(path) == CONTEXT_NAME and not Path(path).exists():
        return _locate_context()
    text = str(path)
    name = _ALIASES.get(text.removeprefix(_PREFIX).lower(), text.removeprefix(_PREFIX))
    is_asked = text.startswith(_PREFIX)
    is_path = Path(path).exists() or not _NAME.fullmatch(name) or Path(name).parent.is_dir()
    if is_path and not is_asked:
        return Path(path)
    if not _NAME.fullmatch(name):
        raise LabseError(f"{text}: not a name of the hub; write hub:owner/name")
    return _find_cached(name) or _fetch(name)


def _find_cached(name: str) -> Path | None:
    """Returns the newest whole snapshot in the usual cache, which huggingface_hub need not read."""
    home = os.environ.get("HF_HOME") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(), "huggingface"
    )
    caches = (os.environ.get("HF_HUB_CACHE"), os.environ.get("HUGGINGFACE_HUB_CACHE"))
    cache = Path(next((folder for folder in caches if folder), None) or Path(home, "hub"))
    folder = cache.expanduser() / f"models--{name.replace('/', '--')}"
    main = folder / "refs" / "main"
    revision = main.read_text("utf-8").strip() if main.is_file() else ""
    snapshots = sorted((folder / "snapshots").glob("*"), key=lambda found: found.name != revision)
    return next(filter(_is_whole, snapshots), None)


def _is_whole(folder: Path) -> bool:
    """Says whether a fetch has brought sizes, vocabulary and weights; another may have stopped."""
    weights = ("model.safetensors", "pytorch_model.bin")
    vocabularies = ("tokenizer.json", "vocab.txt")
    return (folder / "config.json").is_file() and all(
        any((folder / name).is_file() for name in names) for names in (weights, vocabularies)
    )


def _locate_default() -> Path:
    if not DEFAULT_FOLDER.is_dir():
        raise LabseError(
            "no default model is packaged in this version of labse; give the path of a model folder"
        )
    return DEFAULT_FOLDER


def _locate_context() -> Path:
    part = DEFAULT_FOLDER.with_name(CONTEXT_NAME)
    if not part.is_dir():
        raise LabseError(
            f"no model {CONTEXT_NAME} is packaged in this version of labse; `default` is, or give "
            "the path of a model folder"
        )
    return locate_whole(part, DEFAULT_FOLDER)


def _fetch(name: str) -> Path:
    how = (
        f"where there is a network, `hf download {name} --local-dir MODEL` brings it; "
        "copy that folder and give its path"
    )
    try:
        hub = require("huggingface_hub", "hub")
    except ResourceError as error:
        raise ResourceError(f"{name}: no such folder here, and {error}; or: {how}") from None
    try:
        # Asked once: other calls of the package try a server that is not there for half a minute.
        told = hub.HfApi().model_info(name, timeout=_TIMEOUT_SECONDS)
        files = [file.rfilename for file in told.siblings or ()]
        # Of many LaBSEs the .bin is a second copy of the weights; it is fetched where it is alone.
        ignored = ["*.bin"] if "model.safetensors" in files else None
        found = hub.snapshot_download(name, allow_patterns=_PATTERNS, ignore_patterns=ignored)
    except Exception as error:  # Its own, those of its client for HTTP, and OSError.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:100]
        raise ResourceError(
            f"{name}: no such folder here, and it cannot be fetched ({reason}); {how}"
        ) from None
    return Path(found)
