"""Training of a dual encoder as a whole: a run with the teacher, scores and golden vectors it asks.

Takes: a configuration, a vocabulary or a model to start from. Gives: a model folder that encodes.
Source: docs/training.md.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.data.arrays import Resources
from labse.dual_encoder.data.held_out import (
    RunQuality,
    find_hits,
    is_by_chance,
    scored_pairs,
)
from labse.dual_encoder.data.pairs import TokenizedPairs
from labse.dual_encoder.distillation import Teacher
from labse.dual_encoder.run import RunSummary, run_training
from labse.dual_encoder.start import read_tokenizer
from labse.encoder.check.golden import GOLDEN_NAME, build_golden
from labse.encoder.check.sample import score_sample_languages
from labse.encoder.runtimes.torch_runtime import TorchRuntime
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.streaming import token_budget_batches
from labse.model_folder.folder import read_model_folder
from labse.model_folder.hash import hash_model_folder
from labse.model_folder.hub import locate_model
from labse.network.dual_encoder import DualEncoder
from labse.runtime import OnProgress
from labse.training.metrics import OnMetrics
from labse.training.run import join_callbacks

__all__ = ["build_encoder", "golden_files", "judge_model", "load_teacher", "train_dual_encoder"]

# Two of 64 questions, for each language 32 sentences both ways, may change by chance.
_MAX_LOSS = 0.04


def train_dual_encoder(
    config: RunConfig,
    out: str | Path,
    *,
    vocab_folder: str | Path | None = None,
    start: str | Path | None = None,
    data_folder: str | Path = Path(),
    resources: Resources | None = None,
    evaluate: Callable[[SentenceEncoder], Mapping[str, float]] | None = None,
    on_metrics: OnMetrics | None = None,
    on_progress: OnProgress | None = None,
) -> RunSummary:
    """Trains from files of pairs to a model folder; called again after a stop, it goes on.

    The result says whether the model is better than `start`, by pairs that were held out of
    training (`data.held_out`), and which other languages lost.

    Args:
        config: the run; `labse.load_run_config` reads one, or makes one to tune a model.
        out: folder of the run, which receives `model/`, metrics and checkpoints.
        vocab_folder: made by `labse vocab`, or a model folder; None takes that of `start`.
        start: folder of the model to start from, or its name, such as `default`; None draws random
            weights.
        data_folder: where relative paths of `data.pairs` and `distill.teacher` start.
        resources: processes and memory to prepare the data with; None takes the defaults.
        evaluate: scores the model under training every `train.eval_every` steps; its numbers join
            the metrics.
        on_metrics: called with each row of metrics.
        on_progress: called with (steps done, all steps).

    Raises:
        InterruptedRunError, UsageError, LabseError, ResourceError: see `run_training`.
        ValueError: neither a vocabulary nor a model to start from.
    """
    start = None if start is None else locate_model(start)
    vocab_folder = start if vocab_folder is None else Path(vocab_folder)
    out, data_folder = Path(out), Path(data_folder)
    if vocab_folder is None:
        raise ValueError("give vocab_folder, the pieces to train on, or start, a model")
    teacher = None if config.distill is None else load_teacher(config.distill.teacher, data_folder)
    return run_training(
        config,
        out,
        vocab_folder=vocab_folder,
        data_folder=data_folder,
        start=start,
        resources=resources,
        teacher=teacher,
        evaluate=None if evaluate is None else _encoding(evaluate, vocab_folder),
        on_metrics=join_callbacks(on_metrics, on_progress, train_steps=config.train.train_steps),
        judge=partial(judge_model, start=start),
        extra_files=golden_files,
    )


def judge_model(
    model: DualEncoder,
    tokenizer: Tokenizer,
    pairs: TokenizedPairs,
    held_out: NDArray[np.int64],
    *,
    start: Path | None,
) -> RunQuality | None:
    """Compares a trained model with the one that it was started from.

    Args:
        model: after training.
        tokenizer: of both models.
        pairs: all pairs of the run.
        held_out: (H,) those that it was not trained on.
        start: folder of the model before training; None: it was drawn at random.
    """
    if start is None and not len(held_out):
        return None
    after = TorchRuntime(model)
    before = None if start is None else TorchRuntime.from_folder(read_model_folder(start))

    # Among the pairs held out, as the ids that training has.
    numbers = scored_pairs(pairs, held_out)
    hits = [
        None if runtime is None or not len(numbers) else _find_hits(runtime, pairs, numbers)
        for runtime in (before, after)
    ]
    scores = [None if found is None else float(found.mean()) for found in hits]
    verdict, is_chance = None, False
    if hits[0] is not None and hits[1] is not None:
        gain = int(hits[1].sum()) - int(hits[0].sum())
        verdict = "better" if gain > 0 else "worse" if gain < 0 else "same"
        is_chance = is_by_chance(hits[0], hits[1])

    # In languages that are none of the run's.
    others: dict[str, tuple[float, float]] = {}
    if before is not None:
        length = model.config.max_seq_length
        encoders = (
            SentenceEncoder.from_runtime(runtime, tokenizer, max_seq_length=length)
            for runtime in (before, after)
        )
        found_before, found_after = (score_sample_languages(encoder) for encoder in encoders)
        others = {
            lang: (found_before[lang], found_after[lang])
            for lang in found_before
            if not any(f"-{lang}-" in f"-{name}-" for name in pairs.lang_pairs)
        }
    return RunQuality(
        num_held_out=len(numbers),
        p_at_1_before=scores[0],
        p_at_1=scores[1],
        verdict=verdict,
        is_by_chance=is_chance,
        other_langs=others,
        lost_langs=[lang for lang, (old, new) in others.items() if old - new > _MAX_LOSS],
        max_loss=_MAX_LOSS,
    )


def _find_hits(
    runtime: TorchRuntime, pairs: TokenizedPairs, numbers: NDArray[np.int32]
) -> NDArray[np.bool_]:
    sentences = np.unique(numbers)
    input_ids, lengths = pairs.gather(sentences)
    rows = np.split(input_ids, np.cumsum(lengths)[:-1])
    embeddings = np.empty((len(sentences), runtime.embedding_size), np.float32)
    for batch in token_budget_batches(lengths, runtime.batch_tokens):
        embeddings[batch] = runtime.embed([rows[row] for row in batch])
    sides = np.searchsorted(sentences, numbers)
    return find_hits(numbers, embeddings[sides[:, 0]], embeddings[sides[:, 1]])


def _encoding(
    evaluate: Callable[[SentenceEncoder], Mapping[str, float]], vocab_folder: Path
) -> Callable[[DualEncoder], Mapping[str, float]]:
    tokenizer = read_tokenizer(vocab_folder)
    return lambda model: evaluate(build_encoder(model, tokenizer))


def build_encoder(model: DualEncoder, tokenizer: Tokenizer) -> SentenceEncoder:
    """Returns an encoder that reads the module's weights at each call, on their device."""
    return SentenceEncoder.from_runtime(
        TorchRuntime(model), tokenizer, max_seq_length=model.config.max_seq_length
    )


def golden_files(model: DualEncoder, tokenizer: Tokenizer) -> dict[str, bytes]:
    """Returns, by its name, the file of vectors that the model must give whenever it is loaded."""
    return {GOLDEN_NAME: build_golden(build_encoder(model, tokenizer))}


def load_teacher(name: str, folder: Path) -> Teacher:
    """Returns the teacher that `distill.teacher` names, loaded when a vector is first asked for.

    A run that goes on has all vectors on disk, and never loads it.

    Args:
        name: a model folder, or what `locate_model` knows, such as `default`.
        folder: where relative paths start.

    Raises:
        LabseError, UsageError: there is no such model.
    """
    path = folder / name if (folder / name).is_dir() else locate_model(Path(name))

    @cache
    def load() -> SentenceEncoder:
        return SentenceEncoder.from_pretrained(path)

    def encode(sentences: Sequence[str]) -> NDArray[np.float32]:
        return load().encode(sentences)

    return Teacher(encode, hash_model_folder(path))
