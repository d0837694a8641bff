from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from labse.encoder.check.golden import GOLDEN_NAME, build_golden, check_golden
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError
from labse.model_folder.folder import ModelFolder

BuildModel = Callable[..., ModelFolder]


class Disturbed:
    """Gives the vectors of another encoder, and some noise."""

    def __init__(self, encoder: SentenceEncoder, noise: float) -> None:
        self._encoder, self._noise = encoder, noise
        self.num_sentences = 0

    def encode(self, sentences: Sequence[str], /) -> np.ndarray:
        self.num_sentences = len(sentences)
        embeddings = self._encoder.encode(sentences)
        embeddings += np.random.default_rng(0).normal(0, self._noise, embeddings.shape)
        return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


@pytest.fixture
def encoder(build_model: BuildModel) -> SentenceEncoder:
    return SentenceEncoder.from_model(build_model(0, pooling="mean"))


def test_the_encoder_that_wrote_them_passes(tmp_path: Path, encoder: SentenceEncoder) -> None:
    check_golden(encoder, tmp_path, precision="float32")  # There is no file yet.
    (tmp_path / GOLDEN_NAME).write_bytes(build_golden(encoder))
    check_golden(encoder, tmp_path, precision="float32")
    few = Disturbed(encoder, 0)
    check_golden(few, tmp_path, precision="float32", max_sentences=8)
    assert few.num_sentences == 8


def test_how_near_is_near_depends_on_the_precision(
    tmp_path: Path, encoder: SentenceEncoder
) -> None:
    (tmp_path / GOLDEN_NAME).write_bytes(build_golden(encoder))
    near = Disturbed(encoder, 0.01)  # A cosine of about 0.998.
    check_golden(near, tmp_path, precision="int8")
    with pytest.raises(LabseError, match=r"has cosine 0.99\d+ .* 0.99999 is the least in float32"):
        check_golden(near, tmp_path, precision="float32")


def test_nan_and_another_width_are_errors(
    tmp_path: Path, encoder: SentenceEncoder, build_model: BuildModel
) -> None:
    (tmp_path / GOLDEN_NAME).write_bytes(build_golden(encoder))
    with pytest.raises(LabseError, match="has cosine nan"):
        check_golden(Disturbed(encoder, np.nan), tmp_path, precision="int8")
    other = SentenceEncoder.from_model(build_model(0, pooling="mean", embedding_size=12))
    with pytest.raises(LabseError, match="vectors of 32 values, the model gives 12"):
        check_golden(other, tmp_path, precision="float32")


def test_a_damaged_file_is_an_error(tmp_path: Path, encoder: SentenceEncoder) -> None:
    content = build_golden(encoder)
    for damaged in (b"", content[:100], content[:-5]):
        (tmp_path / GOLDEN_NAME).write_bytes(damaged)
        with pytest.raises(LabseError, match="not a file of golden vectors"):
            check_golden(encoder, tmp_path, precision="float32")
