"""The sentence encoder: a model and its tokenizer as one function from text to unit vectors.

Takes: sentences of any language. Gives: (N, D) float32 unit rows, one for each, in order.
Source: Feng et al., arXiv 2007.01852, section 2.1.
"""

import contextlib
import importlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from labse.encoder.check.golden import check_golden
from labse.encoder.runtimes.choice import (
    Precision,
    Runtime,
    RuntimeName,
    build_runtime,
    check_options,
)
from labse.encoder.similarity import similarity, similarity_pairwise
from labse.encoder.streaming import (
    BatchLimits,
    EncodedSentences,
    OnBatch,
    UniqueTexts,
    encode_stream,
)
from labse.encoder.tokenization import SentenceTokenizer, TextOptions
from labse.model_folder.folder import ModelFolder, open_model_folder
from labse.model_folder.hash import hash_model_folder
from labse.model_folder.hub import DEFAULT_NAME, locate_model
from labse.model_folder.layout import Prompts

__all__ = ["SentenceEncoder"]


class SentenceEncoder:
    """Encodes sentences as unit vectors; translations of each other get a high cosine.

    Safe to call from several threads; from a coroutine, `await asyncio.to_thread(encode, ...)`.
    """

    _load: partial[Self] | None  # Makes another one like it, in another process.

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        precision: Precision = "float32",
        runtime: RuntimeName = "auto",
        threads: int | None = None,
        text: TextOptions | None = None,
    ) -> None:
        """Loads a model: ours, of sentence-transformers in the shape of LaBSE, a BERT, Google's.

        Args:
            path: the folder; None is the model that comes with labse. `LaBSE` or
                `owner/name` is one of the hub, read from its cache, or else downloaded.
            precision: of the matrices; the vectors are float32 always.
            runtime: "auto" is numpy for a model without layers, torch for bfloat16, and else
                ctranslate2.
            threads: CPU threads; None takes the CPUs there are. For torch it holds for the process;
                numpy works in one.
            text: how long and odd text is treated; None cuts and changes nothing.

        Raises:
            LabseError: the folder is missing, damaged or not supported.
            UsageError: the runtime does not have this precision or option, or cannot compute this
                model.
            ResourceError: torch is asked for and not installed.
        """
        folder = locate_model(DEFAULT_NAME if path is None else path)
        check_options(runtime, precision, threads)
        model_sha256 = cache(partial(hash_model_folder, folder))
        # Its files are checked while the runtime is built; the block ends when both are done.
        with open_model_folder(folder) as model:
            built = build_runtime(model, runtime, precision, threads, model_sha256=model_sha256)
            length, prompts = model.config.max_seq_length, model.prompts
            self._join(built, model.tokenizer, length, text, prompts, model_sha256)
            # Its sentences are not counted in `num_truncated`.
            checked = self.from_runtime(
                built, model.tokenizer, max_seq_length=length, prompts=prompts
            )
            num_golden = 8 if model.config.bert.num_hidden_layers else 50
            check_golden(checked, folder, precision=precision, max_sentences=num_golden)
        options = {"precision": precision, "runtime": runtime, "threads": threads, "text": text}
        self._load = partial(type(self), folder, **options)  # type: ignore[arg-type, assignment]

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path | None = None,
        *,
        precision: Precision = "float32",
        runtime: RuntimeName = "auto",
        threads: int | None = None,
        text: TextOptions | None = None,
    ) -> Self:
        """Loads a model, as `SentenceEncoder(path)` does."""
        return cls(path, precision=precision, runtime=runtime, threads=threads, text=text)

    @classmethod
    def from_runtime(
        cls,
        runtime: Runtime,
        tokenizer: Tokenizer,
        *,
        max_seq_length: int,
        text: TextOptions | None = None,
        prompts: Prompts | None = None,
    ) -> Self:
        """Joins a runtime and a tokenizer.

        Args:
            runtime: what computes the vectors.
            tokenizer: puts [CLS] and [SEP] around a sentence; not changed.
            max_seq_length: tokens of a sentence, [CLS] and [SEP] included; longer ones are counted
                in `num_long`.
            text: how long and odd text is treated.
            prompts: what stands before a text; that of `default_name` stands before all.

        Raises:
            LabseError: the tokenizer adds no special tokens.
        """
        encoder = cls.__new__(cls)
        encoder._join(runtime, tokenizer, max_seq_length, text, prompts, None)
        return encoder

    def _join(
        self,
        runtime: Runtime,
        tokenizer: Tokenizer,
        max_seq_length: int,
        text: TextOptions | None,
        prompts: Prompts | None,
        model_sha256: Callable[[], str] | None,
    ) -> None:
        self._tokenizer = SentenceTokenizer(tokenizer, max_seq_length=max_seq_length, options=text)
        self._runtime = runtime
        self._prompts = prompts or Prompts()
        self._model_sha256 = model_sha256
        self._num_long = 0
        self._num_unknown = 0
        self._lock = threading.Lock()
        self._load = None

    @classmethod
    def from_model(
        cls,
        model: ModelFolder,
        *,
        precision: Precision = "float32",
        runtime: RuntimeName = "auto",
        threads: int | None = None,
        text: TextOptions | None = None,
    ) -> Self:
        """Builds the encoder of a model in memory; see `from_pretrained`."""
        check_options(runtime, precision, threads)
        return cls.from_runtime(
            build_runtime(model, runtime, precision, threads),
            model.tokenizer,
            max_seq_length=model.config.max_seq_length,
            text=text,
            prompts=model.prompts,
        )

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[object, ...]]:
        """Pickles the folder and the options, and not the weights.

        Raises:
            TypeError: the encoder was not loaded from a folder.
        """
        if self._load is None:
            raise TypeError(
                "this SentenceEncoder was not loaded from a folder, so it cannot be pickled; "
                "write a model folder and use SentenceEncoder.from_pretrained"
            )
        return self._load, ()

    def __repr__(self) -> str:
        """Tells what it computes with."""
        return (
            f"SentenceEncoder(runtime={self.runtime_name!r}, embedding_size={self.embedding_size}, "
            f"max_seq_length={self.max_seq_length}, text={self.text})"
        )

    @property
    def embedding_size(self) -> int:
        """D, the width of a vector."""
        return self._runtime.embedding_size

    @property
    def max_seq_length(self) -> int:
        """Tokens of a sentence at most, [CLS] and [SEP] included."""
        return self._tokenizer.max_seq_length

    @property
    def text(self) -> TextOptions:
        """How long and odd text is treated."""
        return self._tokenizer.options

    @property
    def runtime_name(self) -> str:
        """What computes: `numpy`, `ctranslate2` or `torch`, or the name of a class of yours."""
        return type(self._runtime).__name__.removesuffix("Runtime").lower()

    @property
    def precision(self) -> str | None:
        """Arithmetic of its matrices; None for an encoder that was not loaded from a folder."""
        return None if self._load is None else str(self._load.keywords["precision"])

    @property
    def num_long(self) -> int:
        """Sentences over `max_seq_length` in all calls of `encode` so far."""
        return self._num_long

    @property
    def num_truncated(self) -> int:
        """Those of them that were cut; none if `text.long` is "mean"."""
        return self._num_long if self.text.long == "truncate" else 0

    @property
    def num_unknown(self) -> int:
        """Sentences of [UNK] alone, whose vectors say nothing, in all calls of `encode` so far."""
        return self._num_unknown

    def find_unknown(self, sentences: Sequence[str]) -> NDArray[np.bool_]:
        """Returns (N,): whether no piece of a sentence is known, so that its vector says nothing.

        Such lines, of emoji or a script that the vocabulary does not have, all have one vector.
        """
        return self._tokenizer.find_unknown(sentences)

    def hash_model(self) -> str | None:
        """Returns the SHA-256 of what the vectors come from; None for a runtime made by hand."""
        return None if self._model_sha256 is None else self._model_sha256()

    def encode(
        self,
        sentences: str | Iterable[str],
        *,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        normalize_embeddings: bool = True,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        output_value: str = "sentence_embedding",
        show_progress_bar: bool | None = None,
        on_progress: Callable[[int, int | None], None] | None = None,
    ) -> NDArray[np.float32]:
        """Returns (N, D) float32 unit rows in the order of the sentences; (D,) for one string.

        Equal sentences are encoded once. An empty one has a vector too, that of `[CLS][SEP]`. The
        keywords are those of sentence-transformers.

        Args:
            sentences: N sentences, none of which gives (0, D); or one.
            batch_size: sentences of a batch at most; None: `batch_tokens` alone decides.
            batch_tokens: tokens of a batch, padding included; None takes what suits the runtime.
            prompt: text before each sentence.
            prompt_name: name of one of the model's prompts; None takes its default, if it has one.
            normalize_embeddings: True; the norm is a part of LaBSE, and no model gives vectors
                without it.
            convert_to_numpy: True; `torch.from_numpy` makes a tensor of the array.
            convert_to_tensor: False, for the same reason.
            output_value: "sentence_embedding".
            show_progress_bar: draws a bar on standard error if that is a terminal.
            on_progress: called with the distinct sentences done and their number, in place of the
                bar.

        Raises:
            ValueError: a row is no text or not valid Unicode, there is no such prompt, or an option
                asks for what labse does not give; the error says what to write.
            LabseError: the model gave NaN, infinity or zero for a row.
        """
        if not normalize_embeddings:
            raise ValueError(
                "normalize_embeddings=False: LaBSE ends in its norm, its vectors are unit rows"
            )
        if convert_to_tensor or not convert_to_numpy:
            raise ValueError("encode returns an array; write torch.from_numpy(encoder.encode(...))")
        if output_value != "sentence_embedding":
            raise ValueError(f"output_value {output_value!r}: labse gives sentence vectors alone")
        if isinstance(sentences, str):
            rows = self.encode(
                [sentences],
                prompt=prompt,
                prompt_name=prompt_name,
                show_progress_bar=show_progress_bar,
                on_progress=on_progress,
            )
            embedding: NDArray[np.float32] = rows[0]
            return embedding
        prompt = self._find_prompt(prompt, prompt_name)
        unique = UniqueTexts.of(_check_sentences(sentences))
        num_texts = len(unique.texts)
        limits = BatchLimits(
            self._runtime.batch_tokens if batch_tokens is None else batch_tokens, batch_size
        )

        # Encode each text once, in parts, into the rows of one array.
        embeddings = np.empty((num_texts, self.embedding_size), np.float32)
        is_long, is_unknown = np.empty(num_texts, bool), np.empty(num_texts, bool)
        start = num_done = 0

        def count(num_sentences: int) -> None:
            nonlocal num_done
            num_done += num_sentences
            draw(num_done, num_texts)

        with _draw_progress(on_progress, is_shown=bool(show_progress_bar)) as draw:
            draw(0, num_texts)
            for part in self._encode_texts(unique.texts, prompt, limits, count):
                stop = start + len(part.embeddings)
                embeddings[start:stop], is_long[start:stop] = part.embeddings, part.is_long
                is_unknown[start:stop] = part.is_unknown
                start = stop

        # Back to the sentences.
        with self._lock:
            self._num_long += int(is_long[unique.numbers].sum())
            self._num_unknown += int(is_unknown[unique.numbers].sum())
        return embeddings if num_texts == len(unique.numbers) else embeddings[unique.numbers]

    def encode_stream(
        self,
        sentences: Iterable[str],
        *,
        limits: BatchLimits | None = None,
        on_batch: OnBatch | None = None,
    ) -> Iterator[EncodedSentences]:
        """Yields vectors of the sentences in order, in constant memory, each encoded by itself.

        The default prompt of the model, if it has one, is put before each. See
        `labse.encoder.streaming.encode_stream`; nothing is checked or counted here.
        """
        limits = limits or BatchLimits(self._runtime.batch_tokens)
        return self._encode_texts(sentences, self._find_prompt(None, None), limits, on_batch)

    def _find_prompt(self, prompt: str | None, name: str | None) -> str:
        texts = self._prompts.texts
        if prompt is not None:
            return prompt
        if name is not None and name not in texts:
            known = ", ".join(texts) or "none"
            raise ValueError(f"prompt_name {name!r}: the model has {known}")
        name = name or self._prompts.default_name
        return "" if name is None else texts[name]

    def _encode_texts(
        self,
        sentences: Iterable[str],
        prompt: str,
        limits: BatchLimits,
        on_batch: OnBatch | None,
    ) -> Iterator[EncodedSentences]:
        texts = (f"{prompt}{sentence}" for sentence in sentences) if prompt else sentences
        return encode_stream(self._tokenizer, self._runtime, texts, limits, on_batch=on_batch)

    def encode_query(self, sentences: str | Iterable[str]) -> NDArray[np.float32]:
        """Encodes with the prompt `query`, if the model has one."""
        return self._encode_as(("query",), sentences)

    def encode_document(self, sentences: str | Iterable[str]) -> NDArray[np.float32]:
        """Encodes with the prompt `document`, `passage` or `corpus`, if the model has one."""
        return self._encode_as(("document", "passage", "corpus"), sentences)

    def _encode_as(
        self, names: Sequence[str], sentences: str | Iterable[str]
    ) -> NDArray[np.float32]:
        name = next((name for name in names if name in self._prompts.texts), None)
        return self.encode(sentences, prompt_name=name)

    def get_sentence_embedding_dimension(self) -> int:
        """Returns D; the name of sentence-transformers for `embedding_size`."""
        return self.embedding_size

    similarity = staticmethod(similarity)
    similarity_pairwise = staticmethod(similarity_pairwise)


def _check_sentences(sentences: Iterable[str]) -> list[str]:
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
def _draw_progress(
    on_progress: Callable[[int, int | None], None] | None, *, is_shown: bool
) -> Iterator[Callable[[int, int | None], None]]:
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
