"""Vectors of runs of consecutive lines, every one computed from its own text.

Takes: the lines of documents and an encoder. Gives: (S, N, D) vectors a document.
Source: Thompson & Koehn 2019 (D19-1136), section 3: embeddings of concatenated sentences.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labse.encoder.protocol import Encoder, encode_sentences
from labse.errors import LabseError

__all__ = ["encode_documents", "halve_spans", "join_spans", "unit_spans"]

_MAX_SPAN_CHARACTERS = 10_000  # As in vecalign; an encoder reads some hundred tokens of them.


def encode_documents(
    encoder: Encoder, source_lines: Sequence[str], target_lines: Sequence[str], num_spans: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embeds the runs of up to `num_spans` lines of two documents, in one call of the encoder.

    Returns:
        (S, N, D) and (S, M, D) vectors; `[s - 1, i]` is the run of s lines that ends with line i,
        where there are as many lines.

    Raises:
        LabseError: the encoder returned what is not one vector a run.
    """
    documents = [
        [join_spans(lines, size) for size in range(1, num_spans + 1)]
        for lines in (source_lines, target_lines)
    ]
    texts = [text for document in documents for spans in document for text in spans]
    embeddings = encode_sentences(encoder, texts)
    results = []
    start = 0
    for document in documents:
        shape = (num_spans, len(document[0]), embeddings.shape[1])
        vectors = np.zeros(shape, np.float32)
        for size, spans in enumerate(document, start=1):
            vectors[size - 1, size - 1 :] = embeddings[start : start + len(spans)]
            start += len(spans)
        results.append(vectors)
    return results[0], results[1]


def join_spans(lines: Sequence[str], size: int) -> list[str]:
    """Returns each run of `size` lines as one text, cut after 10,000 characters."""
    return [
        " ".join(line[:_MAX_SPAN_CHARACTERS] for line in lines[start : start + size])[
            :_MAX_SPAN_CHARACTERS
        ]
        for start in range(len(lines) - size + 1)
    ]


def unit_spans(name: str, spans: NDArray[np.floating], num_spans: int) -> NDArray[np.float32]:
    """Returns (S, N, D) unit rows, a copy; `name` is that of the document in messages.

    Raises:
        ValueError: another shape. LabseError: a vector with NaN, infinity or only zeros.
    """
    spans = np.asarray(spans)
    if spans.ndim != 3 or spans.shape[0] < num_spans or not spans.shape[2]:
        raise ValueError(
            f"{name}_spans: expected (at least {num_spans}, lines, dimensions), found {spans.shape}"
        )
    spans = spans[:num_spans].astype(np.float32)  # A copy, which is then changed.
    for size in range(2, num_spans + 1):
        spans[size - 1, : size - 1] = spans[0, : size - 1]  # Too few lines before: never used.
    norms = np.sqrt(np.einsum("snd,snd->sn", spans, spans, dtype=np.float64))
    is_bad = ~(np.isfinite(norms) & (norms > 0))
    if is_bad.any():
        size, line = np.argwhere(is_bad)[0].tolist()
        fault = "only zeros" if norms[size, line] == 0 else "NaN or infinity"
        raise LabseError(
            f"{name}: the vector of {size + 1} lines that end with line {line + 1} holds {fault}"
        )
    spans /= norms[..., None]
    return spans


def halve_spans(spans: NDArray[np.float32]) -> NDArray[np.float32]:
    """Averages (S, N, D) lines two by two: (1, N / 2 rounded up, D) unit rows.

    What all have in common is taken away, as in vecalign.
    """
    lines = spans[0]
    starts = np.arange(0, len(lines), 2)
    halved = lines[starts]
    halved[: len(lines) // 2] += lines[1::2]
    halved -= halved.mean(axis=0)
    norms = np.linalg.norm(halved, axis=1, keepdims=True)
    # A document of one line repeated has nothing but the mean; any direction will do.
    halved = np.where(norms > 1e-6, halved / np.maximum(norms, 1e-6), lines[starts])
    return np.asarray(halved[None], np.float32)
