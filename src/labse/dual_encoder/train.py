"""The training loop of the dual encoder, top to bottom."""

import itertools
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

import torch

from labse.dual_encoder.char_ngrams import fold_char_ngrams
from labse.dual_encoder.config import RunConfig, TrainConfig
from labse.dual_encoder.data.extras import ExtraSources
from labse.dual_encoder.data.pairs import TokenizedPairs
from labse.dual_encoder.data.sampler import PairSampler
from labse.dual_encoder.divergence import check_finite, warn_of_collapse
from labse.dual_encoder.gradients import add_gradients
from labse.dual_encoder.run_state import RunState, load_run_state, load_weights, save_run_state
from labse.errors import InterruptedRunError, UsageError
from labse.files.atomic import write_json
from labse.network.config import DualEncoderConfig
from labse.network.dual_encoder import DualEncoder
from labse.runtime import seed_everything, stop_requests
from labse.training.checkpoint import Best, WeightSum, averaged_steps
from labse.training.distributed import SINGLE, Processes
from labse.training.metrics import append_metrics, truncate_metrics
from labse.training.optimizer import (
    build_optimizers,
    clip_gradients,
    linear_schedule,
    set_lr_share,
    settle,
)
from labse.training.sharding import shard, whole_copy

__all__ = ["Build", "Evaluate", "Report", "train"]

Evaluate = Callable[[DualEncoder], Mapping[str, float]]
Report = Callable[[Mapping[str, float]], None]


class Build(Protocol):
    """Makes the model at step 0; `DualEncoder` itself draws random weights."""

    def __call__(self, config: DualEncoderConfig, *, sparse_embeddings: bool) -> DualEncoder:
        """Returns a model of the shape of `config`."""
        ...


