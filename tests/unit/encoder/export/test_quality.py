from collections.abc import Callable

import numpy as np
import pytest

from labse.encoder.export.quality import QualityBounds, QualityLoss, check_loss, measure_loss
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError
from labse.model_folder.folder import ModelFolder

BuildModel = Callable[..., ModelFolder]


@pytest.fixture
def encoder(build_model: BuildModel) -> SentenceEncoder:
    return SentenceEncoder.from_model(build_model(0, pooling="mean"))


def test_an_encoder_loses_nothing_against_itself(encoder: SentenceEncoder) -> None:
    loss = measure_loss(encoder, encoder)
    assert loss.num_sentences == 800
    assert loss.least_cosine == pytest.approx(1, abs=1e-6)
    assert loss.score_loss == 0
    assert 0 < loss.score_before <= 1


def test_cosines_and_scores_are_those_of_the_sample_and_the_measure(
    encoder: SentenceEncoder, build_model: BuildModel
) -> None:
    other = SentenceEncoder.from_model(build_model(0, pooling="mean", projection="none"))
    sample = ["free", "equal in rights"]

    scores = {id(encoder): 0.75, id(other): 0.5}
    loss = measure_loss(encoder, other, sample=sample, measure=lambda e: scores[id(e)])

    cosines = np.sum(encoder.encode(sample) * other.encode(sample), axis=1)
    assert loss.num_sentences == 2
    assert loss.mean_cosine == pytest.approx(cosines.mean(), abs=1e-6)
    assert loss.least_cosine == pytest.approx(cosines.min(), abs=1e-6)
    assert loss.score_loss == 0.25
    with pytest.raises(LabseError, match="the sample holds no sentence"):
        measure_loss(encoder, other, sample=[])


@pytest.mark.parametrize(
    ("cosine", "after", "is_refused"),
    [(0.999, 0.497, False), (0.9989, 0.5, True), (1.0, 0.4969, True), (float("nan"), 0.5, True)],
)
def test_bounds_are_inclusive(cosine: float, after: float, is_refused: bool) -> None:
    loss = QualityLoss(10, cosine, 0.9, 0.5, after)
    if is_refused:
        with pytest.raises(LabseError, match="model loses too much, so nothing is written"):
            check_loss(loss, QualityBounds(0.999, 0.0030001), what="model")
    else:
        check_loss(loss, QualityBounds(0.999, 0.0030001), what="model")
