"""A model folder as a teacher: loaded when the first vector is asked for, not before.

Takes: what a run's configuration calls its teacher. Gives: its vectors and its hash.
Source: docs/training.md, distillation.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.dual_encoder.distillation import Teacher
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.model_folder.hash import hash_model_folder
from labse.model_folder.hub import locate_model

__all__ = ["load_teacher"]


def load_teacher(name: str, folder: Path) -> Teacher:
    """Returns the teacher that `distill.teacher` names.

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
