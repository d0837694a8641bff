"""Folders of things that are made once: what tells whether one is still that of the same inputs.

Takes: a folder, the key of what it should be made of. Gives: its manifest, if that is its key.
Source: docs/design.md, promises.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from labse.errors import LabseError
from labse.files.atomic import MANIFEST_NAME, read_json

__all__ = ["cached_manifest", "check_may_make", "is_cache_of"]


def cached_manifest(cache: Path, key: Mapping[str, object]) -> dict[str, object] | None:
    """Returns the manifest of `cache`; None if there is none, or it is damaged or of another key.

    Who makes a cache writes its manifest last, with what it was made of as `key`.
    """
    try:
        manifest = read_json(cache / MANIFEST_NAME)
    except LabseError:
        return None
    return manifest if manifest.get("key") == key else None


def check_may_make(cache: Path, *, is_main: bool) -> None:
    """Lets the main one of several processes alone make a cache; the others find it made.

    Raises:
        LabseError: this is another process, which sees other files than the main one did.
    """
    if not is_main:
        raise LabseError(
            f"{cache} was made by the first process of other data or by another version of labse; "
            f"process {os.environ.get('RANK')} must see the same files"
        )


def is_cache_of(cache: Path, key: Mapping[str, object]) -> bool:
    """Says whether `cache` is made of `key`."""
    return cached_manifest(cache, key) is not None
