"""The batches of a run: all that one step trains on, gathered once.

Takes: tokenised pairs, hard negatives, a teacher's vectors. Gives: the `Batch` of each step, a
function of (seed, step). Source: docs/training.md.

Dimensions: B pairs, T tokens, D embedding.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from labse.corpus.readers import read_pairs
from labse.dual_encoder.config import DataConfig, RunConfig
from labse.dual_encoder.data.negatives import HardNegatives, Negatives, prepare_hard_negatives
from labse.dual_encoder.data.numbering import sentence_keys
from labse.dual_encoder.data.pairs import TokenizedPairs
from labse.dual_encoder.data.sampler import PairSampler
from labse.dual_encoder.distillation import Teacher, TeacherVectors, prepare_teacher

__all__ = ["Batch", "Batches", "open_batches"]

_NEGATIVES_STREAM = 1 << 33  # Beyond any number of a window, which has a generator of its own.


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step trains on; the sources come first, then their targets.

    Attributes:
        input_ids: (T,) ids of all sentences, one after the other.
        lengths: (2 * B,) tokens of each sentence.
        keys: (2 * B,) equal for sentences of equal pieces.
        sides: (B, 2) where the sentences stand in the data (`sides_of`).
        negatives: hard negatives, more candidates of the loss.
        teacher_vectors: (2 * B, D) unit rows that a student's are to come near to.
    """

    input_ids: NDArray[np.int32]
    lengths: NDArray[np.int64]
    keys: NDArray[np.uint64]
    sides: NDArray[np.int64]
    negatives: Negatives | None = None
    teacher_vectors: NDArray[np.floating] | None = None

    @classmethod
    def gather(cls, pairs: TokenizedPairs, sides: NDArray[np.int64]) -> "Batch":
        """Gathers the sentences of a batch from all pairs, with nothing beside them."""
        sentences = pairs.pairs.reshape(-1)[sides.T.reshape(-1)]
        input_ids, lengths = pairs.gather(sentences)
        return cls(input_ids, lengths, sentence_keys(input_ids, lengths), sides)

    @property
    def num_pairs(self) -> int:
        """B."""
        return len(self.lengths) // 2

    @property
    def num_distinct(self) -> int:
        """The number of pairs without their copies, which have the same sentences on both sides."""
        return len(np.unique(self.keys.reshape(2, -1), axis=1).T)


class Batches:
    """Loads the batch of each step.

    Args:
        config: the run.
        pairs: the training data.
        hard_negatives: those of all pairs, where `data.hard_negatives` asks for some.
        teacher_vectors: those of all sentences, where there is a section [distill].

    Raises:
        LabseError: there are fewer distinct pairs than a batch holds, and repeats are skipped.
    """

    def __init__(
        self,
        config: RunConfig,
        pairs: TokenizedPairs,
        *,
        hard_negatives: HardNegatives | None = None,
        teacher_vectors: TeacherVectors | None = None,
    ) -> None:
        self.pairs = pairs
        self._config = config
        self._hard_negatives = hard_negatives
        self._teacher_vectors = teacher_vectors
        self._sampler = PairSampler(
            pairs, config.data, batch_size=config.train.global_batch_size, seed=config.train.seed
        )

    def load(self, step: int) -> Batch:
        """Returns the batch of update `step`, from 0, the same however the run got there."""
        config = self._config
        batch = Batch.gather(self.pairs, self._sampler.sides(step))
        negatives = teacher_vectors = None
        if self._hard_negatives is not None:
            negatives = self._hard_negatives.draw(
                batch.keys,
                num_per_pair=config.data.hard_negatives,
                generator=np.random.default_rng([config.train.seed, _NEGATIVES_STREAM, step]),
            )
        if self._teacher_vectors is not None and config.distill is not None:
            teacher_vectors = self._teacher_vectors.find(batch.keys, config.distill.teacher_side)
        return replace(batch, negatives=negatives, teacher_vectors=teacher_vectors)


def open_batches(
    config: RunConfig,
    pairs: TokenizedPairs,
    tokenizer: Tokenizer,
    *,
    files: Sequence[Path],
    out: Path,
    key: Mapping[str, object],
    teacher: Teacher | None = None,
    is_main: bool = True,
) -> Batches:
    """Prepares what the configuration asks for, in `out`, or maps what an earlier call left there.

    Args:
        config: the run.
        pairs: the training data.
        tokenizer: the one that made `pairs`.
        files: the files of `data.pairs`.
        out: the folder of the run; receives `hard_negatives/` and `teacher/`.
        key: what the files and the tokenizer are known by.
        teacher: the model of the section [distill]; None without that section.
        is_main: whether this process prepares; the others find it done.

    Raises:
        LabseError, UsageError: see `prepare_hard_negatives`, `prepare_teacher` and `Batches`.
        ValueError: [distill] and no teacher.
    """
    max_seq_length = config.model.max_seq_length
    hard_negatives = teacher_vectors = None
    if config.data.hard_negatives:
        hard_negatives = prepare_hard_negatives(
            files,
            pairs,
            tokenizer,
            max_seq_length=max_seq_length,
            cache=out / "hard_negatives",
            key=key,
            is_main=is_main,
        )
    if config.distill is not None:
        if teacher is None:
            raise ValueError("the section [distill] needs a teacher")
        teacher_vectors = prepare_teacher(
            teacher,
            _iter_sentences(files, config.data),
            pairs,
            tokenizer,
            max_seq_length=max_seq_length,
            embedding_size=config.model.output_size,
            cache=out / "teacher",
            is_main=is_main,
        )
    return Batches(config, pairs, hard_negatives=hard_negatives, teacher_vectors=teacher_vectors)


def _iter_sentences(files: Sequence[Path], config: DataConfig) -> Iterator[str]:
    for file in files:
        for pair in read_pairs(
            file, source_lang=config.source_lang, target_lang=config.target_lang
        ):
            yield pair.source
            yield pair.target
