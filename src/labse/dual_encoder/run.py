"""A whole run: pairs are prepared, the model is trained, its folder is written.

Takes: a configuration, a vocabulary folder. Gives: `model/`, and all that is needed to resume.
Source: docs/design.md, promises: the same command goes on where it was.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

import labse
from labse.bert.convert import to_hf_state_dict
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.folder import ModelFolder, write_model_folder
from labse.dual_encoder.model import DualEncoder
from labse.dual_encoder.prepare import (
    PairCounts,
    PreparedPairs,
    fit_to_vocabulary,
    prepare_pairs,
)
from labse.dual_encoder.train import Evaluate, Report, train
from labse.errors import ResourceError, UsageError
from labse.files import MANIFEST_NAME, read_json, sha256_file, write_json
from labse.vocab.tokenizer import load_tokenizer

__all__ = ["RunSummary", "build_model_folder", "run_training"]

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
    evaluate: Evaluate | None = None,
    report: Report | None = None,
) -> RunSummary:
    """Trains from files to a model folder; called again after a stop, it goes on.

    Args:
        config: the run; sizes that it does not state are those of the vocabulary.
        out: receives `tokens/`, `checkpoints/`, `metrics.jsonl`, `manifest.json` and `model/`.
        vocab_folder: made by `labse vocab`, or any folder that `load_tokenizer` reads.
        data_folder: where relative paths of `data.pairs` start.
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
    _open_run(out, lineage)

    try:
        model = train(config, prepared.pairs, out, evaluate=evaluate, report=report)
    except torch.OutOfMemoryError:
        raise ResourceError(
            "the device has too little memory; lower train.global_batch_size or the model's sizes"
        ) from None

    folder = out / "model"
    where = {"device": _device_name(model), "torch_version": torch.__version__}
    made_by = {"kind": "model", "step": config.train.train_steps, "seed": config.train.seed}
    write_model_folder(
        folder,
        build_model_folder(model, tokenizer),
        vocab_folder=vocab_folder,
        manifest=made_by | where | lineage,
    )
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    return RunSummary(folder, config.train.train_steps, num_parameters, prepared.counts)


def build_model_folder(model: DualEncoder, tokenizer: Tokenizer) -> ModelFolder:
    """Converts a trained model to what `write_model_folder` takes."""
    tensors = to_hf_state_dict(model.bert.state_dict())
    if model.dense is not None:
        tensors |= {f"dense.{name}": value for name, value in model.dense.state_dict().items()}
    weights = {name: value.detach().float().cpu().numpy() for name, value in tensors.items()}
    return ModelFolder(config=model.config, weights=weights, tokenizer=tokenizer)


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
        for key, what in (("inputs", "data"), ("vocabulary", "vocabulary")):
            if _hashes(before.get(key)) != _hashes(lineage[key]):
                raise UsageError(
                    f"{out} holds a run on another {what} (other bytes than when it began); "
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
