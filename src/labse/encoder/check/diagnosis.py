"""What a machine can do for the encoder, and what would stop it.

Takes: a model folder or None. Gives: findings, each with what to do if it is not right.
Source: Linux: proc(5), and the kernel's cgroup-v2 documentation, `cpu.max` and `memory.max`.
"""

import contextlib
import importlib.metadata
import importlib.util
import locale
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

import labse
from labse.encoder.check.sample import sample_sentences
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError
from labse.files.system import count_cpus

__all__ = ["Finding", "diagnose"]

# What the runtimes' kernels look for, the slowest first.
_CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimd")
_PACKAGES = (
    "numpy",
    "tokenizers",
    "safetensors",
    "ctranslate2",
    "pydantic",
    "rich",
    "threadpoolctl",
    "typer",
    "zstandard",
)
_REQUIREMENT = re.compile(r"([\w.-]+).*?; extra == ['\"]([\w-]+)['\"]")
_MIN_FREE_BYTES = 1 << 30
_NUM_SAMPLED = 800  # Sentences of the sample.
_TIMED_SECONDS = 0.5
_SENTENCES = ("Good morning.", "Guten Morgen.", "")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what.
        state: `ok`; `note`: works, but could be better; `fail`: encoding does not work.
        value: what was found, and what to do about it.
    """

    name: str
    state: Literal["ok", "note", "fail"]
    value: str


def diagnose(model: str | Path | None = None) -> list[Finding]:
    """Looks at processor, memory, packages, the model, disks and locale; changes nothing.

    Args:
        model: the folder to load; None: the model that comes with labse, if there is one.
    """
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _check_versions,
        _check_processor,
        _check_memory,
        lambda: _check_model(model),
        _check_disks,
        _check_locale,
    )
    return [finding for check in checks for finding in check()]


def _check_versions() -> Iterator[Finding]:
    yield Finding("labse", "ok", f"{labse.__version__}, Python {platform.python_version()}")
    yield Finding("system", "ok", f"{platform.system()} {platform.release()} {platform.machine()}")
    for package in _PACKAGES:
        version = _version_of(package)
        found = version or "not installed; run: pip install labse"
        yield Finding(package, "ok" if version else "fail", found)
    for extra, names in _list_extras().items():
        versions = {name: _version_of(name) for name in names}
        found = ", ".join(f"{name} {version or 'no'}" for name, version in versions.items())
        if None in versions.values():
            found += f"; pip install 'labse[{extra}]' brings the rest"
        yield Finding(f"extra {extra}", "ok", found)


def _list_extras() -> dict[str, list[str]]:
    """Returns the packages of each extra, as the installed labse names them."""
    extras: dict[str, list[str]] = {}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for requirement in importlib.metadata.requires("labse") or ():
            if match := _REQUIREMENT.match(requirement):
                extras.setdefault(match[2], []).append(match[1])
    return dict(sorted(extras.items()))


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _check_processor() -> Iterator[Finding]:
    flags = _read_text("/proc/cpuinfo").partition("flags")[2].partition("\n")[0].split()
    found = [feature for feature in _CPU_FEATURES if feature in flags]
    name = _read_text("/proc/cpuinfo").partition("model name")[2].partition("\n")[0].strip(" \t:")
    yield Finding("processor", "ok", f"{name or platform.processor()}: {' '.join(found) or '?'}")
    if importlib.util.find_spec("ctranslate2"):
        ctranslate2 = importlib.import_module("ctranslate2")
        types = sorted(ctranslate2.get_supported_compute_types("cpu"))
        state: Literal["ok", "note"] = "ok" if "int8_float32" in types else "note"
        yield Finding("ctranslate2 computes", state, " ".join(types))

    allowed = count_cpus()
    quota = _cpu_quota()
    value = f"{allowed} of {os.cpu_count()} usable, " + (
        "no quota" if quota is None else f"quota of {quota:g}"
    )
    if quota is not None and allowed and quota < allowed:
        value += f"; give --threads {max(int(quota), 1)}, more threads wait for each other"
        yield Finding("threads", "note", value)
    else:
        yield Finding("threads", "ok", value)
    chosen = {name: os.environ[name] for name in _thread_variables() if name in os.environ}
    shown = ", ".join(f"{name}={value}" for name, value in chosen.items())
    yield Finding("thread variables", "ok", shown or "none set")


def _thread_variables() -> tuple[str, ...]:
    return ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def _cpu_quota() -> float | None:
    """Returns the processors that the control group grants, None if it does not limit them."""
    amounts = []
    for folder in _cgroup_folders():
        quota, _, period = _read_text(folder / "cpu.max").strip().partition(" ")
        if quota.isdigit() and period.isdigit():
            amounts.append(int(quota) / int(period))
    old = Path("/sys/fs/cgroup/cpu")  # Version 1; -1 stands for no quota.
    quota = _read_text(old / "cpu.cfs_quota_us").strip()
    period = _read_text(old / "cpu.cfs_period_us").strip()
    if quota.isdigit() and period.isdigit():
        amounts.append(int(quota) / int(period))
    return min(amounts, default=None)


def _cgroup_folders() -> list[Path]:
    """Returns the folder of this process's control group and all above it, version 2."""
    root = Path("/sys/fs/cgroup")
    name = _read_text("/proc/self/cgroup").partition("0::")[2].partition("\n")[0].lstrip("/")
    own = root / name
    return [own, *own.parents[: len(own.parts) - len(root.parts)]]


