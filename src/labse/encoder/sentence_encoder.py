"""The sentence encoder: a model and its tokenizer as one function from text to unit vectors.

Takes: sentences of any language. Gives: (N, D) float32 unit rows, one for each, in order.
Source: Feng et al., arXiv 2007.01852, section 2.1.
"""

import importlib
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer

from labse.dual_encoder.folder import ModelFolder, read_model_folder
from labse.encoder.batching import token_budget_batches
from labse.encoder.pooling import normalize_rows
from labse.encoder.runtimes.numpy_runtime import NumpyRuntime
from labse.encoder.tokenization import tokenize_sentences
from labse.errors import LabseError, UsageError
from labse.runtime import require

__all__ = ["Precision", "Runtime", "RuntimeName", "SentenceEncoder"]

Precision = Literal["float32", "int8", "bfloat16"]
RuntimeName = Literal["auto", "ctranslate2", "numpy", "torch"]

_PRECISIONS = ("float32", "int8", "bfloat16")
_RUNTIMES: dict[str, tuple[Precision, ...]] = {
    "ctranslate2": ("float32", "int8"),
    "numpy": ("float32", "int8"),
    "torch": ("float32", "bfloat16"),
}
_DEFAULT_MODEL = Path(__file__).parents[1] / "models" / "default"


class Runtime(Protocol):
    """What computes vectors of token ids; safe to call from several threads."""

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch that suits it, padding included."""
        ...

    @property
    def embedding_size(self) -> int:
        """D, the width of a vector."""
        ...

    def embed(self, input_ids: Sequence[Sequence[int] | NDArray[np.int32]]) -> NDArray[np.float32]:
        """Returns (B, D) float32 unit rows for B sentences of any lengths."""
        ...


class SentenceEncoder:
    """Encodes sentences as unit vectors; translations of each other get a high cosine.

    Safe to call from several threads.
    """

    def __init__(self, runtime: Runtime, tokenizer: Tokenizer, *, max_seq_length: int) -> None:
        """Joins a runtime and a tokenizer; `from_pretrained` does so for a model folder.

        Args:
            runtime: what computes the vectors.
            tokenizer: puts [CLS] and [SEP] around a sentence; not changed.
            max_seq_length: tokens of a sentence, [CLS] and [SEP] included; the rest is cut off and
                counted in `num_truncated`.

        Raises:
            LabseError: the tokenizer adds no special tokens.
        """
        if tokenizer.truncation is not None or tokenizer.padding is not None:
            tokenizer = Tokenizer.from_str(tokenizer.to_str())
            tokenizer.no_truncation()
            tokenizer.no_padding()
        if len(tokenizer.encode("").ids) < 2:
            raise LabseError("the tokenizer puts no [CLS] and [SEP] around a sentence")
        self._runtime = runtime
        self._tokenizer = tokenizer
        self._max_seq_length = max_seq_length
        self._num_truncated = 0
        self._lock = threading.Lock()

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path | None = None,
        *,
        precision: Precision = "float32",
        runtime: RuntimeName = "auto",
        threads: int | None = None,
    ) -> Self:
        """Loads a model folder: one of ours, or of sentence-transformers in the shape of LaBSE.

        Args:
            path: the folder; None is the model that comes with labse. Nothing is downloaded.
            precision: of the matrices; the vectors are float32 always.
            runtime: "auto" is numpy for a model without layers, torch for bfloat16, and else
                ctranslate2.
            threads: CPU threads; None takes the CPUs there are. For torch it holds for the process;
                numpy takes none.

        Raises:
            LabseError: the folder is missing, damaged or not supported.
            UsageError: the runtime does not have this precision or option, or cannot compute this
                model.
            ResourceError: torch is asked for and not installed.
        """
        if precision not in _PRECISIONS:
            raise UsageError(f"precision {precision!r}: choose one of {', '.join(_PRECISIONS)}")
        if runtime != "auto" and runtime not in _RUNTIMES:
            raise UsageError(f"runtime {runtime!r}: choose one of auto, {', '.join(_RUNTIMES)}")
        if threads is not None and threads < 1:
            raise UsageError(f"threads is {threads}; it must be at least 1")
        if runtime != "auto":
            _check_precision(runtime, precision)
        model = read_model_folder(_default_model_folder() if path is None else path)
        return cls(
            _build_runtime(model, runtime, precision, threads),
            model.tokenizer,
            max_seq_length=model.config.max_seq_length,
        )

    @property
    def embedding_size(self) -> int:
        """D, the width of a vector."""
        return self._runtime.embedding_size

    @property
    def max_seq_length(self) -> int:
        """Tokens of a sentence at most, [CLS] and [SEP] included."""
        return self._max_seq_length

    @property
    def num_truncated(self) -> int:
        """Sentences cut to `max_seq_length` by all calls of `encode` so far."""
        return self._num_truncated

    def encode(
        self,
        sentences: Sequence[str],
        *,
        batch_tokens: int | None = None,
        show_progress: bool = False,
    ) -> NDArray[np.float32]:
        """Returns (N, D) float32 unit rows in the order of the sentences.

        Equal sentences are encoded once. An empty one has a vector too, that of [CLS][SEP].

        Args:
            sentences: N sentences; none is allowed and gives (0, D).
            batch_tokens: tokens of a batch, padding included; None takes what suits the runtime.
            show_progress: draws a bar on standard error if that is a terminal.

        Raises:
            ValueError: `sentences` is one string, or a row is no text or not valid Unicode.
            LabseError: the model gave NaN, infinity or zero for a row.
        """
        rows = _check_sentences(sentences)
        numbers = {sentence: number for number, sentence in enumerate(dict.fromkeys(rows))}
        inverse = np.fromiter((numbers[sentence] for sentence in rows), np.int64, len(rows))
        tokenized = tokenize_sentences(
            self._tokenizer, list(numbers), max_seq_length=self._max_seq_length
        )
        with self._lock:
            self._num_truncated += int(tokenized.is_truncated[inverse].sum())

        embeddings = np.empty((len(numbers), self.embedding_size), np.float32)
        max_tokens = self._runtime.batch_tokens if batch_tokens is None else batch_tokens
        batches = token_budget_batches(tokenized.lengths, max_tokens)
        for batch in _progress(batches, len(numbers), is_shown=show_progress):
            embeddings[batch] = self._runtime.embed(tokenized.select(batch))
        _check_embeddings(embeddings, inverse)
        return embeddings if len(numbers) == len(rows) else embeddings[inverse]

    @staticmethod
    def similarity(source: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns (N, M) cosines of (N, D) and (M, D) vectors, which need not be unit rows.

        Raises:
            ValueError: the arrays are not two matrices of one width.
        """
        if source.ndim != 2 or target.ndim != 2 or source.shape[1] != target.shape[1]:
            raise ValueError(f"expected (N, D) and (M, D), found {source.shape} and {target.shape}")
        return normalize_rows(source) @ normalize_rows(target).T


