"""The training loop of the dual encoder, top to bottom.

Dimensions: B pairs of a batch, T tokens, S tokens of the longest sentence, D embedding.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labse.dual_encoder.bag import embed_bags, is_bag
from labse.dual_encoder.batches import PairSampler
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.loss import additive_margin_softmax
from labse.dual_encoder.model import DualEncoder
from labse.dual_encoder.pairs import TokenizedPairs
from labse.errors import InterruptedRunError, LabseError, UsageError
from labse.runtime import seed_everything
from labse.training.checkpoint import (
    Checkpoint,
    latest_checkpoint,
    load_optimizer_tensors,
    optimizer_tensors,
    save_checkpoint,
)
from labse.training.metrics import append_metrics, truncate_metrics
from labse.training.optimizer import build_optimizers, clip_gradients, set_lr_share
from labse.training.schedule import linear_schedule

__all__ = ["Evaluate", "Report", "train"]

Evaluate = Callable[[DualEncoder], Mapping[str, float]]
Report = Callable[[Mapping[str, float]], None]


def train(
    config: RunConfig,
    pairs: TokenizedPairs,
    run_folder: Path,
    *,
    evaluate: Evaluate | None = None,
    report: Report | None = None,
) -> DualEncoder:
    """Trains a dual encoder by translation ranking, from the last checkpoint if there is one.

    An interrupted run that is resumed gives the bits of an uninterrupted one: batches are functions
    of (seed, step), and weights, moments and the dropout generator are in the checkpoint.

    Args:
        config: the run; the same as the checkpoint's, or the run is refused.
        pairs: the training data, tokenised.
        run_folder: receives `checkpoints/` and `metrics.jsonl`.
        evaluate: called every `eval_every` steps; its numbers join the metrics.
        report: called with each row of metrics, for a console line or a progress bar.

    Returns:
        The trained model, in evaluation mode.

    Raises:
        InterruptedRunError: SIGTERM or SIGINT arrived; a checkpoint was written first.
        UsageError: the checkpoint in `run_folder` is of another configuration.
        LabseError: the loss is not a number, or there are too few pairs.
    """
    options = config.train

    # ---- Model, optimizers, data ----
    seed_everything(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = DualEncoder(config.model, sparse_embeddings=options.sparse_embeddings).to(device)
    optimizers = build_optimizers(
        model,
        lr=options.lr,
        embedding_lr=options.embedding_lr,
        weight_decay=options.weight_decay,
        eps=options.adam_eps,
    )
    sampler = PairSampler(
        pairs,
        batch_size=options.global_batch_size,
        smoothing_exponent=config.data.smoothing_exponent,
        corpus_exponent=config.data.corpus_exponent,
        seed=options.seed,
    )

    # ---- Resume ----
    run_folder.mkdir(parents=True, exist_ok=True)
    metrics_path = run_folder / "metrics.jsonl"
    first_step = _resume(run_folder, config, model, optimizers)
    truncate_metrics(metrics_path, first_step)

    # ---- Loop ----
    model.train()
    window = _Window()
    with _stop_requests() as stop_requested:
        for step in range(first_step, options.train_steps):
            lr_share = linear_schedule(
                step, lr=1.0, warmup_steps=options.warmup_steps, train_steps=options.train_steps
            )
            set_lr_share(optimizers, lr_share)

            source_BD, target_BD = _embed(model, pairs, sampler.batch(step), options.precision)
            loss = additive_margin_softmax(
                source_BD,
                target_BD,
                logit_scale=options.logit_scale,
                logit_margin=options.logit_margin,
            )
            if not math.isfinite(loss.item()):
                raise LabseError(
                    f"step {step}: the loss is {loss.item()}; lower train.lr or "
                    f"train.embedding_lr; the last checkpoint is in {run_folder}"
                )
            loss.backward()  # type: ignore[no-untyped-call]
            grad_norm = clip_gradients(model.parameters(), options.max_grad_norm)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            window.add(loss.item(), options.global_batch_size)

            # ---- What is due after this update ----
            done = step + 1
            is_last = done == options.train_steps
            if done % options.log_every == 0 or is_last:
                row = {"step": done, "lr": options.lr * lr_share, "grad_norm": grad_norm}
                row["in_batch_p_at_1"] = _in_batch_p_at_1(source_BD, target_BD)
                _record(metrics_path, row | window.take(), report)
            if evaluate and (done % options.eval_every == 0 or is_last):
                model.eval()
                _record(metrics_path, {"step": done, **evaluate(model)}, report)
                model.train()
                window.restart_clock()
            if done % options.checkpoint_every == 0 or is_last or stop_requested.is_set():
                _save(run_folder, config, model, optimizers, done)
            if stop_requested.is_set() and not is_last:
                raise InterruptedRunError(
                    f"stopped at step {done} of {options.train_steps}; the same command goes on"
                )
    return model.eval()


def pad(input_ids: NDArray[np.int32], lengths: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Lays flat ids (T,) out as rows: ids (B, S) padded with 0, and the mask (B, S)."""
    mask_BS = np.arange(lengths.max())[None, :] < lengths[:, None]
    input_ids_BS = np.zeros(mask_BS.shape, dtype=np.int64)
    input_ids_BS[mask_BS] = input_ids
    return torch.from_numpy(input_ids_BS), torch.from_numpy(mask_BS)


