"""A whole run: pairs are prepared, the model is trained, its folder is written.

Takes: a configuration, a vocabulary folder. Gives: `model/`, and all that is needed to resume.
Source: docs/design.md, promises: the same command goes on where it was.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from labse.dual_encoder.char_ngrams import (
    PieceNgrams,
    add_char_ngrams,
    find_char_ngrams,
)
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.data.arrays import Resources
from labse.dual_encoder.data.batch import Batches, open_batches
from labse.dual_encoder.data.held_out import RunQuality, choose_held_out
from labse.dual_encoder.data.pairs import TokenizedPairs
from labse.dual_encoder.data.prepare import (
    PairCounts,
    PreparedPairs,
    prepare_pairs,
)
from labse.dual_encoder.distillation import Teacher
from labse.dual_encoder.grow import start_model
from labse.dual_encoder.run_state import check_unchanged
from labse.dual_encoder.start import (
    expand_pair_folders,
    fit_to_start,
    fit_to_vocabulary,
    read_start,
    read_tokenizer,
    start_lineage,
)
from labse.dual_encoder.train import Build, Evaluate, train
from labse.files.atomic import MANIFEST_NAME, read_json, sha256_file
from labse.model_folder.folder import write_model_folder
from labse.model_folder.torch_model import to_model_folder
from labse.network.config import DualEncoderConfig
from labse.network.dual_encoder import DualEncoder
from labse.training.distributed import Processes
from labse.training.metrics import OnMetrics, append_metrics, read_metrics
from labse.training.run import build_lineage, run_stage
from labse.training.run_folder import hashes_of, open_run

__all__ = ["ExtraFiles", "Judge", "RunSummary", "run_training"]

_LOGGER = logging.getLogger(__name__)
_MEMORY_ADVICE = (
    "set or lower train.micro_batch_size, which changes no loss, and the same command goes on; or "
    "lower the model's sizes"
)

ExtraFiles = Callable[[DualEncoder, Tokenizer], Mapping[str, bytes]]
Judge = Callable[[DualEncoder, Tokenizer, TokenizedPairs, NDArray[np.int64]], RunQuality | None]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The model that a finished run has made.

    Attributes:
        quality: whether it is better than the model at the start; None where nothing tells.
    """

    model_folder: Path
    step: int
    num_parameters: int
    counts: PairCounts
    quality: RunQuality | None = None


