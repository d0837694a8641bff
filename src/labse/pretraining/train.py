"""The training loop of masked language modelling, top to bottom.

Source: Feng et al., arXiv 2007.01852, section 4.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cache, partial
from pathlib import Path

import torch
from torch.utils._pytree import register_dataclass

from labse.errors import InterruptedRunError, LabseError
from labse.network.heads import MlmLoss
from labse.pretraining.config import PretrainConfig, Stage, plan_stages
from labse.pretraining.gradients import (
    StepResult,
    TrainingData,
    add_gradients,
    autocast,
    iter_batches,
    validate,
)
from labse.pretraining.model import MaskedLm, build_model, stack_layers
from labse.runtime import seed_everything, stop_requests, warn_of_emulation
from labse.training import run_state
from labse.training.checkpoint import Checkpoint
from labse.training.distributed import SINGLE, Processes
from labse.training.metrics import OnMetrics, open_metrics
from labse.training.optimizer import (
    Lamb,
    build_optimizers,
    clip_gradients,
    linear_schedule,
    set_lr_share,
)
from labse.training.sharding import is_sharded, shard, whole_copy

__all__ = ["MAY_CHANGE", "Build", "FinishStage", "train"]

FinishStage = Callable[[Stage, MaskedLm], None]
Build = Callable[[int], MaskedLm]  # Of some layers.

# Keys that say what is written when, or how much is computed at once. With another micro-batch
# dropout draws other masks, as with another number of processes; all else stays the same.
MAY_CHANGE = (
    "train.log_every",
    "train.eval_every",
    "train.checkpoint_every",
    "train.micro_batch_size",
    "train.max_logits_bytes",
    "train.peak_tflops",
    "train.shard",
)
_ADVICE = "start anew in another --out with a lower train.lr"
_HISTORY = "metrics.history"  # Loss and accuracy of the steps since the last logged row.


def train(
    config: PretrainConfig,
    data: TrainingData,
    run_folder: Path,
    *,
    build: Build | None = None,
    finish_stage: FinishStage | None = None,
    on_metrics: OnMetrics | None = None,
    processes: Processes = SINGLE,
) -> MaskedLm:
    """Trains stage by stage, from the last checkpoint if there is one.

    An interrupted run that is resumed gives the bits of an uninterrupted one on the CPU: batches
    and masks are functions of (seed, step); weights, moments and the dropout generator are in the
    checkpoint. The end of a stage is a checkpoint; the next has twice the layers and an optimizer
    without moments, while the decay of the rate goes on.

    Args:
        run_folder: receives `checkpoints/` and `metrics.jsonl`; the caller has claimed it.
        build: makes the model of the first stage, of so many layers; None draws random weights.
        finish_stage: called with each finished stage and its model, once more after a stop there.
        on_metrics: called with each row of metrics.
        processes: that divide each batch; all call this with the same arguments, and the main one
            alone writes, validates, and finishes stages.

    Returns:
        The model of the last stage, in evaluation mode.

    Raises:
        InterruptedRunError: SIGTERM or SIGINT arrived; a checkpoint was written first.
        UsageError: `run_folder` holds a run of another configuration.
        LabseError: the loss, a gradient or a weight is not finite.
        ResourceError: a checkpoint cannot be written; the last good one is intact.
    """
    options = config.train
    seed_everything(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if config.train.precision == "bfloat16" and processes.is_main:
        warn_of_emulation(device.type, "--set 'train.precision=\"float32\"'")
    stages = plan_stages(config)
    run_folder.mkdir(parents=True, exist_ok=True)
    with stop_requests() as stop_requested:
        # Go on from the last checkpoint, if there is one.
        checkpoint = run_state.load_last(run_folder, config, processes, may_change=MAY_CHANGE)
        first_step = checkpoint.step if checkpoint else 0
        run_state.prune(run_folder, processes)
        record = open_metrics(
            run_folder / "metrics.jsonl", first_step, on_metrics, is_main=processes.is_main
        )
        build = build or partial(build_model, config)
        model = build(stages[0].num_layers)
        model.to(device)
        processes.seed_apart(options.seed)
        history: list[list[float]] = []  # Loss and accuracy of the steps since the last logged row.
        spent: list[tuple[float, StepResult]] = []  # Seconds, and what they were spent on.
        for stage in stages:
            # A stage begins with the layers of the one before, twice, and without moments.
            if stage.number > 1:
                model = _grow(model)
            if stage.last_step < first_step:
                continue
            processes.copy_from_main(model)
            if options.shard == "full":
                _shard(model, processes)
            optimizer = _build_optimizer(config, model)
            if checkpoint is not None:
                history = _restore(checkpoint, model, optimizer, processes)
                checkpoint = None

            steps = range(max(stage.first_step, first_step), stage.last_step)
            # Closed at once when the steps end early: a thread is at work in it.
            with closing(iter_batches(config, data, steps, processes)) as batches:
                for step in steps:
                    started = time.perf_counter()
                    done, is_last = step + 1, step + 1 == stage.last_step

                    # Set the rate, and load this rank's part of the batch.
                    lr_share = _lr_share(config, stage, step)
                    set_lr_share([optimizer], lr_share)
                    batch = next(batches)

                    # Add up the gradients of its micro-batches, then those of all ranks.
                    result = add_gradients(config, data.builder, model.train(), batch, processes)
                    processes.sum_gradients(model.parameters())

                    # Clip, and stop before anything that is not finite reaches the weights.
                    grad_norm = clip_gradients(model.parameters(), options.max_grad_norm, processes)
                    _check_finite(run_folder, done, result.loss, grad_norm)

                    # Apply.
                    optimizer.step()
                    optimizer.zero_grad()
                    history.append([result.loss, result.accuracy])
                    spent.append((time.perf_counter() - started, result))

                    # Once in a while: log.
                    if done % options.log_every == 0 or is_last:
                        row: dict[str, float] = {"step": done, "num_layers": stage.num_layers}
                        row |= {"lr": options.lr * lr_share, "grad_norm": grad_norm}
                        peak = (options.peak_tflops or 0.0) * processes.size
                        record(row | _means(history) | _speeds(spent, peak))
                        history.clear()
                        spent.clear()

                    # Once in a while: validate, on the main process.
                    if done % options.eval_every == 0 or is_last:
                        whole = _whole(model, processes)
                        scores = _validate(config, data, whole) if processes.is_main else {}
                        if scores:
                            record({"step": done, **scores})

                    # Once in a while, at the end of a stage and before a stop: save.
                    must_stop = processes.any(stop_requested.is_set())
                    if done % options.checkpoint_every == 0 or is_last or must_stop:
                        _save(run_folder, config, done, model, optimizer, history, processes)

                    # Stop when asked.
                    if must_stop and done < options.train_steps:
                        raise InterruptedRunError(
                            f"stopped at step {done} of {options.train_steps}; "
                            "the same command goes on"
                        )
            model = _whole(model, processes)
            if finish_stage and processes.is_main:
                finish_stage(stage, model)
    return model.eval()


# ---- Models ----


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


# ---- Rate and optimizer ----


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


# ---- Metrics ----


def _check_finite(run_folder: Path, step: int, loss: float, grad_norm: float) -> None:
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        raise LabseError(
            f"step {step}: the loss is {loss} and the norm of the gradient is {grad_norm}"
            f"{run_state.tell_last_checkpoint(run_folder)}; {_ADVICE}"
        )


def _means(history: Sequence[Sequence[float]]) -> dict[str, float]:
    losses, accuracies = zip(*history, strict=True)
    num_steps = len(history)
    return {"loss": math.fsum(losses) / num_steps, "accuracy": math.fsum(accuracies) / num_steps}


def _speeds(spent: Sequence[tuple[float, StepResult]], peak_tflops: float) -> dict[str, float]:
    seconds = math.fsum(seconds for seconds, _ in spent)
    tflops = math.fsum(result.flops for _, result in spent) / seconds / 1e12
    speeds = {
        "tokens_per_second": math.fsum(result.num_tokens for _, result in spent) / seconds,
        "tflops": tflops,
    }
    return speeds | ({"flops_utilisation": tflops / peak_tflops} if peak_tflops else {})


def _validate(config: PretrainConfig, data: TrainingData, model: MaskedLm) -> dict[str, float]:
    with autocast(config, model):
        return validate(model, data.held_out, micro_batch_size=config.train.micro_batch_size)


# ---- Checkpoints ----


def _save(
    run_folder: Path,
    config: PretrainConfig,
    step: int,
    model: MaskedLm,
    optimizer: torch.optim.Optimizer,
    history: Sequence[Sequence[float]],
    processes: Processes,
) -> None:
    run_state.save(
        run_folder,
        config,
        step,
        model,
        {"optimizer": optimizer},
        {_HISTORY: torch.tensor(list(history), dtype=torch.float64).reshape(-1, 2)},
        processes,
        advice=_ADVICE,
    )


def _restore(
    checkpoint: Checkpoint,
    model: MaskedLm,
    optimizer: torch.optim.Optimizer,
    processes: Processes,
) -> list[list[float]]:
    """Puts a checkpoint into model, optimizer and generators; returns the history."""
    expected: dict[str, torch.Size | None] = {_HISTORY: None}
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for number, weight in enumerate(weights):
        for moment in ("exp_avg", "exp_avg_sq"):
            expected[f"optimizer.{number}.{moment}"] = weight.shape
    run_state.restore(checkpoint, model, {"optimizer": optimizer}, processes, more=expected)
    history: list[list[float]] = checkpoint.tensors[_HISTORY].tolist()
    return history
