"""An encoder as a model of mteb.

Takes: an encoder. Gives: what mteb's tasks call; mteb itself is not needed to build it.
Source: mteb 2.26, mteb/models/models_protocols.py, EncoderProtocol.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from labse.encoder.protocol import Encoder, encode_sentences
from labse.encoder.similarity import similarity, similarity_pairwise
from labse.runtime import require

__all__ = ["MtebModel"]


class MtebModel:
    """Encodes the batches of mteb; similarity is the cosine."""

    def __init__(self, encoder: Encoder, *, name: str, revision: str = "local") -> None:
        """Wraps an encoder.

        Args:
            encoder: gives the vectors, which are checked.
            name: `organisation/model`, for mteb's result files.
            revision: revision of the model, for the same files.

        Raises:
            ValueError: `name` without a slash, which mteb needs.
        """
        if name.count("/") != 1:
            raise ValueError(f"name must be organisation/model, not {name!r}")
        self._encoder = encoder
        self._names = {"name": name, "revision": revision}

    @property
    def mteb_model_meta(self) -> object:
        """What mteb writes into its results.

        Raises:
            ResourceError: mteb is not installed.
        """
        return require("mteb.models", "mteb").ModelMeta.create_empty(overwrites=self._names)

    def encode(
        self, inputs: Iterable[Mapping[str, Sequence[str]]], **_: object
    ) -> NDArray[np.float32]:
        """Returns (N, D) float32 for the `text` of all batches; mteb's options do not apply.

        Raises:
            LabseError: the encoder returned what is not one finite vector a sentence.
        """
        sentences = [text for batch in inputs for text in batch["text"]]
        return encode_sentences(self._encoder, sentences)

    similarity = staticmethod(similarity)
    similarity_pairwise = staticmethod(similarity_pairwise)
