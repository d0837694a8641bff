"""What `encode` is asked beside the sentences: checks of both, and the bar that it draws.

Takes: the keywords of sentence-transformers. Gives: nothing, or the error that names ours.
Source: sentence-transformers 6, `SentenceTransformer.encode`.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterable, Iterator
from typing import TypedDict

from labse.runtime import OnProgress

__all__ = ["EncodeOptions", "PeerOptions", "check_peer_options", "check_sentences", "draw_progress"]

_OF_MTEB = ("hf_split", "hf_subset", "prompt_type", "task_metadata")


class PeerOptions(TypedDict, total=False):
    """Keywords of sentence-transformers that have one value here, or that say what to write.

    Attributes:
        convert_to_numpy: True; an array is what comes, unless `convert_to_tensor` is.
        normalize_embeddings: True; the norm is a part of LaBSE, and no model gives vectors
            without it.
        output_value: "sentence_embedding".
        precision: "float32".
        device: where the model is; None says nothing.
        pool, chunk_size: None.
    """

    convert_to_numpy: bool
    normalize_embeddings: bool
    output_value: str | None
    precision: str
    device: object
    pool: None
    chunk_size: int | None


class EncodeOptions(PeerOptions, total=False):
    """All keywords of `SentenceEncoder.encode`."""

    prompt_name: str | None
    prompt: str | None
    batch_size: int | None
    batch_tokens: int | None
    truncate_dim: int | None
    show_progress_bar: bool | None
    on_progress: OnProgress | None


def check_peer_options(options: PeerOptions, *, device: str, is_tensor: bool) -> None:
    """Refuses what labse does not give.

    Args:
        options: what was asked.
        device: where the model is.
        is_tensor: whether a tensor is asked for.

    Raises:
        ValueError: an option has a value that cannot apply; the error says what to write.
        TypeError: there is no such option.
    """
    if unknown := sorted(set(options) - set(PeerOptions.__annotations__)):
        hint = "; mteb takes labse.evaluation.mteb_model.MtebModel(encoder, name=...)"
        raise TypeError(
            f"encode() got an unexpected keyword argument {unknown[0]!r}"
            f"{hint if unknown[0] in _OF_MTEB else ''}"
        )
    if not options.get("normalize_embeddings", True):
        raise ValueError(
            "normalize_embeddings=False: LaBSE ends in its norm, its vectors are unit rows"
        )
    if not (options.get("convert_to_numpy", True) or is_tensor):
        raise ValueError(
            "convert_to_numpy=False: encode returns an array, or with convert_to_tensor=True a "
            "tensor; list(...) of either makes a list"
        )
    value = options.get("output_value", "sentence_embedding")
    if value != "sentence_embedding":
        raise ValueError(f"output_value {value!r}: labse gives sentence vectors alone")
    precision = options.get("precision", "float32")
    if precision != "float32":
        raise ValueError(
            f"precision {precision!r}: encode returns float32; labse.encode_files(..., "
            'storage="int8") writes narrow vectors, and SentenceEncoder(..., precision="int8") '
            "computes with narrow matrices"
        )
    for name in ("pool", "chunk_size"):
        if options.get(name) is not None:
            raise ValueError(
                f"{name}: encode uses the CPUs by itself (SentenceEncoder(..., threads=N)); for "
                "many files labse.encode_files(..., jobs=N) starts processes"
            )
    _check_device(options.get("device"), device)


def _check_device(asked: object, device: str) -> None:
    if isinstance(asked, list | tuple):
        raise ValueError("device: one device; labse.encode_files(..., jobs=N) starts processes")
    # "cuda" is any of them.
    if asked is not None and str(asked) not in (device, device.partition(":")[0]):
        raise ValueError(
            f"device {str(asked)!r}: the model is on {device}; load it there with "
            f"SentenceEncoder(..., device={str(asked)!r})"
        )


def check_sentences(sentences: Iterable[str]) -> list[str]:
    """Returns the sentences as a list.

    Raises:
        ValueError: one is no text, or not valid Unicode.
    """
    if isinstance(sentences, bytes):
        raise ValueError("sentences is of bytes; decode it: encode(sentences.decode())")
    rows = list(sentences)
    for row, sentence in enumerate(rows):
        if not isinstance(sentence, str):
            raise ValueError(f"sentences, row {row}: expected text, found {sentence!r}")
        try:
            sentence.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"sentences, row {row}: not valid Unicode, a lone surrogate stands at character "
                f"{error.start}; read the text with the right encoding"
            ) from None
    return rows


@contextlib.contextmanager
def draw_progress(on_progress: OnProgress | None, *, is_shown: bool) -> Iterator[OnProgress]:
    """Gives what is called with (done, total): the callback, or what draws a bar on a terminal."""
    if on_progress is not None or not is_shown or not sys.stderr.isatty():
        yield on_progress or (lambda done, total: None)
        return
    rich_progress = importlib.import_module("rich.progress")  # Not at the top: 50 ms to load.
    console = importlib.import_module("rich.console").Console(stderr=True)
    columns = (
        rich_progress.TextColumn("encode"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=console) as progress:
        task = progress.add_task("encode", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