def _default_model_folder() -> Path:
    if not _DEFAULT_MODEL.is_dir():
        raise LabseError(
            "no default model is packaged in this version of labse; give the path of a model folder"
        )
    return _DEFAULT_MODEL


def _check_precision(runtime: str, precision: Precision) -> None:
    if precision not in _RUNTIMES[runtime]:
        others = [name for name, precisions in _RUNTIMES.items() if precision in precisions]
        raise UsageError(
            f"the runtime {runtime} has no {precision}; it has "
            f"{' and '.join(_RUNTIMES[runtime])}, and {precision} is in {' and '.join(others)}"
        )


def _build_runtime(
    model: ModelFolder, runtime: RuntimeName, precision: Precision, threads: int | None
) -> Runtime:
    """Chooses for "auto" and builds; only the runtime that is used is imported."""
    if runtime == "auto" and precision == "bfloat16":
        runtime = "torch"
    elif runtime == "auto":
        runtime = "ctranslate2" if model.config.bert.num_hidden_layers else "numpy"

    if runtime == "torch":
        torch = require("torch", "train")
        module = importlib.import_module("labse.encoder.runtimes.torch_runtime")
        if threads is not None:
            torch.set_num_threads(threads)
        built: Runtime = module.TorchRuntime.from_folder(model, precision=precision)
    elif runtime == "ctranslate2":
        module = importlib.import_module("labse.encoder.runtimes.ctranslate2_runtime")
        built = module.CTranslate2Runtime(model, precision=precision, threads=threads)
    else:
        if threads is not None:
            raise UsageError("threads: the numpy runtime works in one; leave the option out")
        built = NumpyRuntime(model, precision="int8" if precision == "int8" else "float32")
    return built


def _check_sentences(sentences: Sequence[str]) -> list[str]:
    if isinstance(sentences, str | bytes):
        raise ValueError("sentences is one string; give a list: encode([sentence])")
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


def _check_embeddings(embeddings: NDArray[np.float32], inverse: NDArray[np.int64]) -> None:
    # A unit row sums to one in squares; NaN, infinity and zero do not.
    is_bad = ~(np.abs(np.einsum("nd,nd->n", embeddings, embeddings) - 1) < 1e-3)
    if is_bad.any():
        row = int(np.flatnonzero(is_bad[inverse])[0])
        raise LabseError(
            f"sentences, row {row}: the model gave no finite unit vector; its weights are damaged"
        )


def _progress(
    batches: Sequence[NDArray[np.int64]], num_sentences: int, *, is_shown: bool
) -> Iterator[NDArray[np.int64]]:
    if not is_shown or not sys.stderr.isatty():
        yield from batches
        return
    columns = (TextColumn("encode"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("encode", total=num_sentences)
        for batch in batches:
            yield batch
            progress.advance(task, len(batch))