def _embed(
    model: DualEncoder, pairs: TokenizedPairs, batch: NDArray[np.int32], precision: str
) -> tuple[Tensor, Tensor]:
    """Returns source and target vectors, (B, D) each, of a batch (B, 2) of sentence numbers."""
    # Both sides go through the shared encoder at once: sources, then targets.
    input_ids_T, lengths = pairs.gather(batch.T.reshape(-1))
    device = model.bert.embeddings.word.weight.device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        if is_bag(model):
            embeddings = embed_bags(model, input_ids_T, lengths)
        else:
            input_ids_BS, mask_BS = pad(input_ids_T, lengths)
            embeddings = model(input_ids_BS.to(device), mask_BS.to(device))
    source_BD, target_BD = embeddings.chunk(2)
    return source_BD, target_BD


@torch.no_grad()
def _in_batch_p_at_1(source_BD: Tensor, target_BD: Tensor) -> float:
    """Returns the share of sources whose translation is the nearest target of the batch."""
    nearest = (source_BD @ target_BD.T).argmax(1)
    labels = torch.arange(len(source_BD), device=source_BD.device)
    return (nearest == labels).float().mean().item()


class _Window:
    """Means since the last logged row."""

    def __init__(self) -> None:
        self._loss = 0.0
        self._steps = 0
        self._pairs = 0
        self._seconds = 0.0
        self._last = time.perf_counter()

    def add(self, loss: float, num_pairs: int) -> None:
        now = time.perf_counter()
        self._seconds += now - self._last
        self._last = now
        self._loss += loss
        self._steps += 1
        self._pairs += num_pairs

    def restart_clock(self) -> None:
        """Leaves out the time since the last `add`, spent on something else than training."""
        self._last = time.perf_counter()

    def take(self) -> dict[str, float]:
        """Returns the means and starts anew."""
        means = {
            "loss": self._loss / self._steps,
            "pairs_per_second": self._pairs / self._seconds,
        }
        self._loss = self._seconds = 0.0
        self._steps = self._pairs = 0
        return means


def _record(path: Path, row: Mapping[str, float], report: Report | None) -> None:
    append_metrics(path, row)
    if report:
        report(row)


def _save(
    run_folder: Path,
    config: RunConfig,
    model: DualEncoder,
    optimizers: Sequence[torch.optim.Optimizer],
    step: int,
) -> None:
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for number, optimizer in enumerate(optimizers):
        tensors |= optimizer_tensors(optimizer, f"optimizer{number}")
    tensors["generator.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["generator.cuda"] = torch.cuda.get_rng_state()
    checkpoint = Checkpoint(step, tensors, config.model_dump(mode="json"))
    save_checkpoint(run_folder / "checkpoints", checkpoint)


def _resume(
    run_folder: Path,
    config: RunConfig,
    model: DualEncoder,
    optimizers: Sequence[torch.optim.Optimizer],
) -> int:
    """Restores the newest checkpoint and returns the updates done, 0 if there is none."""
    checkpoint = latest_checkpoint(run_folder / "checkpoints")
    if checkpoint is None:
        return 0
    if changed := _differences(checkpoint.config, config.model_dump(mode="json")):
        raise UsageError(
            f"{run_folder} holds a run of another configuration ({'; '.join(changed)}); "
            "use these values or another --out"
        )
    tensors = checkpoint.tensors
    prefix = "model."
    model.load_state_dict(
        {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    )
    for number, optimizer in enumerate(optimizers):
        load_optimizer_tensors(optimizer, tensors, f"optimizer{number}")
    torch.set_rng_state(tensors["generator.cpu"])
    if "generator.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["generator.cuda"])
    return checkpoint.step


def _differences(before: object, now: object, name: str = "") -> list[str]:
    """Names the keys that differ, as `train.lr: 0.1 -> 0.2`."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted(before.keys() | now.keys())
        return [
            difference
            for key in keys
            for difference in _differences(
                before.get(key), now.get(key), f"{name}.{key}".strip(".")
            )
        ]
    return [] if before == now else [f"{name}: {before} -> {now}"]


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """Turns SIGTERM and SIGINT into a request that the loop honours after its update."""
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested  # Only the main thread may set handlers.
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    previous = [signal.signal(number, lambda *_: requested.set()) for number in signals]
    try:
        yield requested
    finally:
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)
