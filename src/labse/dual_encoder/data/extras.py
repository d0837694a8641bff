"""What a batch has beside its pairs: hard negatives, and where a teacher would have its vectors.

Takes: the configuration, the files of pairs. Gives: `Extras` of each batch, functions of the step.
Source: docs/training.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from labse.corpus.readers import read_pairs
from labse.dual_encoder.config import DataConfig, RunConfig
from labse.dual_encoder.data.negatives import HardNegatives, Negatives, prepare_hard_negatives
from labse.dual_encoder.data.pairs import TokenizedPairs
from labse.dual_encoder.distillation import Lesson, Teacher, TeacherVectors, prepare_teacher

__all__ = ["NO_EXTRAS", "ExtraSources", "Extras", "open_extras"]

_NEGATIVES_STREAM = 1 << 33  # Beyond any number of a window, which has a generator of its own.


@dataclass(frozen=True, slots=True)
class Extras:
    """What a batch has beside its pairs.

    Attributes:
        negatives: further candidates of the loss, which are embedded with the batch.
        lesson: where a teacher would have the vectors of the batch.
    """

    negatives: Negatives | None = None
    lesson: Lesson | None = None


NO_EXTRAS = Extras()


@dataclass(frozen=True, slots=True)
class ExtraSources:
    """Where the extras of all batches come from; without either a batch has none."""

    hard_negatives: HardNegatives | None = None
    teacher: TeacherVectors | None = None

    def of_batch(
        self,
        step: int,
        sentences: tuple[NDArray[np.int32], NDArray[np.int64]],
        config: RunConfig,
        device: torch.device,
    ) -> Extras:
        """Returns the extras of update `step`, from 0, the same however the run got there.

        Args:
            step: of the batch.
            sentences: flat ids and lengths of the sources and then of the targets of the batch.
            config: of the run.
            device: of the model.
        """
        negatives = lesson = None
        if self.hard_negatives is not None:
            negatives = self.hard_negatives.draw(
                *sentences,
                num_per_pair=config.data.hard_negatives,
                generator=np.random.default_rng([config.train.seed, _NEGATIVES_STREAM, step]),
            )
        if self.teacher is not None and config.distill is not None:
            lesson = self.teacher.lesson(*sentences, config.distill, device)
        return Extras(negatives, lesson)


def open_extras(
    config: RunConfig,
    pairs: TokenizedPairs,
    tokenizer: Tokenizer,
    *,
    files: Sequence[Path],
    out: Path,
    key: Mapping[str, object],
    teacher: Teacher | None = None,
) -> ExtraSources:
    """Prepares what the configuration asks for, in `out`, or maps what an earlier call left there.

    Args:
        config: of the run.
        pairs: of the run.
        tokenizer: of the run.
        files: of `data.pairs`.
        out: the folder of the run; receives `hard_negatives/` and `teacher/`.
        key: what the files and the tokenizer are known by.
        teacher: needed where there is a section [distill].

    Raises:
        LabseError, UsageError: see `prepare_hard_negatives` and `prepare_teacher`.
        ValueError: [distill] and no teacher.
    """
    max_seq_length = config.model.max_seq_length
    hard_negatives = vectors = None
    if config.data.hard_negatives:
        hard_negatives = prepare_hard_negatives(
            files,
            pairs,
            tokenizer,
            max_seq_length=max_seq_length,
            cache=out / "hard_negatives",
            key=key,
        )
    if config.distill is not None:
        if teacher is None:
            raise ValueError("the section [distill] needs a teacher")
        vectors = prepare_teacher(
            teacher,
            _iter_sentences(files, config.data),
            pairs,
            tokenizer,
            max_seq_length=max_seq_length,
            embedding_size=config.model.output_size,
            cache=out / "teacher",
        )
    return ExtraSources(hard_negatives, vectors)


def _iter_sentences(files: Sequence[Path], config: DataConfig) -> Iterator[str]:
    for file in files:
        for pair in read_pairs(
            file, source_lang=config.source_lang, target_lang=config.target_lang
        ):
            yield pair.source
            yield pair.target
