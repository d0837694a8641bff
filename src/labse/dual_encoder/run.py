"""A whole run: pairs are prepared, the model is trained, its folder is written.

Takes: a configuration, a vocabulary folder. Gives: `model/`, and all that is needed to resume.
Source: docs/design.md, promises: the same command goes on where it was.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch

import labse
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.conversion import to_model_folder
from labse.dual_encoder.folder import write_model_folder
from labse.dual_encoder.model import DualEncoder
from labse.dual_encoder.prepare import (
    PairCounts,
    PreparedPairs,
    fit_to_vocabulary,
    prepare_pairs,
)
from labse.dual_encoder.start import fit_to_start, read_start, start_lineage, start_model
from labse.dual_encoder.train import Evaluate, Report, train
from labse.errors import ResourceError, UsageError
from labse.files import MANIFEST_NAME, read_json, sha256_file, write_json
from labse.vocab.tokenizer import load_tokenizer

__all__ = ["RunSummary", "run_training"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run that came to its end made."""

    model_folder: Path
    step: int
    num_parameters: int
    counts: PairCounts


def run_training(
    config: RunConfig,
    out: Path,
    *,
    vocab_folder: Path,
    data_folder: Path,
    start: Path | None = None,
    evaluate: Evaluate | None = None,
    report: Report | None = None,
) -> RunSummary:
    """Trains from files to a model folder; called again after a stop, it goes on.

    Args:
        config: the run; sizes that it does not state are those of the vocabulary.
        out: receives `tokens/`, `checkpoints/`, `metrics.jsonl`, `manifest.json` and `model/`.
        vocab_folder: made by `labse vocab`, or any folder that `load_tokenizer` reads.
        data_folder: where relative paths of `data.pairs` start.
        start: folder of the model to start from; its sizes hold, and layers grow on a model
            without any where `model.bert.num_hidden_layers` asks for them. None starts anew.
        evaluate: see `train`.
        report: see `train`.

    Raises:
        InterruptedRunError: SIGTERM or SIGINT arrived; a checkpoint was written first.
        UsageError: `out` holds a run of another configuration, data or vocabulary, or something
            else than a run, or the vocabulary is not the stated one.
        LabseError: broken data.
        ResourceError: no memory, no disk.
    """
    _check_out(out)
    tokenizer = load_tokenizer(vocab_folder)
    config = fit_to_vocabulary(config, tokenizer)
    start_folder = None if start is None else read_start(start, tokenizer)
    if start_folder is not None:
        config = fit_to_start(config, start_folder)
    prepared = prepare_pairs(
        config,
        data_folder=data_folder,
        vocab_folder=vocab_folder,
        tokenizer=tokenizer,
        cache=out / "tokens",
    )
    _log_pairs(prepared)
    lineage = {
        "run_config": config.model_dump(mode="json"),
        "inputs": [asdict(file) for file in prepared.inputs],
        "counts": asdict(prepared.counts),
        "vocabulary": _vocabulary_lineage(vocab_folder),
    }
    if start is not None:
        lineage["start"] = start_lineage(start)
    _open_run(out, lineage)

    try:
        build = None if start_folder is None else partial(start_model, start_folder)
        model = train(config, prepared.pairs, out, build=build, evaluate=evaluate, report=report)
    except torch.OutOfMemoryError:
        raise ResourceError(
            "the device has too little memory; lower train.global_batch_size or the model's sizes"
        ) from None

    folder = out / "model"
    where = {"device": _device_name(model), "torch_version": torch.__version__}
    step = _step_of_weights(config, out)
    made_by = {"kind": "model", "step": step, "seed": config.train.seed}
    write_model_folder(
        folder,
        to_model_folder(model, tokenizer),
        vocab_folder=vocab_folder,
        manifest=made_by | where | lineage,
    )
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    return RunSummary(folder, step, num_parameters, prepared.counts)


def _step_of_weights(config: RunConfig, out: Path) -> int:
    if not (config.train.keep_best and (out / "best.json").is_file()):
        return config.train.train_steps
    best = read_json(out / "best.json")
    _LOGGER.info("the best evaluation was that of step %s: %s", best["step"], best["score"])
    return int(str(best["step"]))


def _check_out(out: Path) -> None:
    """Refuses a folder whose manifest is of something else, as it would be overwritten."""
    if not (out / MANIFEST_NAME).is_file():
        return
    kind = read_json(out / MANIFEST_NAME).get("kind")
    if kind != "run":
        raise UsageError(f"{out} holds a {kind or 'folder of another kind'}; give another --out")


def _log_pairs(prepared: PreparedPairs) -> None:
    counts, pairs = prepared.counts, prepared.pairs
    _LOGGER.info(
        "pairs: %s read, %s kept; dropped: %s of other languages, %s blank, %s copies%s",
        *(f"{number:,}" for number in (counts.num_read, counts.num_kept)),
        *(f"{n:,}" for n in (counts.num_other_langs, counts.num_blank, counts.num_copies)),
        " (tokens of an earlier start)" if prepared.is_cached else "",
    )
    _LOGGER.info(
        "sentences: %s distinct, %s tokens, %s cut to max_seq_length; %d language pairs",
        *(f"{n:,}" for n in (len(pairs.offsets) - 1, len(pairs.input_ids), pairs.num_truncated)),
        len(pairs.lang_pairs),
    )


def _vocabulary_lineage(folder: Path) -> dict[str, object]:
    """Returns the hash of the tokenizer and, if there is one, how the vocabulary was made."""
    lineage: dict[str, object] = {"sha256": sha256_file(folder / "tokenizer.json")}
    if (folder / MANIFEST_NAME).is_file():
        manifest = read_json(folder / MANIFEST_NAME)
        lineage |= {key: manifest[key] for key in ("config", "inputs") if key in manifest}
    return lineage


def _open_run(out: Path, lineage: Mapping[str, object]) -> None:
    """Writes the manifest of the run; with checkpoints there, it must be that of the same data."""
    path = out / MANIFEST_NAME
    checkpoints = sorted(file.parent for file in out.glob("checkpoints/*/state.json"))
    if checkpoints:
        _LOGGER.info("going on from %s", checkpoints[-1])
    if checkpoints and path.is_file():
        before = read_json(path)
        kept = {"inputs": "on other data", "vocabulary": "on another vocabulary"}
        for key, what in (kept | {"start": "from another model"}).items():
            if _hashes(before.get(key)) != _hashes(lineage.get(key)):
                raise UsageError(
                    f"{out} holds a run {what} (other bytes than when it began); "
                    "restore it or give another --out"
                )
        return
    write_json(path, {"kind": "run", "labse_version": labse.__version__, **lineage})


def _hashes(entries: object) -> list[object]:
    entries = entries if isinstance(entries, list) else [entries]
    return [entry.get("sha256") for entry in entries if isinstance(entry, dict)]


def _device_name(model: DualEncoder) -> str:
    device = next(model.parameters()).device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