def _check_memory() -> Iterator[Finding]:
    limits = [_read_text(folder / "memory.max").strip() for folder in _cgroup_folders()]
    limit = min((int(text) for text in limits if text.isdigit()), default=None)
    total, free = (_meminfo(name) for name in ("MemTotal", "MemAvailable"))
    value = f"{_gib(free)} of {_gib(total)} available" if total else "cannot be told"
    if limit is not None:
        value += f", limit {_gib(limit)}"
    least = min(amount for amount in (free, limit, 1 << 62) if amount)
    if least < _MIN_FREE_BYTES:
        yield Finding("memory", "note", value + "; --precision int8 takes a quarter")
    else:
        yield Finding("memory", "ok", value)


def _meminfo(name: str) -> int:
    words = _read_text("/proc/meminfo").partition(f"{name}:")[2].split(maxsplit=1)
    return int(words[0]) * 1024 if words and words[0].isdigit() else 0


def _check_model(model: str | Path | None) -> Iterator[Finding]:
    name = "default model" if model is None else "model"
    start = time.perf_counter()
    try:
        encoder = SentenceEncoder.from_pretrained(model)
        embeddings = encoder.encode(_SENTENCES)
    except LabseError as error:
        is_missing = model is None and "no default model" in str(error)
        yield Finding(name, "note" if is_missing else "fail", str(error))
        return
    seconds = time.perf_counter() - start
    cosine = float(embeddings[0] @ embeddings[1])
    size = f"{encoder.embedding_size} values, {encoder.max_seq_length} tokens"
    yield Finding(
        name, "ok" if np.isfinite(embeddings).all() else "fail", f"{model or 'packaged'}: {size}"
    )
    why = {
        "numpy": "the model has no layers, so there is little to compute",
        "ctranslate2": "the model has layers",
    }.get(encoder.runtime_name, "it was asked for")
    yield Finding("runtime", "ok", f"{encoder.runtime_name}: {why}")
    yield Finding("first vector", "ok" if seconds < 10 else "note", f"after {seconds:.2f} s")
    yield _time_encoding(encoder)
    state: Literal["ok", "note"] = "ok" if cosine > 0.5 else "note"
    value = f"cosine {cosine:.3f} of {_SENTENCES[0]!r} and {_SENTENCES[1]!r}"
    if state == "note":
        value += "; a trained model of both languages gives more than 0.5"
    yield Finding("translation", state, value)


def _time_encoding(encoder: SentenceEncoder) -> Finding:
    """Encodes parts of the sample until the time says something; no sentence comes twice."""
    sentences = sample_sentences(_NUM_SAMPLED)
    done, size, seconds = 0, 8, 0.0
    while seconds < _TIMED_SECONDS and done < _NUM_SAMPLED:
        start = time.perf_counter()
        encoder.encode(sentences[done : done + size])
        seconds += time.perf_counter() - start
        done, size = done + size, 4 * size
    num_tokens = encoder.tokenize(sentences[:done])["attention_mask"].sum(axis=1).mean()
    rate = min(done, _NUM_SAMPLED) / max(seconds, 1e-9)
    value = (
        f"{rate:,.0f} sentences of {num_tokens:.0f} tokens a second, more where words repeat; a "
        f"million take {_duration(1e6 / rate)} at most"
    )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > (os.cpu_count() or 1):
        return Finding("speed", "note", f"{value}; other programs are at work (load {load:.0f})")
    return Finding("speed", "ok", value)


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def _check_disks() -> Iterator[Finding]:
    cache = os.environ.get("LABSE_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    places = {
        "disk here": Path.cwd(),
        "disk temporary": Path(tempfile.gettempdir()),
        "disk cache": Path(cache).expanduser(),
    }
    for name, path in places.items():
        while not path.exists() and path != path.parent:
            path = path.parent
        free = shutil.disk_usage(path).free
        value = f"{_gib(free)} free at {path}"
        if not os.access(path, os.W_OK):
            yield Finding(name, "note", value + ", which cannot be written")
        elif free < _MIN_FREE_BYTES:
            yield Finding(name, "note", value + "; make room or work elsewhere")
        else:
            yield Finding(name, "ok", value)


def _check_locale() -> Iterator[Finding]:
    encodings = {
        "files": locale.getencoding(),
        "file names": sys.getfilesystemencoding(),
        "output": getattr(sys.stdout, "encoding", None) or "none",
    }
    value = ", ".join(f"{name} {encoding}" for name, encoding in encodings.items())
    value += f"; LANG={os.environ.get('LANG', '')}"
    is_utf8 = sys.getfilesystemencoding().lower().replace("-", "") == "utf8"
    if is_utf8:
        yield Finding("locale", "ok", value)
    else:
        yield Finding("locale", "note", value + "; set LANG=C.UTF-8, or names in files may break")


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:,.1f} GiB"


def _read_text(path: str | Path) -> str:
    try:
        return Path(path).read_text("utf-8", errors="replace")
    except OSError:  # Not Linux, or hidden in a container.
        return ""
