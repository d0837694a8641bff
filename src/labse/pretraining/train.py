"""The training loop of masked language modelling, top to bottom.

Source: Feng et al., arXiv 2007.01852, section 4.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from threading import Event

import torch
from torch.utils._pytree import register_dataclass

from labse.errors import InterruptedRunError, LabseError, UsageError
from labse.network.heads import MlmLoss
from labse.pretraining.config import PretrainConfig
from labse.pretraining.gradients import (
    Share,
    TrainingData,
    autocast,
    iter_shares,
    update_gradients,
)
from labse.pretraining.model import MaskedLm
from labse.pretraining.run_state import load_checkpoint, restore_state, save_state
from labse.pretraining.stacking import stack_layers
from labse.pretraining.stages import Stage, plan_stages
from labse.pretraining.validation import validate
from labse.runtime import seed_everything, stop_requests
from labse.training.distributed import SINGLE, Processes
from labse.training.metrics import append_metrics, truncate_metrics
from labse.training.optimizer import (
    Lamb,
    build_optimizers,
    clip_gradients,
    linear_schedule,
    set_lr_share,
)
from labse.training.sharding import is_sharded, shard, whole_copy

__all__ = ["FinishStage", "Report", "check_sharding", "train"]

Report = Callable[[Mapping[str, float]], None]
FinishStage = Callable[[Stage, MaskedLm], None]
Build = Callable[[Stage], MaskedLm]


@dataclass(slots=True)
class _Run:
    """What the stages of a run share."""

    config: PretrainConfig
    data: TrainingData
    folder: Path
    stop_requested: Event
    report: Report | None
    processes: Processes
    history: list[list[float]] = field(default_factory=list)  # Loss and accuracy, to be logged.
    spent: list[tuple[float, int, float]] = field(default_factory=list)  # Seconds, tokens, FLOPs.


def train(
    config: PretrainConfig,
    data: TrainingData,
    run_folder: Path,
    *,
    build: Build | None = None,
    finish_stage: FinishStage | None = None,
    report: Report | None = None,
    processes: Processes = SINGLE,
) -> MaskedLm:
    """Trains stage by stage, from the last checkpoint if there is one.

    An interrupted run that is resumed gives the bits of an uninterrupted one on the CPU: batches
    and masks are functions of (seed, step); weights, moments and the dropout generator are in the
    checkpoint. The end of a stage is a checkpoint; the next has twice the layers and an optimizer
    without moments, while the decay of the rate goes on.

    Args:
        config: the run.
        data: examples.
        run_folder: receives `checkpoints/` and `metrics.jsonl`; the caller has claimed it.
        build: makes the model of the first stage; None draws random weights.
        finish_stage: called with each finished stage and its model, once more after a stop there.
        report: called with each row of metrics.
        processes: that share each batch; all call this with the same arguments, and the main one
            alone writes, validates, reports and finishes stages.

    Returns:
        The model of the last stage, in evaluation mode.

    Raises:
        InterruptedRunError: SIGTERM or SIGINT arrived; a checkpoint was written first.
        UsageError: `run_folder` holds a run of another configuration.
        LabseError: the loss or a gradient is not a number.
        ResourceError: a checkpoint cannot be written; the last good one is intact.
    """
    check_sharding(config, processes)
    seed_everything(config.train.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    stages = plan_stages(config)
    run_folder.mkdir(parents=True, exist_ok=True)
    with stop_requests() as stop_requested:
        checkpoint = load_checkpoint(run_folder, config)
        processes.check_alike("last checkpoint", checkpoint.step if checkpoint else 0)
        if processes.is_main:
            truncate_metrics(run_folder / "metrics.jsonl", checkpoint.step if checkpoint else 0)
        run = _Run(config, data, run_folder, stop_requested, report, processes)
        model = (build or _build_random(config))(stages[0]).to(device)
        processes.seed_apart(config.train.seed)
        for stage in stages:
            if stage.number > 1:
                model = _grow(model)
            if checkpoint and stage.last_step < checkpoint.step:
                continue
            processes.copy_from_main(model)
            if config.train.shard == "full":
                _shard(model, processes)
            optimizer, step = _build_optimizer(config, model), stage.first_step
            if checkpoint:
                run.history = restore_state(checkpoint, model, optimizer, processes)
                step, checkpoint = checkpoint.step, None
            steps = range(step, stage.last_step)
            # Closed at once when the steps end early: a thread is at work in it.
            with closing(iter_shares(config, data, steps, processes)) as shares:
                for step in steps:
                    _take_step(run, stage, step, shares, model.train(), optimizer)
            model = _whole(model, processes)
            if finish_stage and processes.is_main:
                finish_stage(stage, model)
    return model.eval()


def _take_step(
    run: _Run,
    stage: Stage,
    step: int,
    shares: Iterator[Share],
    model: MaskedLm,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Makes one update of a stage, and what is due after it."""
    options = run.config.train
    started = time.perf_counter()
    done, is_last = step + 1, step + 1 == stage.last_step
    lr_share = _lr_share(run.config, stage, step)
    set_lr_share([optimizer], lr_share)

    share = next(shares)
    update = update_gradients(run.config, run.data.builder, model, share, run.processes)
    run.processes.sum_gradients(model.parameters())
    grad_norm = clip_gradients(model.parameters(), options.max_grad_norm, run.processes)
    _check_finite(done, update.loss, grad_norm)
    optimizer.step()
    optimizer.zero_grad()
    run.history.append([update.loss, update.accuracy])
    run.spent.append((time.perf_counter() - started, update.num_tokens, update.flops))

    # ---- What is due after this update ----
    if done % options.log_every == 0 or is_last:
        row = {"step": done, "num_layers": stage.num_layers, "lr": options.lr * lr_share}
        _record(run, row | {"grad_norm": grad_norm} | _summarise(run))
    if done % options.eval_every == 0 or is_last:
        _validate(run, done, _whole(model, run.processes))
    must_stop = run.processes.any(run.stop_requested.is_set())
    if done % options.checkpoint_every == 0 or is_last or must_stop:
        history = run.history
        save_state(run.folder, run.config, done, model, optimizer, history, run.processes)
    if must_stop and done < options.train_steps:
        raise InterruptedRunError(
            f"stopped at step {done} of {options.train_steps}; the same command goes on"
        )


