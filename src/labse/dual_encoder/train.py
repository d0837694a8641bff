"""The training loop of the dual encoder, top to bottom."""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

import torch

from labse.dual_encoder.char_ngrams import fold_char_ngrams
from labse.dual_encoder.config import RunConfig, TrainConfig
from labse.dual_encoder.data.batch import Batches
from labse.dual_encoder.divergence import check_finite, warn_of_collapse
from labse.dual_encoder.gradients import add_gradients
from labse.dual_encoder.rounded_rows import set_rounding
from labse.dual_encoder.run_state import RunState, load_run_state, load_weights, save_run_state
from labse.errors import InterruptedRunError, UsageError
from labse.files.atomic import write_json
from labse.network.config import DualEncoderConfig
from labse.network.dual_encoder import DualEncoder
from labse.runtime import seed_everything, stop_requests, warn_of_emulation
from labse.training.checkpoint import Best, WeightSum, averaged_steps
from labse.training.distributed import SINGLE, Processes
from labse.training.metrics import OnMetrics, open_metrics
from labse.training.optimizer import (
    build_optimizers,
    clip_gradients,
    linear_schedule,
    set_lr_share,
    settle,
)
from labse.training.sharding import shard, whole_copy

__all__ = ["Build", "Evaluate", "train"]

Evaluate = Callable[[DualEncoder], Mapping[str, float]]


class Build(Protocol):
    """Makes the model at step 0; `DualEncoder` itself draws random weights."""

    def __call__(self, config: DualEncoderConfig, *, sparse_embeddings: bool) -> DualEncoder:
        """Returns a model of the shape of `config`."""
        ...


