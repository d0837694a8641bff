"""A teacher's vectors: computed once, resumed, projected; and the distance to them as a loss."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.training_data import pairs_of
from tokenizers import Tokenizer

from labse.dual_encoder import distillation
from labse.dual_encoder.data.numbering import sentence_keys
from labse.dual_encoder.data.pairs import TokenizedPairs, tokenize_sentences
from labse.dual_encoder.distillation import (
    Teacher,
    TeacherVectors,
    distillation_loss,
    prepare_teacher,
)
from labse.errors import LabseError, UsageError
from labse.vocab.tokenizer import load_tokenizer

SENTENCES = ["a b", "A B", "c d", "C D", "e f", "E F", "g h", "G H"]


class Recording:
    """Gives unit vectors that depend on the text, and notes what it was asked for."""

    def __init__(self, size: int = 4) -> None:
        self.seen: list[str] = []
        self._size = size

    def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        self.seen += sentences
        rows = np.stack([self.vector(sentence) for sentence in sentences])
        return rows.astype(np.float32)

    def vector(self, sentence: str) -> NDArray[np.float64]:
        row = np.random.default_rng(list(sentence.encode())).standard_normal(self._size)
        unit: NDArray[np.float64] = row / np.linalg.norm(row)
        return unit


@pytest.fixture
def tokenizer(run_folder: Path) -> Tokenizer:
    return load_tokenizer(run_folder / "vocab")


@pytest.fixture
def pairs(tokenizer: Tokenizer) -> TokenizedPairs:
    ids, offsets, _ = tokenize_sentences(SENTENCES, tokenizer, max_seq_length=16)
    return pairs_of(ids, np.diff(offsets))


def prepare(
    folder: Path,
    pairs: TokenizedPairs,
    tokenizer: Tokenizer,
    model: Recording,
    *,
    size: int = 4,
    sha256: str = "1",
    sentences: Sequence[str] = ("other text", *SENTENCES, "a b", *SENTENCES),
) -> TeacherVectors:
    return prepare_teacher(
        Teacher(model.encode, sha256),
        sentences,
        pairs,
        tokenizer,
        max_seq_length=16,
        embedding_size=size,
        cache=folder / "teacher",
    )


def find(
    vectors: TeacherVectors, pairs: TokenizedPairs, side: Literal["own", "source", "target"] = "own"
) -> NDArray[np.float32]:
    """Returns the vectors of all sources, then of all targets."""
    return vectors.find(sentence_keys(*pairs.gather(pairs.pairs.T.reshape(-1))), side)


def test_each_sentence_has_the_vector_of_its_text(
    tmp_path: Path, pairs: TokenizedPairs, tokenizer: Tokenizer
) -> None:
    model = Recording()
    found = find(prepare(tmp_path, pairs, tokenizer, model), pairs)
    assert sorted(model.seen) == sorted(SENTENCES)  # Once each, and no others.
    expected = np.stack([model.vector(text) for text in [*SENTENCES[0::2], *SENTENCES[1::2]]])
    np.testing.assert_allclose(found, expected, atol=1e-3)  # float16 on disk.
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_both_sides_can_have_the_vector_of_one(
    tmp_path: Path, pairs: TokenizedPairs, tokenizer: Tokenizer
) -> None:
    vectors = prepare(tmp_path, pairs, tokenizer, Recording())
    source, target = np.split(find(vectors, pairs), 2)
    assert np.array_equal(find(vectors, pairs, "source"), np.concatenate([source, source]))
    assert np.array_equal(find(vectors, pairs, "target"), np.concatenate([target, target]))


def test_a_killed_call_goes_on_behind_the_last_whole_file(
    tmp_path: Path,
    pairs: TokenizedPairs,
    tokenizer: Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distillation, "_CHUNK_ROWS", 3)
    whole = find(prepare(tmp_path / "whole", pairs, tokenizer, Recording()), pairs)

    class Dying(Recording):
        def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
            if len(self.seen) == 3:
                raise KeyboardInterrupt
            return super().encode(sentences)

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, pairs, tokenizer, Dying())
    second = Recording()
    found = find(prepare(tmp_path, pairs, tokenizer, second), pairs)
    assert len(second.seen) == 5
    assert np.array_equal(found, whole)
    third = Recording()
    prepare(tmp_path, pairs, tokenizer, third)
    assert third.seen == []


def test_another_teacher_or_other_sentences_are_embedded_anew(
    tmp_path: Path, pairs: TokenizedPairs, tokenizer: Tokenizer
) -> None:
    for sha256, expected in (("1", 8), ("1", 0), ("2", 8)):
        model = Recording()
        prepare(tmp_path, pairs, tokenizer, model, sha256=sha256)
        assert len(model.seen) == expected


def test_a_narrower_student_learns_the_principal_directions(
    tmp_path: Path, pairs: TokenizedPairs, tokenizer: Tokenizer
) -> None:
    model = Recording(size=6)
    found = find(prepare(tmp_path, pairs, tokenizer, model, size=5), pairs)
    whole = np.stack([model.vector(text) for text in [*SENTENCES[0::2], *SENTENCES[1::2]]])
    # numpy's SVD of the vectors, not centred.
    kept = np.linalg.svd(whole, full_matrices=False)[2][:5]
    expected = whole @ kept.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=5e-3)


def test_a_wider_student_is_refused(
    tmp_path: Path, pairs: TokenizedPairs, tokenizer: Tokenizer
) -> None:
    with pytest.raises(UsageError, match="to 4 at most"):
        prepare(tmp_path, pairs, tokenizer, Recording(), size=5)


def test_text_that_is_not_that_of_the_pairs_is_told(
    tmp_path: Path, pairs: TokenizedPairs, tokenizer: Tokenizer
) -> None:
    with pytest.raises(LabseError, match="holds 2 of the 8 sentences"):
        prepare(tmp_path, pairs, tokenizer, Recording(), sentences=SENTENCES[:2])


def test_a_teacher_that_gives_nan_is_told(
    tmp_path: Path, pairs: TokenizedPairs, tokenizer: Tokenizer
) -> None:
    class Broken(Recording):
        def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
            return super().encode(sentences) * np.nan

    with pytest.raises(LabseError, match="not finite"):
        prepare(tmp_path, pairs, tokenizer, Broken())


def test_sentences_of_another_run_are_told(
    tmp_path: Path, pairs: TokenizedPairs, tokenizer: Tokenizer
) -> None:
    vectors = prepare(tmp_path, pairs, tokenizer, Recording())
    ids, lengths = pairs.gather(np.array([0, 1], np.int32))
    with pytest.raises(LabseError, match="of other sentences"):
        vectors.find(sentence_keys(ids[::-1].copy(), lengths), "own")


@pytest.mark.parametrize(("kind", "factor"), [("cosine", 1.0), ("mse", 2.0)])
def test_the_loss_is_the_mean_over_pairs_summed_over_sides(
    kind: Literal["cosine", "mse"], factor: float
) -> None:
    east, north = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    student = torch.cat([east, north])
    teacher = (student, torch.cat([east, -north]))
    found = distillation_loss((student, student), teacher, kind=kind)
    # Cosines 1, 1, 1 and -1; the squared distance of opposite unit vectors is 4.
    assert found.item() == factor * 2 / 2
