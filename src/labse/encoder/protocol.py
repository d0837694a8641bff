"""What mining and evaluation ask of an encoder, and the checks on what it returns.

Takes: an encoder and sentences. Gives: one finite vector a sentence, or an error that names it.
Source: docs/design.md, promises ("a NaN vector is never returned").
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError
from labse.files.npy import find_bad_row

__all__ = ["Encoder", "encode_sentences"]

_SHOWN_CHARACTERS = 60


@runtime_checkable
class Encoder(Protocol):
    """Anything that embeds sentences."""

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        """Returns (N, D) float32, one row a sentence, in their order."""


def encode_sentences(encoder: Encoder, sentences: Sequence[str]) -> NDArray[np.float32]:
    """Embeds sentences in one call and checks the rows; they need not be unit rows.

    Raises:
        LabseError: not one row of floats a sentence, or a row with NaN, infinity or only zeros.
    """
    try:
        embeddings = np.asarray(encoder.encode(sentences))
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise LabseError("the encoder returned rows of different widths") from None
    if embeddings.ndim != 2 or not np.issubdtype(embeddings.dtype, np.floating):
        raise LabseError(
            "the encoder must return floats of shape (sentences, dimensions), "
            f"not {embeddings.dtype} of shape {embeddings.shape}"
        )
    if len(embeddings) != len(sentences):
        raise LabseError(
            f"the encoder returned {len(embeddings)} rows for {len(sentences)} sentences"
        )
    if bad := find_bad_row(embeddings):
        row, fault = bad
        raise LabseError(
            f"the encoder returned {fault} for {sentences[row][:_SHOWN_CHARACTERS]!r} "
            f"(sentence {row}, from 0)"
        )
    return embeddings.astype(np.float32, copy=False)
