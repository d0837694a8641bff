"""Options that several commands share, and the encoder they ask for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from labse.encoder.sentence_encoder import SentenceEncoder

__all__ = [
    "JsonOption",
    "ModelOption",
    "Precision",
    "PrecisionOption",
    "Runtime",
    "RuntimeOption",
    "ThreadsOption",
    "VisibleEncoder",
    "load_encoder",
]

Precision = Literal["float32", "int8", "bfloat16"]
Runtime = Literal["auto", "ctranslate2", "numpy", "torch"]

_PANEL = "Model"

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        help="Model folder, ours or of sentence-transformers. Without it, the model that comes "
        "with labse. Nothing is downloaded.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(help="Arithmetic of the model; vectors are float32.", rich_help_panel=_PANEL),
]
RuntimeOption = Annotated[
    Runtime,
    typer.Option(
        help="What computes: auto is numpy for a model without layers, torch for bfloat16, else "
        "ctranslate2.",
        rich_help_panel=_PANEL,
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(min=1, help="CPU threads; without it, all.", rich_help_panel=_PANEL),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs on standard output.")
]


def load_encoder(
    model: Path | None, precision: Precision, runtime: Runtime, threads: int | None
) -> "SentenceEncoder":
    """Loads a model folder; see `SentenceEncoder.from_pretrained`."""
    return SentenceEncoder.from_pretrained(
        model, precision=precision, runtime=runtime, threads=threads
    )


class VisibleEncoder:
    """A sentence encoder that draws a progress bar whoever calls it."""

    def __init__(self, encoder: "SentenceEncoder") -> None:
        self._encoder = encoder

    def encode(self, sentences: Sequence[str], /) -> "NDArray[np.float32]":
        """Returns (N, D) float32 unit rows."""
        return self._encoder.encode(sentences, show_progress=True)
