"""The training loop of the dual encoder, top to bottom.

Dimensions: B pairs of a batch, T tokens, S tokens of the longest sentence, D embedding.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
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
from labse.dual_encoder.run_state import RunState, load_run_state, save_run_state
from labse.errors import InterruptedRunError, LabseError
from labse.runtime import seed_everything
from labse.training.claim import claim_folder
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

    An interrupted run that is resumed gives the bits of an uninterrupted one on the CPU (CUDA adds
    gradients in any order): batches are functions of (seed, step), and weights, moments and the
    dropout generator are in the checkpoint.

    Args:
        config: the run; all but `log_every`, `eval_every` and `checkpoint_every` must be as in the
            checkpoint.
        pairs: the training data, tokenised.
        run_folder: receives `checkpoints/` and `metrics.jsonl`.
        evaluate: called every `eval_every` steps; its numbers join the metrics.
        report: called with each row of metrics, for a console line or a progress bar.

    Returns:
        The trained model, in evaluation mode.

    Raises:
        InterruptedRunError: SIGTERM or SIGINT arrived; a checkpoint was written first.
        UsageError: `run_folder` holds a run of another configuration, or another process uses it.
        LabseError: the loss or a gradient is not a number, or there are too few pairs.
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

    # ---- Loop, from the last checkpoint if there is one ----
    run_folder.mkdir(parents=True, exist_ok=True)
    metrics_path = run_folder / "metrics.jsonl"
    with claim_folder(run_folder), _stop_requests() as stop_requested:
        state = load_run_state(run_folder, config, model, optimizers)
        first_step, losses = state.step, list(state.losses)
        truncate_metrics(metrics_path, first_step)
        seconds: list[float] = []  # Of the steps since the last logged row, as `losses`.
        is_fast_bag = is_bag(model)
        model.train()
        for step in range(first_step, options.train_steps):
            started = time.perf_counter()
            done = step + 1
            is_last = done == options.train_steps
            lr_share = linear_schedule(
                step, warmup_steps=options.warmup_steps, train_steps=options.train_steps
            )
            set_lr_share(optimizers, lr_share)

            input_ids_T, lengths = pairs.gather(sampler.batch(step).T.reshape(-1))
            with torch.autocast(device.type, torch.bfloat16, options.precision == "bfloat16"):
                embed = embed_bags if is_fast_bag else _embed_padded
                source_BD, target_BD = embed(model, input_ids_T, lengths).chunk(2)
            loss = additive_margin_softmax(
                source_BD,
                target_BD,
                logit_scale=options.logit_scale,
                logit_margin=options.logit_margin,
            )
            loss.backward()  # type: ignore[no-untyped-call]
            grad_norm = clip_gradients(model.parameters(), options.max_grad_norm)
            losses.append(loss.item())
            _check_finite(done, losses[-1], grad_norm)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            seconds.append(time.perf_counter() - started)

            # ---- What is due after this update ----
            if done % options.log_every == 0 or is_last:
                row = {"step": done, "lr": options.lr * lr_share, "grad_norm": grad_norm}
                row["in_batch_p_at_1"] = _in_batch_p_at_1(source_BD, target_BD)
                row["loss"] = math.fsum(losses) / len(losses)
                row["pairs_per_second"] = options.global_batch_size * len(seconds) / sum(seconds)
                _record(metrics_path, row, report)
                losses.clear()
                seconds.clear()
            if evaluate and (done % options.eval_every == 0 or is_last):
                model.eval()
                # Whatever an evaluation draws, the dropout of the next step is the same.
                with torch.random.fork_rng([device] if device.type == "cuda" else []):
                    _record(metrics_path, {"step": done, **evaluate(model)}, report)
                model.train()
            if done % options.checkpoint_every == 0 or is_last or stop_requested.is_set():
                state = RunState(done, losses)
                save_run_state(run_folder, config, model, optimizers, state)
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


def _embed_padded(
    model: DualEncoder, input_ids: NDArray[np.int32], lengths: NDArray[np.int64]
) -> Tensor:
    device = model.bert.embeddings.word.weight.device
    input_ids_BS, mask_BS = pad(input_ids, lengths)
    embeddings_BD: Tensor = model(input_ids_BS.to(device), mask_BS.to(device))
    return embeddings_BD


def _check_finite(step: int, loss: float, grad_norm: float) -> None:
    """Stops a run before numbers that are none reach its weights and checkpoints."""
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        raise LabseError(
            f"step {step}: the loss is {loss} and the norm of the gradient is {grad_norm}; "
            "start anew in another --out with a lower train.lr or train.embedding_lr"
        )


@torch.no_grad()
def _in_batch_p_at_1(source_BD: Tensor, target_BD: Tensor) -> float:
    """Returns the share of sources whose translation is the nearest target of the batch."""
    nearest = (source_BD @ target_BD.T).argmax(1)
    labels = torch.arange(len(source_BD), device=source_BD.device)
    return (nearest == labels).float().mean().item()


def _record(path: Path, row: Mapping[str, float], report: Report | None) -> None:
    append_metrics(path, row)
    if report:
        report(row)


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
