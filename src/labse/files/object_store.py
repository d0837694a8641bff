"""Object stores, such as S3: their addresses, and what talks to them.

Takes: an address. Gives: what reads and writes there, what tells the content of an object, and one
line for each thing that can be wrong, whichever library says so.
Source: the documentation of fsspec, "Built-in implementations" and "API reference".
"""

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from labse.errors import LabseError, ResourceError, UsageError

__all__ = [
    "find_url",
    "list_identities",
    "look",
    "open_store",
    "refuse_unknown_url",
    "restore_urls",
    "tell_identity",
    "told",
    "upload",
]

# What else talks to a store: the package, by the name that an address begins with.
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "file": "", "memory": ""}
_SCHEMES = "|".join(_PACKAGES)
# A path has one slash where an address has two, and a folder in front if it was taken for relative:
# `Path("s3://b/k")` is `s3:/b/k`, and `Path("runs", "s3://b/k")` is `runs/s3:/b/k`.
_URL = re.compile(rf"(?:.*?/)??({_SCHEMES}):/+([^/].*)", re.DOTALL)
_NO_NAME = re.compile(rf"({_SCHEMES}):/*")
_FLAT = re.compile(rf"\b({_SCHEMES}):(?:/(?=[^/])|(?=: ))")
_LIKE_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
# What stores tell of the content; the time of writing is for those that tell nothing else.
_CONTENT = ("ETag", "etag", "md5Hash", "crc32c")
_TIMES = ("LastModified", "mtime", "created")


def find_url(path: str | Path) -> str | None:
    """Returns the address of an object, also of one that went through a `Path`; None of a file.

    Raises:
        UsageError: it names no bucket. In a `Path` that is `s3:`, which may be a file.
    """
    if nameless := _NO_NAME.fullmatch(str(path)):
        if str(path).endswith("/") or (isinstance(path, Path) and not path.exists()):
            example = "/PATH" if nameless[1] == "file" else "BUCKET/NAME"
            raise UsageError(
                f"{nameless[1]}://: names nothing in the store; give {nameless[1]}://{example}"
            )
        return None
    match = _URL.fullmatch(str(path))
    return match and f"{match[1]}://{'/' if match[1] == 'file' else ''}{match[2]}"


def refuse_unknown_url(folder: Path) -> None:
    """Refuses what would make a folder such as `S3:`, which was meant to be an address.

    Raises:
        UsageError: a folder of such a name is not there.
    """
    for place in (folder, *folder.parents):
        if _LIKE_SCHEME.fullmatch(place.name) and not place.exists():
            raise UsageError(
                f"{place.name}//: no address that labse knows; give s3://NAME, gs://NAME, "
                "file:///PATH or memory://NAME, in small letters, or a path"
            )


def restore_urls(message: str) -> str:
    """Returns a message in which addresses have the slash back that a `Path` takes from them."""
    return _FLAT.sub(r"\1://", message)


def open_store(url: str) -> tuple[Any, str]:
    """Returns what talks to the store, and the name of the object there.

    Raises:
        ResourceError: a package is missing.
    """
    scheme = url.partition("://")[0]
    package = _PACKAGES[scheme]
    try:
        fsspec = import_module("fsspec")
        # Listings that are kept would hide what has changed; a store has no folders to be made.
        options = {"auto_mkdir": True} if scheme == "file" else {}
        system, key = fsspec.url_to_fs(url, use_listings_cache=False, **options)
        return system, str(key)
    except ImportError:
        needed = f"fsspec {package}".strip()
        raise ResourceError(f"{url}: needs {needed}; run: pip install {needed}") from None


def look(url: str, system: Any, key: str) -> dict[str, Any]:  # noqa: ANN401 - without types
    """Returns what a store tells of an object.

    Raises:
        LabseError: the name is that of a folder.
    """
    info: dict[str, Any] = system.info(key)
    if info["type"] != "file":
        raise LabseError(f"{url}: is a folder of objects, not one; give the objects in it")
    return info


def tell_identity(info: Mapping[str, Any]) -> str:
    """Returns what names the content of an object of which the store tells so much."""
    value = next((info[name] for name in (*_CONTENT, *_TIMES) if info.get(name)), "")
    value = value.timestamp() if isinstance(value, datetime) else value
    return f"{info['size']} bytes, {str(value).strip(chr(34))}"


def list_identities(system: Any, folder: str) -> dict[str, str]:  # noqa: ANN401
    """Returns what names the content of each object in a folder, by its name."""
    try:
        rows = system.ls(folder, detail=True)
    except FileNotFoundError:
        return {}
    return {row["name"].lstrip("/"): tell_identity(row) for row in rows if row["type"] == "file"}


def upload(system: Any, file: Path, key: str) -> None:  # noqa: ANN401
    """Writes an object, which appears when it is whole; a disk needs a rename for that."""
    if "file" not in system.protocol:
        system.put_file(str(file), key)
        return
    aside = f"{key}.{secrets.token_hex(4)}.tmp"
    system.put_file(str(file), aside)
    os.replace(aside, key)


@contextlib.contextmanager
def told(url: str, *, writing: bool = False) -> Iterator[None]:
    """Raises errors of ours for those of a store, which are of many libraries.

    Raises:
        LabseError: there is no such object.
        ResourceError: the store does not answer or gives no access; or there is no such bucket.
    """
    try:
        yield
    except (LabseError, MemoryError):
        raise
    except FileNotFoundError:
        if writing:
            raise ResourceError(f"{url}: cannot be written: there is no such bucket") from None
        raise LabseError(f"{url}: no such object") from None
    except PermissionError as error:
        raise ResourceError(
            f"{url}: the store gives no access ({_one_line(error)}); check the credentials of "
            "this machine"
        ) from None
    except Exception as error:
        # Those of the libraries have no common type; an error of ours in the block is above.
        if type(error).__name__ == "NoCredentialsError":
            raise ResourceError(f"{url}: this machine has no credentials for the store") from None
        if isinstance(error, OSError) and error.filename:
            raise
        problem = f"{type(error).__name__}: {_one_line(error)}"
        raise ResourceError(f"{url}: the store does not answer as it should ({problem})") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
