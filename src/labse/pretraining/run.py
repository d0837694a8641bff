"""A whole run: examples are prepared, the stages are trained, each leaves a BERT folder.

Takes: a configuration, a vocabulary folder. Gives: `model/`, and all that is needed to resume.
Source: docs/design.md, promises: the same command goes on where it was.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from labse.files.atomic import sha256_file
from labse.pretraining.batches import BatchBuilder, ExampleOrder, group_probs, split_examples
from labse.pretraining.config import PretrainConfig, Stage, fit_to_start, fit_to_vocabulary
from labse.pretraining.folder import (
    BertFolder,
    read_start,
    vocabulary_files,
    write_bert_folder,
)
from labse.pretraining.gradients import TrainingData, ValidationSet
from labse.pretraining.model import MaskedLm, build_model
from labse.pretraining.prepare import ExampleCounts, PreparedExamples, prepare_examples
from labse.pretraining.train import MAY_CHANGE, Build, train
from labse.runtime import OnProgress
from labse.training.distributed import Processes
from labse.training.metrics import OnMetrics
from labse.training.run import build_lineage, join_callbacks, run_stage
from labse.training.run_folder import open_run
from labse.training.run_state import check_unchanged
from labse.vocab.tokenizer import SPECIAL_TOKENS, load_tokenizer

__all__ = ["PretrainSummary", "pretrain"]

_LOGGER = logging.getLogger(__name__)
_MEMORY_ADVICE = (
    "lower train.micro_batch_size or train.max_logits_bytes, and the same command goes on"
)


@dataclass(frozen=True, slots=True)
class PretrainSummary:
    """The model that a finished run has made."""

    model_folder: Path
    step: int
    num_layers: int
    num_parameters: int
    counts: ExampleCounts


def pretrain(
    config: PretrainConfig,
    out: Path,
    *,
    vocab_folder: Path | None = None,
    data_folder: Path = Path(),
    grow: Path | None = None,
    on_metrics: OnMetrics | None = None,
    on_progress: OnProgress | None = None,
) -> PretrainSummary:
    """Pre-trains from files to a BERT folder; called again after a stop, it goes on.

    Under torchrun all processes call it: each trains on its share of every batch, the main one
    prepares the data before the others and writes everything.

    Args:
        config: the run, `labse.PretrainConfig`; sizes that it does not state are those of the
            vocabulary.
        out: receives `tokens/`, `checkpoints/`, `metrics.jsonl`, `manifest.json`, a folder
            `stage-N-layers/` for each stage but the last, and `model/`.
        vocab_folder: made by `labse vocab`, or any folder that `load_tokenizer` reads; None takes
            that of `grow`.
        data_folder: where relative paths of the configuration start.
        grow: a folder of an earlier run, whose layers are stacked twice; the first stage has twice
            its layers.
        on_metrics: called with each row of metrics.
        on_progress: called with (steps done, all steps).

    Raises:
        InterruptedRunError: SIGTERM or SIGINT arrived; a checkpoint was written first.
        UsageError: `out` holds a run of another configuration, data or vocabulary, another process
            is at work there, or the model to grow has other sizes or another vocabulary.
        LabseError: broken data, or a loss that is not a number.
        ResourceError: no memory, no disk.
        ValueError: neither a vocabulary nor a model to grow.
    """
    vocab_folder = vocab_folder or grow
    if vocab_folder is None:
        raise ValueError("give vocab_folder, the pieces to train on, or grow, a model")
    prepare = partial(
        _prepare, config, out, vocab_folder=vocab_folder, data_folder=data_folder, grow=grow
    )
    record = join_callbacks(on_metrics, on_progress, train_steps=config.train.train_steps)

    def train_job(job: _Job, processes: Processes) -> PretrainSummary:
        model = train(
            job.config,
            job.data,
            out,
            build=job.build,
            finish_stage=partial(_write_stage, job, out, vocab_folder),
            on_metrics=record,
            processes=processes,
        )
        return PretrainSummary(
            model_folder=out / "model",
            step=job.config.train.train_steps,
            num_layers=job.config.model.bert.num_hidden_layers,
            num_parameters=sum(parameter.numel() for parameter in model.parameters()),
            counts=job.counts,
        )

    return run_stage(
        out,
        "pretraining",
        global_batch_size=config.train.global_batch_size,
        is_sharded=config.train.shard == "full",
        prepare=prepare,
        train=train_job,
        memory_advice=_MEMORY_ADVICE,
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """What training needs, read and prepared."""

    config: PretrainConfig
    data: TrainingData
    counts: ExampleCounts
    lineage: Mapping[str, object]
    build: Build | None


def _prepare(
    config: PretrainConfig,
    out: Path,
    processes: Processes,
    *,
    vocab_folder: Path,
    data_folder: Path,
    grow: Path | None,
) -> _Job:
    # Sizes come from the vocabulary and from the model to grow.
    tokenizer = load_tokenizer(vocab_folder)
    config = fit_to_vocabulary(config, tokenizer)
    start = None if grow is None else read_start(grow, vocab_folder)
    build: Build | None = None
    if start is not None:
        config = fit_to_start(config, start.config)
        build = partial(build_model, config, grown_from=start.state)

    # A changed configuration is refused before its examples replace those of the run.
    check_unchanged(out, config, may_change=MAY_CHANGE)
    prepared = prepare_examples(
        config.data,
        data_folder=data_folder,
        vocab_folder=vocab_folder,
        tokenizer=tokenizer,
        cache=out / "tokens",
        is_main=processes.is_main,
    )
    _log_examples(prepared)

    # The run goes on only on the same data and vocabulary, from the same model.
    lineage = build_lineage(config, prepared.inputs, prepared.counts)
    lineage["vocabulary"] = {"sha256": sha256_file(vocab_folder / "tokenizer.json")}
    if grow is not None:
        lineage["start"] = {"sha256": sha256_file(grow / "model.safetensors")}
    if processes.is_main:
        open_run(out, "pretraining", lineage)
    return _Job(config, _build_data(config, prepared, tokenizer), prepared.counts, lineage, build)


def _build_data(
    config: PretrainConfig, prepared: PreparedExamples, tokenizer: Tokenizer
) -> TrainingData:
    examples, seed = prepared.examples, config.train.seed
    ids = tokenizer.get_vocab()
    builder = BatchBuilder(
        examples,
        config.masking,
        special_ids=np.array(sorted(ids[token] for token in SPECIAL_TOKENS), np.int32),
        mask_id=ids["[MASK]"],
        vocab_size=len(ids),
        positions=config.data.positions,
        segments=config.data.segments,
    )
    split = split_examples(examples, num_validation=config.data.validation_examples, seed=seed)
    probs = group_probs(
        examples,
        smoothing_exponent=config.data.smoothing_exponent,
        tlm_share=config.data.tlm_share,
    )
    order = ExampleOrder(split.train, probs, batch_size=config.train.global_batch_size, seed=seed)
    return TrainingData(order, builder, ValidationSet(builder, split.validation, seed))


def _write_stage(job: _Job, out: Path, vocab_folder: Path, stage: Stage, model: MaskedLm) -> None:
    """Writes the BERT folder of a finished stage; that of the last is `model`."""
    config = job.config
    is_last = stage.last_step == config.train.train_steps
    state = model.state_dict()
    if config.model.pooler == "random":
        generator = torch.Generator().manual_seed(config.train.seed)
        width = model.config.hidden_size
        weight = torch.empty(width, width)
        weight.normal_(0.0, model.config.initializer_range, generator=generator)
        state |= {"bert.pooler.weight": weight, "bert.pooler.bias": torch.zeros(width)}
    write_bert_folder(
        out / ("model" if is_last else f"stage-{stage.num_layers}-layers"),
        BertFolder(model.config, state),
        files=vocabulary_files(vocab_folder),
        manifest={"step": stage.last_step, "seed": config.train.seed, **job.lineage},
    )


def _log_examples(prepared: PreparedExamples) -> None:
    counts, examples = prepared.counts, prepared.examples
    _LOGGER.info(
        "text: %s rows, %s blank or unknown, %s repeated; "
        "pairs: %s, %s blank or unknown, %s copies, %s cut%s",
        *(f"{number:,}" for number in list(asdict(counts).values())[:-1]),
        " (tokens of an earlier start)" if prepared.is_cached else "",
    )
    _LOGGER.info(
        "examples: %s of %s tokens in %d groups of objective and language",
        f"{counts.num_examples:,}",
        f"{len(examples.input_ids):,}",
        len(examples.group_names),
    )
