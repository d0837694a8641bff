"""The sentence encoder: a model and its tokenizer as one function from text to unit vectors.

Takes: sentences of any language. Gives: (N, D) float32 unit rows, one for each, in order.
Source: Feng et al., arXiv 2007.01852, section 2.1.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, Unpack, cast, overload

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from labse.encoder.check.golden import check_golden
from labse.encoder.encode_options import (
    EncodeOptions,
    PeerOptions,
    check_peer_options,
    check_sentences,
    draw_progress,
)
from labse.encoder.language_notice import LanguageNotice
from labse.encoder.pooling import normalize_rows
from labse.encoder.runtimes.choice import (
    Precision,
    Runtime,
    RuntimeName,
    build_runtime,
    check_options,
)
from labse.encoder.save import save_model
from labse.encoder.similarity import similarity, similarity_pairwise
from labse.encoder.streaming import (
    BatchLimits,
    EncodedSentences,
    OnBatch,
    encode_distinct,
    encode_stream,
)
from labse.encoder.tokenization import SentenceTokenizer, TextOptions, TokenizedSentences
from labse.files.text import refuse_one_text
from labse.model_folder.folder import ModelFolder, open_model_folder
from labse.model_folder.hash import hash_model_folder
from labse.model_folder.hub import locate_model
from labse.model_folder.layout import Prompts
from labse.runtime import OnProgress, fork_safe_lock, require

if TYPE_CHECKING:
    from torch import Tensor

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
        device: str | None = None,
        precision: Precision = "float32",
        runtime: RuntimeName = "auto",
        threads: int | None = None,
        text: TextOptions | None = None,
    ) -> None:
        """Loads a model: ours, of sentence-transformers in the shape of LaBSE, a BERT, Google's.

        Args:
            path: the folder; None is the model that comes with labse. `LaBSE` or
                `owner/name` is one of the hub, read from its cache, or else downloaded.
            device: a GPU by its name in torch, such as `cuda`; None and `cpu` take the CPUs, but
                for the runtime torch, which takes a GPU if there is one.
            precision: of the matrices; the vectors are float32 always.
            runtime: "auto" is numpy for a model without layers, torch for bfloat16, and else
                ctranslate2.
            threads: CPU threads; None takes the CPUs there are. For torch it holds for the process.
            text: how long and odd text is treated, `labse.TextOptions`; None cuts and changes
                nothing.

        Raises:
            LabseError: the folder is missing, damaged or not supported.
            UsageError: the runtime does not have this precision or option, or cannot compute this
                model.
            ResourceError: torch is asked for and not installed.
        """
        folder = locate_model(path)
        device = None if device is None else str(device)
        check_options(runtime, precision, threads, device)
        model_sha256 = cache(partial(hash_model_folder, folder))
        # Its files are checked while the runtime is built; the block ends when both are done.
        with open_model_folder(folder) as model:
            built = build_runtime(
                model, runtime, precision, threads, device=device, model_sha256=model_sha256
            )
            length, prompts = model.config.max_seq_length, model.prompts
            max_positions = model.config.bert.max_position_embeddings
            self._join(built, model.tokenizer, length, text, prompts, model_sha256, max_positions)
            # Its sentences are not counted in `num_truncated`.
            checked = self.from_runtime(
                built, model.tokenizer, max_seq_length=length, prompts=prompts
            )
            num_golden = 8 if model.config.bert.num_hidden_layers else 50
            check_golden(checked, folder, precision=precision, max_sentences=num_golden)
        self._notice = LanguageNotice(folder)
        self._load = partial(  # type: ignore[assignment]
            type(self),
            folder,
            device=device,
            precision=precision,
            runtime=runtime,
            threads=threads,
            text=text,
        )

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path | None = None,
        *,
        device: str | None = None,
        precision: Precision = "float32",
        runtime: RuntimeName = "auto",
        threads: int | None = None,
        text: TextOptions | None = None,
    ) -> Self:
        """Loads a model, as `SentenceEncoder(path)` does."""
        return cls(
            path, device=device, precision=precision, runtime=runtime, threads=threads, text=text
        )

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
        max_positions: int | None = None,
    ) -> None:
        self._tokenizer = SentenceTokenizer(
            tokenizer, max_seq_length=max_seq_length, max_positions=max_positions, options=text
        )
        self._stated_length = max_seq_length
        self._runtime = runtime
        self._prompts = prompts or Prompts()
        self._model_sha256 = model_sha256
        self._num_long = 0
        self._num_unknown = 0
        self._lock = fork_safe_lock()
        self._notice = LanguageNotice(None)
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

    def __reduce__(self) -> tuple[Callable[..., "SentenceEncoder"], tuple[object, ...]]:
        """Pickles the folder and the options, and not the weights.

        Raises:
            TypeError: the encoder was not loaded from a folder.
        """
        if self._load is None:
            raise TypeError(
                "this SentenceEncoder was not loaded from a folder, so it cannot be pickled; "
                "write a model folder and use SentenceEncoder.from_pretrained"
            )
        if self.max_seq_length != self._stated_length:
            return _load_with_length, (self._load, self.max_seq_length)
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
        """Tokens of a sentence at most, [CLS] and [SEP] included; may be set.

        Raises:
            ValueError: it leaves no token for text, or is more than the model has positions for.
        """
        return self._tokenizer.max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, length: int) -> None:
        self._tokenizer.max_seq_length = length

    @property
    def device(self) -> str:
        """Where it computes: `cpu`, or a GPU's name in torch such as `cuda:0`."""
        return str(getattr(self._runtime, "device", "cpu"))

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
    def threads(self) -> int | None:
        """CPU threads that were asked for; None: those there are."""
        return None if self._load is None else cast("int | None", self._load.keywords["threads"])

    @property
    def folder(self) -> Path | None:
        """The folder that it was loaded from; None for an encoder that was built otherwise."""
        return None if self._load is None else Path(self._load.args[0])

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
        refuse_one_text(sentences, "sentences")
        return self._tokenizer.find_unknown(sentences)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the model; do not change it."""
        return self._tokenizer.backend

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch that suits the runtime, padding included."""
        return self._runtime.batch_tokens

    def tokenize_windows(
        self,
        sentences: Sequence[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
    ) -> TokenizedSentences:
        """Returns the ids that `encode` computes with, special ones and prompt included.

        Raises:
            ValueError: the model has no such prompt.
        """
        texts = self._prompts.put_before(sentences, prompt, prompt_name)
        return self._tokenizer.tokenize(list(texts))

    def embed(self, input_ids: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        """Returns (B, D) unit rows for ids of `tokenize_windows`; nothing is checked or counted."""
        return self._runtime.embed(input_ids)

    def hash_model(self) -> str | None:
        """Returns the SHA-256 of what the vectors come from; None for a runtime made by hand."""
        return None if self._model_sha256 is None else self._model_sha256()

    @overload
    def encode(
        self,
        sentences: str | Iterable[str],
        *,
        convert_to_tensor: Literal[False] = False,
        **options: Unpack[EncodeOptions],
    ) -> NDArray[np.float32]: ...

    @overload
    def encode(
        self,
        sentences: str | Iterable[str],
        *,
        convert_to_tensor: Literal[True],
        **options: Unpack[EncodeOptions],
    ) -> "Tensor": ...

    def encode(
        self,
        sentences: str | Iterable[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        truncate_dim: int | None = None,
        convert_to_tensor: bool = False,
        show_progress_bar: bool | None = None,
        on_progress: OnProgress | None = None,
        **options: Unpack[PeerOptions],
    ) -> "NDArray[np.float32] | Tensor":
        """Returns (N, D) float32 unit rows in the order of the sentences; (D,) for one string.

        Equal sentences are encoded once. An empty one has a vector too, that of `[CLS][SEP]`. The
        keywords are those of sentence-transformers.

        Args:
            sentences: N sentences, none of which gives (0, D); or one.
            prompt_name: name of one of the model's prompts; None takes its default, if it has one.
            prompt: text before each sentence.
            batch_size: sentences of a batch at most; None: `batch_tokens` alone decides.
            batch_tokens: tokens of a batch, padding included; None takes what suits the runtime.
            truncate_dim: values of a vector to keep, the first, scaled to length 1 again; None: D.
            convert_to_tensor: returns a torch tensor, on the CPU, in place of an array.
            show_progress_bar: draws a bar on standard error if that is a terminal.
            on_progress: called with the distinct sentences done and their number, in place of the
                bar.
            options: other keywords of sentence-transformers; see `PeerOptions`.

        Raises:
            ValueError: a row is no text or not valid Unicode, there is no such prompt, or an option
                asks for what labse does not give; the error says what to write.
            LabseError: the model gave NaN, infinity or zero for a row.
            ResourceError: a tensor is asked for and torch is not installed.
        """
        check_peer_options(options, device=self.device, is_tensor=convert_to_tensor)
        if truncate_dim is not None and not 1 <= truncate_dim <= self.embedding_size:
            raise ValueError(f"truncate_dim is {truncate_dim}; vectors have {self.embedding_size}")
        torch = require("torch", "train") if convert_to_tensor else None
        limits = BatchLimits(
            self._runtime.batch_tokens if batch_tokens is None else batch_tokens, batch_size
        )
        rows = [sentences] if isinstance(sentences, str) else sentences
        texts = self._notice.watch(check_sentences(rows))
        texts = self._prompts.put_before(texts, prompt, prompt_name)
        with draw_progress(on_progress, is_shown=bool(show_progress_bar)) as draw:
            encoded = encode_distinct(self._tokenizer, self._runtime, texts, limits, draw)
        with self._lock:
            self._num_long += int(encoded.is_long.sum())
            self._num_unknown += int(encoded.is_unknown.sum())
        embeddings = encoded.embeddings
        if truncate_dim is not None:
            embeddings = normalize_rows(embeddings[:, :truncate_dim])
        if isinstance(sentences, str):
            embeddings = embeddings[0]
        return embeddings if torch is None else torch.from_numpy(embeddings)

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
        refuse_one_text(sentences, "sentences")
        limits = limits or BatchLimits(self._runtime.batch_tokens)
        texts = self._prompts.put_before(self._notice.watch(sentences))
        return encode_stream(self._tokenizer, self._runtime, texts, limits, on_batch=on_batch)

    def encode_query(
        self, sentences: str | Iterable[str], **options: Unpack[EncodeOptions]
    ) -> NDArray[np.float32]:
        """Encodes with the prompt `query`, if the model has one; keywords are those of `encode`."""
        return self._encode_as(("query",), sentences, options)

    def encode_document(
        self, sentences: str | Iterable[str], **options: Unpack[EncodeOptions]
    ) -> NDArray[np.float32]:
        """Encodes with the prompt `document`, `passage` or `corpus`, if the model has one."""
        return self._encode_as(("document", "passage", "corpus"), sentences, options)

    def _encode_as(
        self, names: Sequence[str], sentences: str | Iterable[str], options: EncodeOptions
    ) -> NDArray[np.float32]:
        if "prompt" not in options and "prompt_name" not in options:
            options = options.copy()
            options["prompt_name"] = next((n for n in names if n in self._prompts.texts), None)
        return self.encode(sentences, **options)

    def tokenize(self, sentences: str | Iterable[str]) -> dict[str, NDArray[np.int64]]:
        """Returns what goes into the model, as arrays (N, S), padded at the end.

        S is the longest of the sentences, special tokens included, `max_seq_length` at most. No
        prompt is put before them.

        Returns:
            `input_ids`, `token_type_ids` (zeros) and `attention_mask` (1 where a token is).
        """
        rows = [sentences] if isinstance(sentences, str) else check_sentences(sentences)
        return self._tokenizer.tokenize_padded(rows)

    def save_pretrained(self, path: str | Path) -> None:
        """Writes the model, with its `max_seq_length`, as a folder for `SentenceEncoder(path)`.

        Where its matrices are float32, as in all but the model that comes with labse,
        sentence-transformers loads it too.

        Raises:
            TypeError: the encoder was not loaded from a folder.
            LabseError: `path` holds something else than a model.
            ResourceError: it cannot be written.
        """
        if self._load is None:
            raise TypeError(
                "this SentenceEncoder was not loaded from a folder, so it has no files to save"
            )
        save_model(
            self._load.args[0],
            Path(path),
            max_seq_length=self.max_seq_length,
            build_encoder=self.from_model,
        )

    def get_sentence_embedding_dimension(self) -> int:
        """Returns D; the name of sentence-transformers for `embedding_size`."""
        return self.embedding_size

    similarity = staticmethod(similarity)
    similarity_pairwise = staticmethod(similarity_pairwise)


def _load_with_length(load: Callable[[], SentenceEncoder], max_seq_length: int) -> SentenceEncoder:
    encoder = load()
    encoder.max_seq_length = max_seq_length
    return encoder
