"""The encoder that a caller gives: one, its name, what loads one, or none.

Takes: what stands in an argument `encoder`. Gives: an encoder, and what its vectors depend on.
Source: docs/design.md, promises (one key for all resumable work).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from labse.encoder.protocol import Encoder
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.tokenization import TextOptions
from labse.errors import LabseError
from labse.model_folder.hub import locate_model

__all__ = [
    "AnyEncoderSource",
    "EncoderSource",
    "ObservedEncoder",
    "describe_encoder",
    "describe_loading",
    "load_any_encoder",
    "load_described",
    "load_encoder",
]

EncoderSource: TypeAlias = SentenceEncoder | Callable[[], SentenceEncoder] | str | Path | None
"""An encoder, the name or folder of one, what loads one when it is needed, or None: the model that
comes with labse."""

AnyEncoderSource: TypeAlias = Encoder | Callable[[], Encoder] | str | Path | None
"""The same, where an encoder of any class will do."""

_EncoderT = TypeVar("_EncoderT", bound=Encoder)


def load_encoder(source: EncoderSource) -> SentenceEncoder:
    """Returns the encoder, loaded if need be.

    Raises:
        TypeError: it is of another class, whose vectors nothing here can name or count.
    """
    loaded = load_any_encoder(source)
    if not isinstance(loaded, SentenceEncoder):
        raise TypeError(
            f"encoder: expected a labse.SentenceEncoder, its name or folder, or a function that "
            f"loads it, not {type(loaded).__name__}; vectors of other models go in as .npy files"
        )
    return loaded


def load_any_encoder(
    source: _EncoderT | Callable[[], _EncoderT] | str | Path | None,
) -> _EncoderT | SentenceEncoder:
    """Returns an encoder of any class, loaded if need be.

    Raises:
        TypeError: it has no method `encode`, and is no function that loads what has.
    """
    if source is None or isinstance(source, str | Path):
        return SentenceEncoder(source)
    if isinstance(source, Encoder) and not isinstance(source, type):
        return source
    loaded = source() if callable(source) else source
    if not isinstance(loaded, Encoder):
        raise TypeError(f"encoder: expected what has a method encode, not {loaded!r}")
    return loaded


def describe_encoder(encoder: Encoder) -> dict[str, object]:
    """Returns all that its vectors depend on, by the name of the option that sets it.

    Of one of another class that is its `hash_model()` and `max_seq_length`, where it has them.
    """
    hash_model = getattr(encoder, "hash_model", None)
    known: dict[str, object] = {
        "model": hash_model and hash_model(),
        "max_seq_length": getattr(encoder, "max_seq_length", None),
    }
    if isinstance(encoder, SentenceEncoder):
        known["--precision"] = encoder.precision
        known["--runtime"] = encoder.runtime_name
        known["text options"] = asdict(encoder.text)
    return known


def describe_loading(encoder: SentenceEncoder) -> dict[str, object]:
    """Returns, as JSON, what `load_described` makes the same encoder of on another machine.

    Raises:
        TypeError: it was not loaded from a folder.
    """
    if encoder.folder is None:
        encoder.__reduce__()  # Says why it cannot be.
    is_default = encoder.folder == locate_model(None)  # It may lie elsewhere there.
    return {
        "folder": None if is_default else str(encoder.folder and encoder.folder.absolute()),
        "model_sha256": encoder.hash_model(),
        "precision": encoder.precision,
        "runtime": encoder.runtime_name,
        "threads": encoder.threads,
        "text": asdict(encoder.text),
        "max_seq_length": encoder.max_seq_length,
    }


def load_described(description: Mapping[str, Any]) -> SentenceEncoder:
    """Loads the encoder that `describe_loading` described.

    Raises:
        LabseError: there is another model in the folder.
    """
    encoder = SentenceEncoder.from_pretrained(
        description["folder"],
        precision=description["precision"],
        runtime=description["runtime"],
        threads=description["threads"],
        text=TextOptions(**description["text"]),
    )
    if encoder.hash_model() != description["model_sha256"]:
        raise LabseError(f"{encoder.folder}: another model than on the machine of the command")
    encoder.max_seq_length = description["max_seq_length"]
    return encoder


class ObservedEncoder:
    """An encoder that tells how much of each call it has done.

    Attributes:
        max_seq_length: that of the encoder, None if it has none.
    """

    def __init__(self, encoder: Encoder, on_progress: Callable[[int, int | None], None]) -> None:
        """Wraps an encoder; `on_progress` is called with the sentences done and their number."""
        self._encoder = encoder
        self._on_progress = on_progress
        self.max_seq_length: int | None = getattr(encoder, "max_seq_length", None)

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        """Returns what the encoder does."""
        if isinstance(self._encoder, SentenceEncoder):
            return self._encoder.encode(sentences, on_progress=self._on_progress)
        embeddings = self._encoder.encode(sentences)
        self._on_progress(len(sentences), len(sentences))
        return embeddings