def _validate(run: _Run, step: int, model: MaskedLm) -> None:
    if not run.processes.is_main:
        return
    with autocast(run.config, model):
        size = run.config.train.micro_batch_size
        scores = validate(model, run.data.held_out, micro_batch_size=size)
    if scores:
        _record(run, {"step": step, **scores})


def check_sharding(config: PretrainConfig, processes: Processes) -> None:
    """Tells that the weights of one process cannot be cut.

    Raises:
        UsageError: they should be.
    """
    if config.train.shard == "full" and processes.size == 1:
        raise UsageError("train.shard full needs several processes; start them by torchrun")


def _shard(model: MaskedLm, processes: Processes) -> None:
    _show_loss_to_fsdp()
    shard(model, model.bert.layers, processes)


@cache
def _show_loss_to_fsdp() -> None:
    """Registers `MlmLoss`: FSDP looks for where backward begins in what torch can look into."""
    register_dataclass(MlmLoss)


def _whole(model: MaskedLm, processes: Processes) -> MaskedLm:
    return whole_copy(model, partial(_build_like, model), processes)


def _grow(model: MaskedLm) -> MaskedLm:
    """Stacks the layers; where they are cut, the main process has them whole and copies them."""
    if is_sharded(model):
        with torch.random.fork_rng([]):
            model = _build_like(model).to(model.device)
    return stack_layers(model)


def _build_like(model: MaskedLm) -> MaskedLm:
    return MaskedLm(model.config, max_logits_bytes=model.head.max_logits_bytes)


def _build_random(config: PretrainConfig) -> Build:
    def build(stage: Stage) -> MaskedLm:
        bert = config.model.bert.model_copy(update={"num_hidden_layers": stage.num_layers})
        return MaskedLm(bert, max_logits_bytes=config.train.max_logits_bytes)

    return build


def _build_optimizer(config: PretrainConfig, model: MaskedLm) -> torch.optim.Optimizer:
    options = config.train
    (optimizer,) = build_optimizers(
        model,
        lr=options.lr,
        embedding_lr=options.lr,
        weight_decay=options.weight_decay,
        eps=options.adam_eps,
    )
    if options.optimizer == "lamb":
        keys = ("params", "weight_decay", "initial_lr")
        groups = [{key: group[key] for key in keys} for group in optimizer.param_groups]
        return Lamb(groups, lr=options.lr, eps=options.adam_eps)
    return optimizer


def _lr_share(config: PretrainConfig, stage: Stage, step: int) -> float:
    options = config.train
    share = linear_schedule(
        step, warmup_steps=options.warmup_steps, train_steps=options.train_steps
    )
    if stage.number > 1:
        share *= min(1.0, (step - stage.first_step + 1) / max(1, options.stage_warmup_steps))
    return share


def _check_finite(step: int, loss: float, grad_norm: float) -> None:
    """Stops a run before numbers that are none reach its weights and checkpoints."""
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        raise LabseError(
            f"step {step}: the loss is {loss} and the norm of the gradient is {grad_norm}; "
            "checkpoints before it are intact; start anew in another --out with a lower train.lr"
        )


def _summarise(run: _Run) -> dict[str, float]:
    """Returns the means since the last row, and forgets them."""
    losses, accuracies = zip(*run.history, strict=True)
    row = {"loss": math.fsum(losses) / len(losses), "accuracy": math.fsum(accuracies) / len(losses)}
    seconds, tokens, flops = (math.fsum(column) for column in zip(*run.spent, strict=True))
    row["tokens_per_second"] = tokens / seconds
    row["tflops"] = flops / seconds / 1e12
    if run.config.train.peak_tflops:
        peak = run.config.train.peak_tflops * run.processes.size
        row["flops_utilisation"] = row["tflops"] / peak
    run.history.clear()
    run.spent.clear()
    return row


def _record(run: _Run, row: Mapping[str, float]) -> None:
    if not run.processes.is_main:
        return
    append_metrics(run.folder / "metrics.jsonl", row)
    if run.report:
        run.report(row)
