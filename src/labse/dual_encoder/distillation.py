"""Distillation: a teacher's vectors of the training sentences, and the distance to them as a loss.

Takes: a teacher that embeds text, sentences. Gives: its vectors on disk, each computed once, and a
loss. Source: Reimers & Gurevych 2020, arXiv 2004.09813; Mao & Nakagawa 2023, LEALLA.

Dimensions: U distinct sentences, B pairs, D of the student, E of the teacher.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from labse.corpus.equal_texts import hash_texts
from labse.dual_encoder.data.numbering import KeyIndex, sentence_keys, stored_keys
from labse.dual_encoder.data.pairs import TokenizedPairs, tokenize_sentences
from labse.errors import LabseError, UsageError
from labse.files.npy import find_bad_row, load_array, save_array
from labse.files.stage import Stage, make_once

__all__ = ["Teacher", "TeacherVectors", "distillation_loss", "prepare_teacher"]

_LOGGER = logging.getLogger(__name__)
_CHUNK_ROWS = 16_384
_ROWS, _PROJECTION = "rows.npy", "projection.npy"


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model that is not trained.

    Attributes:
        encode: gives (N, E) unit rows for N sentences.
        sha256: hash of the model; vectors on disk belong to it.
    """

    encode: Callable[[Sequence[str]], NDArray[np.float32]]
    sha256: str


def distillation_loss(
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    *,
    kind: Literal["mse", "cosine"],
) -> Tensor:
    """Returns how far the vectors of a batch are from the teacher's, with s and t unit rows:

        mse:     1/B sum_i (|s_i - teacher(s_i)|^2 + |t_i - teacher(t_i)|^2)
        cosine:  1/B sum_i (1 - cos(s_i, teacher(s_i)) + 1 - cos(t_i, teacher(t_i)))

    The first is that of Reimers & Gurevych 2020 where teacher(t_i) is teacher(s_i). Of unit vectors
    it is twice the second.

    Args:
        student: (B, D) rows of the sources, and of their targets.
        teacher: the same rows by the teacher.
        kind: the distance.
    """  # noqa: D415
    if kind == "mse":
        parts = [(s - t).square().sum(1).mean() for s, t in zip(student, teacher, strict=True)]
    else:
        parts = [(1 - (s * t).sum(1)).mean() for s, t in zip(student, teacher, strict=True)]
    return parts[0] + parts[1]


@dataclass(frozen=True, slots=True)
class TeacherVectors:
    """The teacher's vectors of all sentences of a run, mapped from disk; found by the pieces.

    Attributes:
        index: from the key of a sentence to its row.
        chunks: (U, E) float16 rows in files of 16,384.
        projection: (E, D), the principal directions of all vectors, or None where E is D.
    """

    index: KeyIndex
    chunks: Sequence[NDArray[np.float16]]
    projection: NDArray[np.float32] | None

    def find(
        self, keys: NDArray[np.uint64], side: Literal["own", "source", "target"]
    ) -> NDArray[np.float32]:
        """Returns (2 * B, D) unit rows for the sentences of a batch.

        Args:
            keys: (2 * B,) keys of the sources and then of the targets.
            side: whose vector a sentence gets: its `own`, or that of the source or target of its
                pair.

        Raises:
            LabseError: the teacher has not embedded one of them.
        """
        rows = self.index.find(keys)
        if (rows < 0).any():
            raise LabseError("the teacher's vectors are of other sentences; delete RUN/teacher")
        source, target = np.split(rows, 2)
        if side != "own":
            source = target = source if side == "source" else target
        return self._read(np.concatenate([source, target]))

    def _read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        vectors = np.empty((len(rows), self.chunks[0].shape[1]), np.float32)
        of_chunk, within = np.divmod(rows, _CHUNK_ROWS)
        for chunk in np.unique(of_chunk):
            places = of_chunk == chunk
            vectors[places] = self.chunks[chunk][within[places]]
        if self.projection is not None:
            vectors = vectors @ self.projection
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = vectors / np.maximum(norms, 1e-12)
        return unit


