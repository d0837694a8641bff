"""What the nodes of a cluster have for the work of labse, and what would stop it.

Takes: a cluster, a folder that its nodes share, a model. Gives: a finding for each node.
Source: docs/distributed.md, before the first run.
"""

import importlib.metadata
import platform
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from labse import __version__
from labse.cluster.on_ray import NodeAnswer, RayExecutor
from labse.errors import LabseError, ResourceError
from labse.files.system import find_seen
from labse.model_folder.hash import hash_model_folder
from labse.model_folder.hub import locate_model

__all__ = ["ClusterReport", "NodeFinding", "check_cluster", "probe_step"]

# Whose version the bytes of vectors, texts or tables may depend on.
_PACKAGES = ("numpy", "ctranslate2", "tokenizers", "pyarrow", "sentencex", "pycld2", "xxhash")
_MIN_FREE_BYTES = 1 << 30
_MAX_CLOCK_SECONDS = 60.0
_TIMEOUT_SECONDS = 120.0
_SEE_SECONDS = 10.0  # In which a file of another machine must be seen.


@dataclass(frozen=True, slots=True)
class NodeFinding:
    """A node, and what is wrong with it.

    Attributes:
        node: its host name and address.
        num_cpus: processors that it gives to tasks.
        num_gpus: GPUs likewise.
        memory_bytes: memory likewise.
        free_bytes: of the disk of its temporary files; None if it did not answer.
        clock_seconds: by how much its clock is ahead of this one's, as far as that is sure.
        problems: what keeps it from the work.
        notes: what may make its bytes differ.
    """

    node: str
    num_cpus: int
    num_gpus: int
    memory_bytes: int
    free_bytes: int | None
    clock_seconds: float | None
    problems: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """What was found.

    Attributes:
        labse_version: that of this machine, and of all nodes if nothing is wrong.
        shared: the folder that was looked for on each node.
        shared_free_bytes: of its disk.
        model_sha256: of the model here.
        nodes: in the order of their addresses.
    """

    labse_version: str
    shared: str
    shared_free_bytes: int
    model_sha256: str
    nodes: tuple[NodeFinding, ...]

    @property
    def is_well(self) -> bool:
        """Whether each node can do the work."""
        return bool(self.nodes) and not any(node.problems for node in self.nodes)


def check_cluster(
    executor: RayExecutor, shared: str | Path, *, model: str | Path | None = None
) -> ClusterReport:
    """Looks at each node: versions, the model, the shared folder, free disk, its clock.

    Args:
        executor: the cluster.
        shared: a folder in which inputs or outputs are to lie; files are written there and removed.
        model: a model folder or its name; None is the model that comes with labse.

    Raises:
        LabseError: the model is none.
        ResourceError: the folder cannot be written here.
    """
    folder = Path(shared).absolute()
    mark = f".labse-check-{secrets.token_hex(8)}"
    name = None if model is None else str(model)
    model_sha256 = _hash_model(name)
    arguments = {"shared": str(folder), "mark": mark, "model": name}
    try:
        (folder / mark).write_text(mark)
    except OSError as error:
        raise ResourceError(f"{folder}: cannot be written: {error.strerror}") from None
    try:
        begun = time.time()
        answers = executor.call_on_nodes(probe_step, arguments, timeout=_TIMEOUT_SECONDS)
        span = begun, time.time()
        here = {"model_sha256": model_sha256, **_find_versions()}
        findings = tuple(_judge(answer, here, folder, span) for answer in answers)
    finally:
        for path in folder.glob(f"{mark}*"):
            path.unlink(missing_ok=True)
    free = shutil.disk_usage(folder).free
    return ClusterReport(__version__, str(folder), free, model_sha256, findings)


def probe_step(shared: str, mark: str, model: str | None) -> dict[str, object]:
    """Tells, on a node, what it has and what it sees."""
    folder = Path(shared)
    own = f"{mark}-{secrets.token_hex(8)}"
    seen, written = "", ""
    with suppress(OSError):
        seen = (folder / mark).read_text()
    with suppress(OSError):
        (folder / own).write_text(own)
        written = own
    model_sha256, problem = "", ""
    try:
        model_sha256 = _hash_model(model)
    except LabseError as error:
        problem = str(error)
    return {
        "seconds": time.time(),
        "sees_mark": seen == mark,
        "written": written,
        "free_bytes": shutil.disk_usage(tempfile.gettempdir()).free,
        "model_sha256": model_sha256,
        "model_problem": problem,
        "versions": _find_versions(),
    }


def _judge(
    answer: NodeAnswer, here: Mapping[str, str], folder: Path, span: tuple[float, float]
) -> NodeFinding:
    """Says what is wrong with a node, from what it answered between two moments."""
    problems: list[str] = [answer.problem] if answer.problem else []
    notes: list[str] = []
    free = clock = None
    if answer.result is not None:
        told = cast("dict[str, object]", answer.result)
        if not told["sees_mark"]:
            problems.append(f"does not see {folder}: the folder is not shared with it")
        elif not told["written"]:
            problems.append(f"cannot write in {folder}")
        elif not find_seen([folder / str(told["written"])], time.monotonic() + _SEE_SECONDS):
            problems.append(f"writes in {folder}, and its files are not seen here")

        # The model, and what else decides about bytes.
        if told["model_problem"]:
            problems.append(str(told["model_problem"]))
        elif told["model_sha256"] != here["model_sha256"]:
            problems.append("has another model under this name")
        versions = cast("dict[str, str]", told["versions"])
        for name, version in versions.items():
            if version != here[name]:
                notes.append(f"{name} {version or 'is missing'} (here {here[name] or 'missing'})")

        # Its disk and its clock; the time of the answer is known to lie in the span.
        free = cast("int", told["free_bytes"])
        if free < _MIN_FREE_BYTES:
            problems.append("has less than 1 GB free for temporary files")
        seconds = cast("float", told["seconds"])
        clock = max(seconds - span[1], 0.0) + min(seconds - span[0], 0.0)
        if abs(clock) > _MAX_CLOCK_SECONDS:
            problems.append(f"its clock is {clock / 60:+,.0f} minutes off; set it by NTP")
    return NodeFinding(
        node=answer.node,
        num_cpus=answer.num_cpus,
        num_gpus=answer.num_gpus,
        memory_bytes=answer.memory_bytes,
        free_bytes=free,
        clock_seconds=clock,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _hash_model(model: str | None) -> str:
    return hash_model_folder(locate_model(model))


def _find_versions() -> dict[str, str]:
    """Returns the version of each package, "" if it is missing."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = ""
    return versions
