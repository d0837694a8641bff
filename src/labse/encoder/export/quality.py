"""What a changed model loses: cosine and retrieval beside the model it came from.

Takes: two encoders of one model, real text. Gives: the loss, and an error where it is too large.
Source: docs/export.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from labse.encoder.check.sample import sample_languages, score_sample_languages
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError

__all__ = ["MeasureScore", "QualityBounds", "QualityLoss", "check_loss", "measure_loss"]

MeasureScore = Callable[[SentenceEncoder], float]
"""Gives a retrieval score from 0 to 1."""


@dataclass(frozen=True, slots=True)
class QualityBounds:
    """What may be lost.

    Attributes:
        min_cosine: mean cosine of a sentence's two vectors, at least.
        max_loss: of the retrieval score, from 0 to 1, at most.
    """

    min_cosine: float = 0.999
    max_loss: float = 0.003


@dataclass(frozen=True, slots=True)
class QualityLoss:
    """A changed model beside the model it came from, on one sample.

    Attributes:
        num_sentences: compared by cosine.
        mean_cosine: of the two vectors of a sentence.
        least_cosine: the worst of them.
        score_before: P@1 of the model that was given, from 0 to 1.
        score_after: of the model that is written.
    """

    num_sentences: int
    mean_cosine: float
    least_cosine: float
    score_before: float
    score_after: float

    @property
    def score_loss(self) -> float:
        """How much the score fell, from 0 to 1; below 0 if it rose."""
        return self.score_before - self.score_after


def measure_loss(
    before: SentenceEncoder,
    after: SentenceEncoder,
    *,
    sample: Sequence[str] | None = None,
    measure: MeasureScore | None = None,
) -> QualityLoss:
    """Compares two encoders.

    Args:
        before: of the model as it was.
        after: of the changed one.
        sample: sentences to compare by cosine, at least one; None takes those that come with labse.
        measure: None takes P@1 on the sentences that come with labse, all languages against
            English, both directions.

    Raises:
        LabseError: `sample` is empty.
    """
    if sample is None:
        sample = [text for texts in sample_languages().values() for text in texts]
    if not sample:
        raise LabseError("the sample holds no sentence; give text to compare the vectors on")
    score = measure or _sample_p_at_1
    cosines = np.einsum("nd,nd->n", before.encode(sample), after.encode(sample))
    return QualityLoss(
        num_sentences=len(sample),
        mean_cosine=float(cosines.mean()),
        least_cosine=float(cosines.min()),
        score_before=score(before),
        score_after=score(after),
    )


def check_loss(loss: QualityLoss, bounds: QualityBounds, *, what: str) -> None:
    """Raises if more was lost than `bounds` allow.

    Raises:
        LabseError: more was lost; `what` names the model in the message.
    """
    if loss.mean_cosine >= bounds.min_cosine and loss.score_loss <= bounds.max_loss:
        return
    raise LabseError(
        f"{what} loses too much, so nothing is written: mean cosine {loss.mean_cosine:.5f} (at "
        f"least {bounds.min_cosine}), P@1 {loss.score_before:.4f} -> {loss.score_after:.4f} (may "
        f"fall by {bounds.max_loss}); take a wider storage or other bounds, or --force"
    )


def _sample_p_at_1(encoder: SentenceEncoder) -> float:
    return float(np.mean(list(score_sample_languages(encoder).values())))