def train(
    config: RunConfig,
    batches: Batches,
    run_folder: Path,
    *,
    build: Build | None = None,
    evaluate: Evaluate | None = None,
    on_metrics: OnMetrics | None = None,
    processes: Processes = SINGLE,
) -> DualEncoder:
    """Trains a dual encoder by translation ranking, from the last checkpoint if there is one.

    An interrupted run that is resumed gives the bits of an uninterrupted one on the CPU (CUDA adds
    gradients in any order): batches are functions of (seed, step), and weights, moments and the
    dropout generator are in the checkpoint.

    Args:
        config: the run; all that an update depends on must be as in the checkpoint.
        batches: the training data.
        run_folder: receives `checkpoints/` and `metrics.jsonl`; the caller has claimed it.
        build: makes the model that the first step finds; None draws random weights.
        evaluate: called every `eval_every` steps with the model as it trains, which may hold
            n-grams that are not in its table yet; its numbers join the metrics.
        on_metrics: called with each row of metrics, for a console line or a progress bar.
        processes: the processes that share each batch. All call this with the same arguments; the
            main one alone writes, evaluates and calls `on_metrics`.

    Returns:
        The trained model, in evaluation mode: the last, the best (its step is in `best.json`) or
        the mean of some, as the configuration says; n-grams are folded into its table.

    Raises:
        InterruptedRunError: SIGTERM or SIGINT arrived; a checkpoint was written first.
        UsageError: `run_folder` holds a run of another configuration, or the best is asked for and
            nothing, or not that measure, is evaluated.
        LabseError: the loss, a gradient or a weight is not finite.
    """
    options = config.train
    if options.keep_best and evaluate is None:
        raise UsageError("train.keep_best needs evaluations: give --evaluate, or leave it out")

    # The model, alike on all processes, and its optimizers.
    seed_everything(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if options.precision == "bfloat16" and processes.is_main:
        warn_of_emulation(device.type, "--set 'train.precision=\"float32\"'")
    model = (build or DualEncoder)(config.model, sparse_embeddings=options.sparse_embeddings)
    model.bert.embeddings.word.weight.requires_grad_(options.embedding_lr > 0)
    model.to(device)
    processes.copy_from_main(model)
    processes.seed_apart(options.seed)
    _shard(config, model, processes)
    optimizers = build_optimizers(
        model,
        lr=options.lr,
        embedding_lr=options.embedding_lr,
        weight_decay=options.weight_decay,
        eps=options.adam_eps,
        embedding_optimizer=options.embedding_optimizer,
    )
    averaged = averaged_steps(
        options.average_checkpoints,
        checkpoint_every=options.checkpoint_every,
        train_steps=options.train_steps,
    )

    run_folder.mkdir(parents=True, exist_ok=True)
    with stop_requests() as stop_requested:
        # Where the last checkpoint stands, if there is one. Losses, false negatives and seconds are
        # those of the steps since the last row of metrics.
        state = load_run_state(run_folder, config, model, optimizers, processes)
        best, weight_sum = state.best, WeightSum(state.weight_sums)
        losses, false_negatives = list(state.losses), list(state.false_negatives)
        seconds: list[float] = []
        record = open_metrics(
            run_folder / "metrics.jsonl",
            state.step,
            _warn_once(on_metrics),
            is_main=processes.is_main,
        )
        model.train()

        for step in range(state.step, options.train_steps):
            # A run whose evaluations have not got better for long is over, also when it is resumed.
            if _is_out_of_patience(best, options):
                break
            started = time.perf_counter()
            done = step + 1
            is_last = done == options.train_steps

            # The learning rates of this step.
            lr_share = linear_schedule(
                step, warmup_steps=options.warmup_steps, train_steps=options.train_steps
            )
            set_lr_share(optimizers, lr_share)
            set_rounding(model, is_on=_is_rounded(step, options))

            # Its batch: ids, hard negatives and teacher vectors.
            batch = batches.load(step)

            # Gradients of the loss, summed over the processes and clipped.
            result = add_gradients(model, batch, options, config.distill, processes)
            processes.sum_gradients(model.parameters())
            grad_norm = clip_gradients(model.parameters(), options.max_grad_norm, processes)

            # What is not finite must not reach the weights.
            loss = result.loss.item()
            check_finite(run_folder, done, loss, grad_norm, batches.pairs, batch.sides)

            # The update.
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            losses.append(loss)
            false_negatives.append(int(result.num_false_negatives))
            seconds.append(time.perf_counter() - started)

            # Once in a while: log the means of the steps since the last row.
            if done % options.log_every == 0 or is_last:
                row = {"step": done, "lr": options.lr * lr_share, "grad_norm": grad_norm}
                p_at_1 = result.in_batch_p_at_1(options.logit_block_bytes)
                row["in_batch_p_at_1"] = processes.add([p_at_1])[0] / processes.size
                row["mean_cosine"] = result.mean_cosine
                row["distinct_pairs"] = batch.num_distinct
                row["loss"] = math.fsum(losses) / len(losses)
                row["pairs_per_second"] = options.global_batch_size * len(seconds) / sum(seconds)
                row["false_negatives"] = sum(false_negatives) / len(false_negatives)
                record(row)
                losses.clear()
                false_negatives.clear()
                seconds.clear()

            # Evaluate, and remember the best.
            if evaluate and (done % options.eval_every == 0 or is_last):
                scores = _evaluate(evaluate, model, processes)
                record({"step": done, **scores})
                best = _best_after(best, done, scores, options)

            # Add up the weights of which the run returns the mean.
            if done in averaged:
                settle(optimizers)
                weight_sum.add(model)

            # Save, and stop when asked.
            is_over = is_last or _is_out_of_patience(best, options)
            must_stop = processes.any(stop_requested.is_set())
            is_due = done % options.checkpoint_every == 0 or done == best.step
            if is_due or is_over or must_stop:
                state = RunState(done, losses, false_negatives, best, weight_sum.tensors)
                save_run_state(run_folder, config, model, optimizers, state, processes)
            if must_stop and not is_over:
                raise InterruptedRunError(
                    f"stopped at step {done} of {options.train_steps}; the same command goes on"
                )

        # The weights of the best evaluation, where it is kept.
        if best.step:
            processes.wait()  # Until the main one has written it.
            load_weights(run_folder, best.step, model, optimizers)
            write_json(run_folder / "best.json", {"step": best.step, "score": best.score})

    # The whole model, with all that training kept beside its weights written into them.
    settle(optimizers)
    model = whole_copy(model, partial(DualEncoder, model.config), processes)
    if averaged:
        model.load_state_dict(weight_sum.mean(len(averaged)))
    set_rounding(model, is_on=False)
    fold_char_ngrams(model)
    return model.eval()


def _is_rounded(step: int, options: TrainConfig) -> bool:
    return options.round_rows_after is not None and step >= options.round_rows_after


def _shard(config: RunConfig, model: DualEncoder, processes: Processes) -> None:
    if config.train.shard == "none":
        return
    if processes.size == 1:
        raise UsageError("train.shard full needs several processes; start them by torchrun")
    if not len(model.bert.layers):
        raise UsageError("train.shard full cuts layers, and the model has none; leave it out")
    if config.data.hard_negatives:
        raise UsageError("train.shard full needs data.hard_negatives = 0; their shares differ")
    shard(model, model.bert.layers, processes)


def _evaluate(evaluate: Evaluate, model: DualEncoder, processes: Processes) -> dict[str, float]:
    """Returns the scores on all processes; the main one evaluates.

    Whatever that draws, the dropout of the next step is the same.
    """
    model = whole_copy(model, partial(DualEncoder, model.config), processes)
    if not processes.is_main:
        return processes.from_main(None)
    device = next(model.parameters()).device
    model.eval()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        scores = dict(evaluate(model))
    model.train()
    return processes.from_main(scores)


def _best_after(best: Best, step: int, scores: Mapping[str, float], options: TrainConfig) -> Best:
    if not options.keep_best:
        return best
    name = options.best_by or next(iter(scores), "")
    if name not in scores:
        raise UsageError(
            f"train.best_by: an evaluation gives no {name or 'measure'!r}; "
            f"it gives {', '.join(scores) or 'nothing'}"
        )
    return best.after(step, scores[name])


def _is_out_of_patience(best: Best, options: TrainConfig) -> bool:
    return options.patience is not None and best.num_since >= options.patience


def _warn_once(on_metrics: OnMetrics | None) -> OnMetrics:
    """Returns a callback that also warns of the first row whose vectors are all alike."""
    is_warned = False

    def warn(row: Mapping[str, float]) -> None:
        nonlocal is_warned
        is_warned = is_warned or warn_of_collapse(row)
        if on_metrics:
            on_metrics(row)

    return warn
