"""The encoder under the method names of other libraries, none of which is imported.

Takes: a `SentenceEncoder`. Gives: a transformer for a scikit-learn pipeline, and the embeddings
    object of LangChain.
Source: scikit-learn, "Developing scikit-learn estimators"; LangChain, `Embeddings`.
"""

import asyncio
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from labse.encoder.runtimes.choice import Precision
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.files.text import refuse_one_text

__all__ = ["SentenceTransformerStep", "TextEmbeddings"]


class SentenceTransformerStep:
    """A step of a scikit-learn pipeline: sentences in, unit rows out. There is nothing to fit.

    `clone` and grid search copy the arguments; the model is loaded at the first use.
    """

    def __init__(self, model: str | Path | None = None, precision: Precision = "float32") -> None:
        """Keeps the arguments, as scikit-learn asks.

        Args:
            model: see `SentenceEncoder.from_pretrained`.
            precision: see `SentenceEncoder.from_pretrained`.
        """
        self.model = model
        self.precision = precision

    def fit(self, sentences: Sequence[str], target: object = None) -> Self:
        """Loads the model; the sentences change nothing."""
        self.encoder_ = SentenceEncoder.from_pretrained(self.model, precision=self.precision)
        return self

    def transform(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Returns (N, D) float32 unit rows."""
        if not hasattr(self, "encoder_"):
            self.fit(sentences)
        refuse_one_text(sentences, "sentences")
        return self.encoder_.encode(list(sentences))

    def fit_transform(self, sentences: Sequence[str], target: object = None) -> NDArray[np.float32]:
        """Returns (N, D) float32 unit rows."""
        return self.fit(sentences).transform(sentences)

    def get_params(self, deep: bool = True) -> dict[str, object]:
        """Returns the arguments."""
        return {"model": self.model, "precision": self.precision}

    def set_params(self, **params: object) -> Self:
        """Sets arguments; the model is loaded anew.

        Raises:
            ValueError: there is no such argument.
        """
        for name, value in params.items():
            if name not in self.get_params():
                raise ValueError(f"no parameter {name!r}; there are model and precision")
            setattr(self, name, value)
        vars(self).pop("encoder_", None)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        """There is nothing to fit."""
        return True

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401  Its type is scikit-learn's.
        """Says that text is taken; called by scikit-learn from 1.6 on, so it is installed."""
        utils = importlib.import_module("sklearn.utils")
        return utils.Tags(
            estimator_type="transformer",
            target_tags=utils.TargetTags(required=False),
            transformer_tags=utils.TransformerTags(preserves_dtype=[]),
            input_tags=utils.InputTags(string=True, two_d_array=False),
        )


class TextEmbeddings:
    """LangChain's `Embeddings`, and what a `BaseEmbedding` of LlamaIndex has to call.

    A vector store that insists on the class takes `class Ours(TextEmbeddings, Embeddings): pass`.
    """

    def __init__(self, encoder: SentenceEncoder) -> None:
        """Wraps an encoder."""
        self.encoder = encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Returns a vector for each text."""
        refuse_one_text(texts, "texts")
        return [[float(value) for value in row] for row in self.encoder.encode(texts)]

    def embed_query(self, text: str) -> list[float]:
        """Returns the vector of a question: LaBSE treats it as any text."""
        return self.embed_documents([text])[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Does the same in a thread, so that other coroutines go on."""
        return await asyncio.to_thread(self.embed_documents, texts)

    async def aembed_query(self, text: str) -> list[float]:
        """Does the same in a thread, so that other coroutines go on."""
        return await asyncio.to_thread(self.embed_query, text)