def prepare_teacher(
    teacher: Teacher,
    sentences: Iterable[str],
    pairs: TokenizedPairs,
    tokenizer: Tokenizer,
    *,
    max_seq_length: int,
    embedding_size: int,
    cache: Path,
    is_main: bool = True,
) -> TeacherVectors:
    """Embeds each distinct sentence of the run once, or maps what an earlier call left.

    A killed call goes on behind the last whole file of 16,384 vectors. Sentences that the
    student's pieces cannot tell apart share the vector of the first.

    Args:
        teacher: the model whose vectors are wanted.
        sentences: the text of the data, in an order that is the same each time.
        pairs: the training data, which says which sentences are needed.
        tokenizer: the student's.
        max_seq_length: the student's.
        embedding_size: D.
        cache: a folder for this function alone.
        is_main: whether this process makes the cache; the others find it made.

    Raises:
        LabseError: a vector is not finite, or the text is not that of `pairs`; or the main process
            saw other files.
        UsageError: D is above E.
        ResourceError: they cannot be written.
    """
    wanted = KeyIndex.of(stored_keys(pairs.input_ids, pairs.offsets))
    key = {
        "teacher": teacher.sha256,
        "sentences": int(np.bitwise_xor.reduce(wanted.keys) >> np.uint64(1)),
        "num_sentences": len(wanted.keys),
    }

    def make(stage: Stage) -> dict[str, object]:
        _LOGGER.info("teacher: %s distinct sentences", f"{len(wanted.keys):,}")
        texts = _iter_wanted(sentences, wanted, tokenizer, max_seq_length)
        _write_vectors(teacher, texts, len(wanted.keys), embedding_size, stage)
        return {"kind": "teacher", "key": key}

    def load(_: object) -> tuple[KeyIndex, list[NDArray[np.float16]]]:
        files = range(-(-len(wanted.keys) // _CHUNK_ROWS))
        chunks = [load_array(cache / f"vectors-{number:06d}.npy") for number in files]
        return KeyIndex(wanted.keys, load_array(cache / _ROWS)), chunks

    (index, chunks), _ = make_once(cache, key, make, load, is_main=is_main)
    size = chunks[0].shape[1]
    _check_size(embedding_size, size)
    projection = None if embedding_size == size else _projection(chunks, embedding_size, cache)
    return TeacherVectors(index, chunks, projection)


def _check_size(student: int, teacher: int) -> None:
    if student > teacher:
        raise UsageError(
            f"the student's vectors have {student} dimensions and the teacher's {teacher}; set "
            f"model.embedding_size to {teacher} at most"
        )


def _iter_wanted(
    sentences: Iterable[str], wanted: KeyIndex, tokenizer: Tokenizer, max_seq_length: int
) -> Iterator[tuple[str, int]]:
    """Yields each wanted sentence where it appears first, and where its key stands among all."""
    is_done = np.zeros(len(wanted.keys), bool)
    positions = KeyIndex(wanted.keys)
    sentences = iter(sentences)
    while texts := list(islice(sentences, _CHUNK_ROWS)):
        ids, offsets, _ = tokenize_sentences(texts, tokenizer, max_seq_length=max_seq_length)
        found = positions.find(sentence_keys(ids, np.diff(offsets)))
        for text, position in zip(texts, found.tolist(), strict=True):
            if position >= 0 and not is_done[position]:
                is_done[position] = True
                yield text, position


def _write_vectors(
    teacher: Teacher, wanted: Iterator[tuple[str, int]], total: int, size: int, stage: Stage
) -> None:
    """Writes the vectors in files of 16,384, and the row of each key."""
    rows = np.full(total, -1)
    num_done = 0
    while chunk := list(islice(wanted, _CHUNK_ROWS)):
        texts, positions = [text for text, _ in chunk], [position for _, position in chunk]
        name = f"vectors-{num_done // _CHUNK_ROWS:06d}.npy"
        texts_sha256 = hashlib.sha256(hash_texts(texts).tobytes()).hexdigest()
        if stage.result(name, texts_sha256) is None or not (stage.folder / name).is_file():
            vectors = np.asarray(teacher.encode(texts), np.float32)
            if vectors.shape[0] != len(texts) or find_bad_row(vectors):
                raise LabseError("the teacher gives vectors that are not finite, or too few")
            _check_size(size, vectors.shape[1])  # Before hours of embedding.
            save_array(stage.folder / name, vectors.astype(np.float16))
            stage.add(name, {}, texts_sha256)
        rows[positions] = num_done + np.arange(len(texts))
        before, num_done = num_done, num_done + len(texts)
        if 10 * before // total < 10 * num_done // total:
            _LOGGER.info("teacher: %s embedded", f"{num_done:,}")
    if num_done != total:
        raise LabseError(
            f"the text holds {num_done} of the {total} sentences of the run; it has changed"
        )
    save_array(stage.folder / _ROWS, rows)


def _projection(
    chunks: Sequence[NDArray[np.float16]], size: int, cache: Path
) -> NDArray[np.float32]:
    """Returns the (E, size) directions that keep most of the cosines of all vectors.

    These are the first eigenvectors of their second moments, which is PCA without centring.
    """
    path = cache / f"{size}-{_PROJECTION}"
    if not path.is_file():
        moments = np.zeros((chunks[0].shape[1],) * 2)
        for chunk in chunks:
            rows = chunk.astype(np.float64)
            moments += rows.T @ rows
        values, vectors = np.linalg.eigh(moments)
        kept = vectors[:, np.argsort(-values, kind="stable")[:size]]
        share = np.sort(values)[::-1][:size].sum() / values.sum()
        _LOGGER.info("teacher: %d dimensions keep %.3f of its vectors' length", size, share)
        save_array(path, kept.astype(np.float32))
    projection: NDArray[np.float32] = np.load(path)
    return projection
