"""The folder of a run: what it holds, and whether the same command goes on there.

Takes: a folder, the lineage of the run. Gives: its manifest, or an error that says what differs.
Source: docs/design.md, promises: the same command goes on where it was.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import labse
from labse.errors import ResourceError, UsageError
from labse.files.atomic import MANIFEST_NAME, claim_folder, read_json, write_json
from labse.files.stage import find_differences, without_remains

__all__ = [
    "RunStage",
    "check_run_folder",
    "claim_run",
    "hashes_of",
    "open_run",
    "refuse_changes",
]

RunStage = Literal["pretraining", "dual_encoder"]

_LOGGER = logging.getLogger(__name__)
_LINEAGE = {
    "inputs": "on other data",
    "vocabulary": "on another vocabulary",
    "start": "from another model",
    "teacher": "with another teacher",
}


def check_run_folder(out: Path, stage: RunStage) -> None:
    """Refuses a folder that holds something else, which would be overwritten.

    Raises:
        UsageError: a file, or a folder whose manifest is not that of a run of this stage.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; give a folder")
    if not (out / MANIFEST_NAME).is_file():
        return
    manifest = read_json(out / MANIFEST_NAME)
    kind = manifest.get("kind")
    if kind != "run":
        raise UsageError(f"{out} holds a {kind or 'folder of another kind'}; give another --out")
    # Runs of the dual encoder had no stage before 0.2.
    if (found := manifest.get("stage", "dual_encoder")) != stage:
        raise UsageError(f"{out} holds a run of another stage ({found}); give another --out")


@contextmanager
def claim_run(out: Path, stage: RunStage) -> Iterator[None]:
    """Holds the folder of a run for the block, before anything in it is read or written.

    A folder that is made here goes after an error if nothing was done in it.

    Raises:
        UsageError: see `check_run_folder`; or another process is at work there.
        ResourceError: it cannot be made.
    """
    check_run_folder(out, stage)
    is_new = not out.is_dir()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"{out}: cannot be made: {error.strerror}") from None
    with claim_folder(out), without_remains(out, is_new):
        yield


def open_run(out: Path, stage: RunStage, lineage: Mapping[str, object]) -> None:
    """Writes the manifest of the run; with checkpoints there, it must be that of the same data.

    Raises:
        UsageError: inputs, vocabulary, teacher or the model at the start have other bytes than
            in the manifest.
        ResourceError: it cannot be written.
    """
    path = out / MANIFEST_NAME
    checkpoints = sorted(file.parent for file in out.glob("checkpoints/*/state.json"))
    if checkpoints:
        _LOGGER.info("going on from %s", checkpoints[-1])
    if not (checkpoints and path.is_file()):
        manifest = {"kind": "run", "stage": stage, "labse_version": labse.__version__}
        write_json(path, manifest | dict(lineage))
        return
    before = read_json(path)
    for key, what in _LINEAGE.items():
        if hashes_of(before.get(key)) != hashes_of(lineage.get(key)):
            raise UsageError(
                f"{out} holds a run {what} (other bytes than when it began); "
                "restore it or give another --out"
            )


def refuse_changes(
    out: Path, before: object, now: object, *, may_change: Sequence[str] = ()
) -> None:
    """Compares the configuration of a checkpoint with that of the command.

    Raises:
        UsageError: a key that may not change has another value; the message lists them all.
    """
    changed = [
        f"{name}: {old} -> {new}"
        for name, old, new in find_differences(before, now)
        if name not in may_change
    ]
    if changed:
        raise UsageError(
            f"{out} holds a run of another configuration ({'; '.join(changed)}); "
            "use these values or another --out"
        )


def hashes_of(entries: object) -> list[object]:
    """Returns the hashes in a lineage: that of one entry, or those of a list of entries."""
    entries = entries if isinstance(entries, list) else [entries]
    return [entry.get("sha256") for entry in entries if isinstance(entry, dict)]
