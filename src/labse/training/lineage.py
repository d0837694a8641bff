"""What a folder is, where it comes from, and whether it is still what was written.

Takes: a folder that labse made, or a model of sentence-transformers.
Gives: its kind, its facts, and each file with its size and the result of comparing its SHA-256.
Source: docs/design.md, promises.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open

from labse.errors import LabseError, UsageError
from labse.files.atomic import MANIFEST_NAME, read_json
from labse.files.object_store import find_url
from labse.model_folder.describe import (
    Fact,
    FileState,
    FolderDescription,
    compare_files,
    is_model_folder,
    model_facts,
)
from labse.model_folder.layout import MODULES_NAME
from labse.training.metrics import read_metrics
from labse.vocab.tokenizer import load_tokenizer

__all__ = ["describe_folder"]

# Folders whose manifest says itself what was counted.
_COUNTED = ("web pages", "web pairs", "web align", "web mine", "web scores", "cds")
_MAX_COUNTED = 12  # Of a kind: the pages of each of a thousand hosts are too many.

# A hundred numbers, which metrics.jsonl has: mlm_deu_accuracy, tlm_eng-deu_perplexity.
_OF_A_LANGUAGE = re.compile("[mt]lm_.+_(accuracy|perplexity)")


def describe_folder(path: str | Path) -> FolderDescription:
    """Describes a folder and compares its files with its manifest.

    Raises:
        LabseError: there is no such folder, it is none that labse knows, or it cannot be read.
        UsageError: an address.
    """
    if url := find_url(path):
        raise UsageError(f"{url}: folders are described on a disk; copy this one there")
    folder = Path(path)
    if not folder.exists():
        raise LabseError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise LabseError(
            f"{folder}: is a file; give a folder made by labse (labse verify reads .npy files)"
        )
    manifest = read_json(folder / MANIFEST_NAME) if (folder / MANIFEST_NAME).is_file() else {}

    kind = _find_kind(folder, manifest)
    readers = {
        "model": model_facts,
        "vocabulary": _vocabulary_facts,
        "run": _run_facts,
        "checkpoint": _checkpoint_facts,
    }
    if kind in readers:
        facts = readers[kind](folder)
    else:
        facts = _corpus_facts(manifest) | (_counted_facts(manifest) if kind in _COUNTED else {})
    files = compare_files(folder, manifest)
    if kind == "run":
        inner = folder / "model"
        if (inner / MANIFEST_NAME).is_file():
            described = describe_folder(inner).files
            files = [FileState(f"model/{f.name}", f.num_bytes, f.state) for f in described]
    return FolderDescription(kind, {**facts, **_lineage_facts(manifest)}, tuple(files))


def _find_kind(folder: Path, manifest: Mapping[str, object]) -> str:
    kind = manifest.get("kind")
    if (folder / MODULES_NAME).is_file():
        return "model"
    if kind in ("vocabulary", "run", "tokens", "alignment", "word-counts"):
        return str(kind)
    if (named := str(kind).replace("_", " ")) in _COUNTED:
        return named
    if kind == "index":
        raise LabseError(f"{folder}: is an index; labse index info {folder} tells what it holds")
    if "bounds" in manifest and "counts" in manifest:
        return "cleaned corpus"
    if isinstance(_dig(manifest, "report", "num_exact"), int):
        return "corpus without copies"
    if (folder / "state.json").is_file():
        return "checkpoint"
    if (folder / "metrics.jsonl").is_file():
        return "run"
    if is_model_folder(folder):
        return "model"
    if (folder / "vocab.txt").is_file():
        return "vocabulary"
    raise LabseError(
        f"{folder}: neither a model, a vocabulary, a run nor a checkpoint; it has no "
        f"{MODULES_NAME}, vocab.txt, metrics.jsonl or state.json"
    )


def _vocabulary_facts(folder: Path) -> dict[str, Fact]:
    return {"vocab_size": load_tokenizer(folder).get_vocab_size()}


def _corpus_facts(manifest: Mapping[str, object]) -> dict[str, Fact]:
    """Returns rows by reason or by language, as cleaning and deduplication count them."""
    facts: dict[str, Fact] = {}
    counts, report = manifest.get("counts"), manifest.get("report")
    for key, langs in counts.items() if isinstance(counts, dict) else ():
        if not isinstance(langs, dict):  # Of a folder that has one number for each.
            facts[key] = _number(langs)
            continue
        for reasons in langs.values():
            for reason, number in reasons.items():
                name = reason if reason == "kept" else f"dropped: {reason}"
                facts[name] = _number(facts.get(name)) + _number(number)
    if isinstance(report, dict):
        names = {"num_rows": "rows read", "num_exact": "copies", "num_near": "near copies"}
        facts |= {shown: _number(report.get(key)) for key, shown in names.items()}
        facts |= {f"kept {lang}": _number(n) for lang, n in report.get("kept", {}).items()}
    return facts


def _counted_facts(manifest: Mapping[str, object]) -> dict[str, Fact]:
    """Returns all numbers of a manifest and of its report, the largest of each kind of count."""
    report = manifest.get("report")
    facts: dict[str, Fact] = {}
    for name, value in {**manifest, **(report if isinstance(report, dict) else {})}.items():
        label = name.removeprefix("num_").replace("_", " ")
        if isinstance(value, int | float) and not isinstance(value, bool):
            facts[label] = value
        counts = value.items() if isinstance(value, dict) and name != "key" else ()
        numbers = [(key, n) for key, n in counts if isinstance(n, int | float)]
        for key, number in sorted(numbers, key=lambda item: -item[1])[:_MAX_COUNTED]:
            facts[f"{label}: {key}"] = number
    return facts


def _run_facts(folder: Path) -> dict[str, Fact]:
    facts: dict[str, Fact] = {}
    steps = [_checkpoint_facts(file.parent) for file in folder.glob("checkpoints/*/state.json")]
    if steps:
        newest = max(steps, key=lambda step: int(step["step"]))
        facts |= {"checkpoints": len(steps), **newest}
    metrics = folder / "metrics.jsonl"
    for row in read_metrics(metrics) if metrics.is_file() else ():
        shown = {name: value for name, value in row.items() if not _OF_A_LANGUAGE.fullmatch(name)}
        facts |= {f"last {name}": value for name, value in shown.items() if name != "step"}
    if stages := sorted(path.name for path in folder.glob("stage-*-layers")):
        facts["finished stages"] = ", ".join(stages)
    facts["model"] = "written" if (folder / "model" / MANIFEST_NAME).is_file() else "not yet"
    return facts


def _checkpoint_facts(folder: Path) -> dict[str, Fact]:
    state = read_json(folder / "state.json")
    path = folder / "state.safetensors"
    try:
        with safe_open(path, framework="numpy") as handle:
            num_tensors = len(list(handle.keys()))
    except (OSError, SafetensorError) as error:
        raise LabseError(f"{path}: damaged ({error}); delete this checkpoint") from None
    facts: dict[str, Fact] = {"step": _number(state.get("step"))}
    train_steps = _dig(state, "config", "train", "train_steps")
    if train_steps is not None:
        facts["train_steps"] = _number(train_steps)
    stage_steps = _dig(state, "config", "train", "stage_steps")
    if isinstance(stage_steps, list):
        reading = str(_dig(state, "config", "train", "stage_steps_are")).replace("_", " ")
        facts["stage_steps"] = f"{', '.join(f'{steps:,}' for steps in stage_steps)} ({reading})"
    return facts | {"tensors": num_tensors}


def _lineage_facts(manifest: Mapping[str, object]) -> dict[str, Fact]:
    """Returns what the manifest says of the making, inputs last."""
    facts: dict[str, Fact] = {}
    for key in ("stage", "labse_version", "storage", "seed", "step", "device", "torch_version"):
        value = manifest.get(key)
        if isinstance(value, str | int | float):
            facts[key] = value
    for key, where in (("vocab_size", "config"), ("smoothing_exponent", "config")):
        value = _dig(manifest, where, key)
        if manifest.get("kind") == "vocabulary" and isinstance(value, int | float):
            facts[f"asked {key}"] = value
    for key in ("p_at_1_before", "p_at_1", "num_held_out", "verdict"):
        value = _dig(manifest, "quality", key)
        if isinstance(value, str | int | float):
            facts[f"held out: {key.removeprefix('num_held_out') or 'pairs'}"] = value
    facts |= _input_facts("input", manifest.get("inputs"))
    facts |= _input_facts("vocabulary input", _dig(manifest, "vocabulary", "inputs"))
    digest = _dig(manifest, "vocabulary", "sha256")
    return facts | ({"vocabulary sha256": str(digest)[:12]} if digest else {})


def _input_facts(label: str, inputs: object) -> Iterator[tuple[str, Fact]]:
    for path, digest in inputs.items() if isinstance(inputs, dict) else ():
        yield f"{label} {path}", f"sha256 {str(digest)[:12]}"
    for entry in inputs if isinstance(inputs, list) else []:
        if isinstance(entry, dict):
            rows = _number(entry.get("num_rows"))
            digest = str(entry.get("sha256"))[:12]
            yield f"{label} {entry.get('path')}", f"{rows:,} rows, sha256 {digest}"


def _dig(value: object, *keys: str) -> object:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