def run_training(
    config: RunConfig,
    out: Path,
    *,
    vocab_folder: Path,
    data_folder: Path,
    start: Path | None = None,
    resources: Resources | None = None,
    teacher: Teacher | None = None,
    evaluate: Evaluate | None = None,
    on_metrics: OnMetrics | None = None,
    judge: Judge | None = None,
    extra_files: ExtraFiles | None = None,
) -> RunSummary:
    """Trains from files to a model folder; called again after a stop, it goes on.

    Under torchrun all processes call it: each trains on its share of every batch, the main one
    prepares the data before the others and writes everything.

    Args:
        config: the run; sizes that it does not state are those of the vocabulary.
        out: receives `tokens/`, `checkpoints/`, `metrics.jsonl`, `manifest.json` and `model/`.
        vocab_folder: made by `labse vocab`, or a model folder of any kind.
        data_folder: where relative paths of `data.pairs` start.
        start: folder of the model to start from; its sizes hold, and layers grow on a model
            without any where `model.bert.num_hidden_layers` asks for them. None starts anew.
        resources: see `prepare_pairs`.
        teacher: the model of `distill.teacher`; None without that section.
        evaluate: see `train`.
        on_metrics: called with each row of metrics.
        judge: says of the trained model, all pairs and those held out whether it is better; that
            goes into the manifest of `model/` and, once, into `metrics.jsonl`.
        extra_files: makes what else lies in `model/`, by name, from the trained model.

    Raises:
        InterruptedRunError: SIGTERM or SIGINT arrived; a checkpoint was written first.
        UsageError: `out` holds a run of another configuration, data or vocabulary, or something
            else than a run, or another process is at work there, or the vocabulary is not the
            stated one.
        LabseError: broken data.
        ResourceError: no memory, no disk.
    """
    prepare = partial(
        _prepare,
        config,
        out,
        vocab_folder=vocab_folder,
        data_folder=data_folder,
        start=start,
        resources=resources,
        teacher=teacher,
    )

    def train_job(job: _Job, processes: Processes) -> RunSummary:
        model = train(
            job.config,
            job.batches,
            out,
            build=job.build,
            evaluate=evaluate,
            on_metrics=on_metrics,
            processes=processes,
        )
        step = _step_of_weights(job.config, out)
        quality: RunQuality | None = None
        if processes.is_main:
            if judge is not None:
                held_out = choose_held_out(job.prepared.pairs, job.config.data.held_out)
                quality = judge(model, job.tokenizer, job.prepared.pairs, held_out)
            _record_quality(out / "metrics.jsonl", job.config.train.train_steps, quality)
            files = extra_files(model, job.tokenizer) if extra_files else {}
            more = {} if quality is None else {"quality": asdict(quality)}
            made_by = {"step": step, **job.lineage, **more}
            _write_model(job, model, out, vocab_folder, made_by, files)
        num_parameters = sum(parameter.numel() for parameter in model.parameters())
        return RunSummary(out / "model", step, num_parameters, job.prepared.counts, quality)

    return run_stage(
        out,
        "dual_encoder",
        global_batch_size=config.train.global_batch_size,
        is_sharded=config.train.shard == "full",
        prepare=prepare,
        train=train_job,
        memory_advice=_MEMORY_ADVICE,
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """What training needs, read and prepared."""

    config: RunConfig
    tokenizer: Tokenizer
    prepared: PreparedPairs
    lineage: Mapping[str, object]
    batches: Batches
    build: Build | None


def _prepare(
    config: RunConfig,
    out: Path,
    processes: Processes,
    *,
    vocab_folder: Path,
    data_folder: Path,
    start: Path | None,
    resources: Resources | None,
    teacher: Teacher | None,
) -> _Job:
    # Sizes come from the vocabulary and from the model to start from.
    tokenizer = read_tokenizer(vocab_folder)
    config = expand_pair_folders(config, data_folder)
    config = fit_to_vocabulary(config, tokenizer)
    build: Build | None = None
    if start is not None:
        start_folder = read_start(start, tokenizer)
        config = fit_to_start(config, start_folder.config)
        build = partial(start_model, start_folder)

    # A changed configuration is refused before its tokens replace those of the run.
    check_unchanged(out, config)
    prepared = prepare_pairs(
        config,
        data_folder=data_folder,
        tokenizer=tokenizer,
        cache=out / "tokens",
        resources=resources,
        is_main=processes.is_main,
    )
    _log_pairs(prepared)

    # The run goes on only on the same data, vocabulary and teacher, from the same model.
    lineage = build_lineage(config, prepared.inputs, prepared.counts)
    lineage["vocabulary"] = _vocabulary_lineage(vocab_folder, tokenizer)
    if start is not None:
        lineage["start"] = start_lineage(start)
    if teacher is not None:
        lineage["teacher"] = {"sha256": teacher.sha256}
    if processes.is_main:
        open_run(out, "dual_encoder", lineage)

    # Hard negatives and the teacher's vectors are made once, and kept in the run.
    batches = open_batches(
        config,
        prepared.pairs,
        tokenizer,
        files=[data_folder / file for file in config.data.pairs],
        out=out,
        key={key: hashes_of(lineage[key]) for key in ("inputs", "vocabulary")},
        teacher=teacher,
        is_main=processes.is_main,
    )
    if config.train.char_ngrams:
        piece_ngrams = find_char_ngrams(tokenizer, config.train.char_ngrams)
        _LOGGER.info("%s character n-grams are of several pieces", f"{len(piece_ngrams.ngrams):,}")
        build = partial(_build_with_ngrams, build or DualEncoder, piece_ngrams)
    return _Job(config, tokenizer, prepared, lineage, batches, build)


def _build_with_ngrams(
    build: Build, ngrams: PieceNgrams, config: DualEncoderConfig, *, sparse_embeddings: bool
) -> DualEncoder:
    model = build(config, sparse_embeddings=sparse_embeddings)
    add_char_ngrams(model, ngrams)
    return model


def _record_quality(path: Path, step: int, quality: RunQuality | None) -> None:
    """Adds the row of P@1 among the pairs held out; a finished run that is called again has it."""
    if quality is None or quality.p_at_1 is None:
        return
    row = {"step": step, "held_out_p_at_1": quality.p_at_1}
    if quality.p_at_1_before is not None:
        row["held_out_p_at_1_before"] = quality.p_at_1_before
    if row not in read_metrics(path):
        append_metrics(path, row)


def _write_model(
    job: _Job,
    model: DualEncoder,
    out: Path,
    vocab_folder: Path,
    made_by: Mapping[str, object],
    extra_files: Mapping[str, bytes],
) -> None:
    where = {"device": _device_name(model), "torch_version": torch.__version__}
    write_model_folder(
        out / "model",
        to_model_folder(model, job.tokenizer),
        vocab_folder=vocab_folder,
        manifest={"kind": "model", "seed": job.config.train.seed, **where, **made_by},
        extra_files=extra_files,
    )


def _step_of_weights(config: RunConfig, out: Path) -> int:
    if not (config.train.keep_best and (out / "best.json").is_file()):
        return config.train.train_steps
    best = read_json(out / "best.json")
    _LOGGER.info("the best evaluation was that of step %s: %.4f", best["step"], best["score"])
    return int(str(best["step"]))


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


def _vocabulary_lineage(folder: Path, tokenizer: Tokenizer) -> dict[str, object]:
    """Returns the hash of the tokenizer and, if there is one, how the vocabulary was made."""
    path = folder / "tokenizer.json"  # Some models have a vocab.txt alone.
    digest = hashlib.sha256(tokenizer.to_str().encode()).hexdigest()
    lineage: dict[str, object] = {"sha256": sha256_file(path) if path.is_file() else digest}
    if (folder / MANIFEST_NAME).is_file():
        manifest = read_json(folder / MANIFEST_NAME)
        lineage |= {key: manifest[key] for key in ("config", "inputs") if key in manifest}
    return lineage


def _device_name(model: DualEncoder) -> str:
    device = next(model.parameters()).device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
