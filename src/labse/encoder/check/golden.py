"""Golden vectors: what a model must give for fixed sentences, kept in its folder.

Takes: an encoder. Gives: the file `golden.safetensors`, and a check of an encoder against it.
Source: docs/design.md, promises. A wrong tokenizer, a damaged cache, a processor that computes
something else: all of them show here, before a vector is used.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from labse.encoder.check.sample import sample_sentences
from labse.errors import LabseError

__all__ = ["GOLDEN_NAME", "build_golden", "check_golden"]

GOLDEN_NAME = "golden.safetensors"
_NUM_SENTENCES = 50
# Least cosine by precision. float32: sums in another order change the seventh digit. The others
# were measured as 0.9995 (bfloat16) and 0.99 (int8) at worst on random BERT-Base weights, which
# are harder than trained ones.
_MIN_COSINES: Mapping[str, float] = MappingProxyType(
    {"float32": 0.99999, "bfloat16": 0.995, "int8": 0.97}
)


class _Encoder(Protocol):
    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]: ...


def build_golden(encoder: _Encoder) -> bytes:
    """Returns the content of `golden.safetensors`: 50 sentences and their vectors in float32.

    Args:
        encoder: computes in float32.
    """
    sentences = sample_sentences(_NUM_SENTENCES)
    embeddings = np.ascontiguousarray(encoder.encode(sentences), np.float32)
    metadata = {"sentences": json.dumps(sentences, ensure_ascii=False)}
    return save({"embeddings": embeddings}, metadata)


def check_golden(
    encoder: _Encoder, folder: str | Path, *, precision: str, max_sentences: int = _NUM_SENTENCES
) -> None:
    """Encodes the sentences of the folder's golden file and compares; no file, no check.

    Args:
        encoder: built from the folder.
        folder: a model folder.
        precision: of the encoder's arithmetic; it sets the least cosine.
        max_sentences: compare the shortest only; a large model takes a second for all.

    Raises:
        LabseError: the file is damaged, or a vector is not the one expected.
    """
    path = Path(folder) / GOLDEN_NAME
    if not path.is_file():
        return
    sentences, expected = _read_golden(path)
    chosen = sorted(range(len(sentences)), key=lambda row: len(sentences[row]))[:max_sentences]
    embeddings = encoder.encode([sentences[row] for row in chosen])
    if embeddings.shape[1] != expected.shape[1]:
        raise LabseError(
            f"{path}: vectors of {expected.shape[1]} values, the model gives {embeddings.shape[1]}"
        )

    cosines = np.einsum("nd,nd->n", embeddings, expected[chosen])
    worst = int(cosines.argmin())
    if not cosines[worst] >= _MIN_COSINES[precision]:
        raise LabseError(
            f"{folder}: the model does not compute what it did when it was written: the vector of "
            f"{sentences[chosen[worst]][:40]!r} has cosine {cosines[worst]:.5f} with the one in "
            f"{GOLDEN_NAME}, {_MIN_COSINES[precision]} is the least in {precision}; its tokenizer "
            "or weights were changed, or this machine computes wrongly: copy the folder again, "
            "empty the cache (LABSE_CACHE), then try another runtime"
        )


def _read_golden(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    try:
        with safe_open(path, framework="numpy") as handle:
            sentences = json.loads((handle.metadata() or {})["sentences"])
            embeddings = handle.get_tensor("embeddings")
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        raise LabseError(f"{path}: not a file of golden vectors ({error}); copy it again") from None
    if not isinstance(sentences, list) or not all(isinstance(row, str) for row in sentences):
        raise LabseError(f"{path}: its sentences are no list of texts; copy it again")
    if not len(sentences) or embeddings.ndim != 2 or len(embeddings) != len(sentences):
        raise LabseError(f"{path}: {len(sentences)} sentences, but vectors {embeddings.shape}")
    return list(sentences), embeddings.astype(np.float32)