def train(
    config: RunConfig,
    pairs: TokenizedPairs,
    run_folder: Path,
    *,
    extra_sources: ExtraSources | None = None,
    build: Build | None = None,
    evaluate: Evaluate | None = None,
    report: Report | None = None,
    processes: Processes = SINGLE,
) -> DualEncoder:
    """Trains a dual encoder by translation ranking, from the last checkpoint if there is one.

    An interrupted run that is resumed gives the bits of an uninterrupted one on the CPU (CUDA adds
    gradients in any order): batches are functions of (seed, step), and weights, moments and the
    dropout generator are in the checkpoint.

    Args:
        config: the run; all that an update depends on must be as in the checkpoint.
        pairs: the training data, tokenised.
        run_folder: receives `checkpoints/` and `metrics.jsonl`; the caller has claimed it.
        extra_sources: hard negatives and the teacher's vectors; None where there are none.
        build: makes the model that the first step finds; None draws random weights.
        evaluate: called every `eval_every` steps with the model as it trains, which may hold
            n-grams that are not in its table yet; its numbers join the metrics.
        report: called with each row of metrics, for a console line or a progress bar.
        processes: that share each batch; all call this with the same arguments, and the main one
            alone writes, evaluates and reports.

    Returns:
        The trained model, in evaluation mode: the last, the best (its step is in `best.json`) or
        the mean of some, as the configuration says; n-grams are folded into its table.

    Raises:
        InterruptedRunError: SIGTERM or SIGINT arrived; a checkpoint was written first.
        UsageError: `run_folder` holds a run of another configuration, or the best is asked for and
            nothing, or not that measure, is evaluated.
        LabseError: the loss, a gradient or a weight is not a number, or there are too few pairs.
    """
    options = config.train
    extra_sources = extra_sources or ExtraSources()
    _check_evaluate(options, evaluate)

    # ---- Model, optimizers, data ----
    seed_everything(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = (build or DualEncoder)(config.model, sparse_embeddings=options.sparse_embeddings)
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
    sampler = PairSampler(
        pairs, config.data, batch_size=options.global_batch_size, seed=options.seed
    )

    averaged = averaged_steps(
        options.average_checkpoints,
        checkpoint_every=options.checkpoint_every,
        train_steps=options.train_steps,
    )

    # ---- Loop, from the last checkpoint if there is one ----
    run_folder.mkdir(parents=True, exist_ok=True)
    metrics_path = run_folder / "metrics.jsonl"
    with stop_requests() as stop_requested:
        state = load_run_state(run_folder, config, model, optimizers, processes)
        best, weight_sum = state.best, WeightSum(state.weight_sums)
        first_step, losses = state.step, list(state.losses)
        false_negatives = list(state.false_negatives)
        record = _open_record(metrics_path, first_step, report, processes)
        seconds: list[float] = []  # Of the steps since the last logged row, as `losses`.
        model.train()
        steps = range(first_step, options.train_steps)
        # Asked before each step, of what is best by then.
        for step in itertools.takewhile(lambda _: not _is_over(best, options), steps):  # noqa: B023
            started = time.perf_counter()
            done = step + 1
            is_last = done == options.train_steps
            lr_share = linear_schedule(
                step, warmup_steps=options.warmup_steps, train_steps=options.train_steps
            )
            set_lr_share(optimizers, lr_share)

            batch_B2 = sampler.batch(step)
            sentences = pairs.gather(batch_B2.T.reshape(-1))
            extras = extra_sources.of_batch(step, sentences, config, device)
            batch = add_gradients(model, pairs, batch_B2, options, extras, processes)
            processes.sum_gradients(model.parameters())
            grad_norm = clip_gradients(model.parameters(), options.max_grad_norm, processes)
            losses.append(batch.loss.item())
            false_negatives.append(int(batch.num_false_negatives))
            check_finite(run_folder, done, (losses[-1], grad_norm), pairs, sampler.cells(step))
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            seconds.append(time.perf_counter() - started)

            # ---- What is due after this update ----
            if done % options.log_every == 0 or is_last:
                row = {"step": done, "lr": options.lr * lr_share, "grad_norm": grad_norm}
                p_at_1 = batch.in_batch_p_at_1(options.logit_block_bytes)
                row["in_batch_p_at_1"] = processes.add([p_at_1])[0] / processes.size
                row["mean_cosine"] = batch.mean_cosine
                row["loss"] = math.fsum(losses) / len(losses)
                row["pairs_per_second"] = options.global_batch_size * len(seconds) / sum(seconds)
                row["false_negatives"] = sum(false_negatives) / len(false_negatives)
                record(row)
                losses.clear()
                false_negatives.clear()
                seconds.clear()
            if evaluate and (done % options.eval_every == 0 or is_last):
                scores = _scores(evaluate, model, processes)
                record({"step": done, **scores})
                best = _best_after(best, done, scores, options)
            if done in averaged:
                settle(optimizers)
                weight_sum.add(model)
            is_best = done == best.step
            is_over = _is_over(best, options)
            is_due = done % options.checkpoint_every == 0 or is_last
            must_stop = processes.any(stop_requested.is_set())
            if is_due or is_best or is_over or must_stop:
                state = RunState(done, losses, false_negatives, best, weight_sum.tensors)
                save_run_state(run_folder, config, model, optimizers, state, processes)
            if must_stop and not (is_last or is_over):
                raise InterruptedRunError(
                    f"stopped at step {done} of {options.train_steps}; the same command goes on"
                )
        if best.step:
            processes.wait()  # Until the main one has written it.
            load_weights(run_folder, best.step, model, optimizers)
            write_json(run_folder / "best.json", {"step": best.step, "score": best.score})
    settle(optimizers)
    model = _whole(model, processes)
    if averaged:
        model.load_state_dict(weight_sum.mean(len(averaged)))
    fold_char_ngrams(model)
    return model.eval()


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


def _whole(model: DualEncoder, processes: Processes) -> DualEncoder:
    return whole_copy(model, partial(DualEncoder, model.config), processes)


def _check_evaluate(options: TrainConfig, evaluate: Evaluate | None) -> None:
    if options.keep_best and evaluate is None:
        raise UsageError("train.keep_best needs evaluations: give --evaluate, or leave it out")


def _scores(evaluate: Evaluate, model: DualEncoder, processes: Processes) -> dict[str, float]:
    """Evaluates on the main process; whatever that draws, the dropout of the next step is the same.

    Returns the scores on all.
    """
    model = _whole(model, processes)
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


def _is_over(best: Best, options: TrainConfig) -> bool:
    return options.patience is not None and best.num_since >= options.patience


def _open_record(path: Path, step: int, report: Report | None, processes: Processes) -> Report:
    """Returns what takes the rows of metrics after `step`; those of the main process are kept."""
    if not processes.is_main:
        return lambda row: None
    truncate_metrics(path, step)
    is_warned = False

    def record(row: Mapping[str, float]) -> None:
        nonlocal is_warned
        is_warned = is_warned or warn_of_collapse(row)
        append_metrics(path, row)
        if report:
            report(row)

    return record
