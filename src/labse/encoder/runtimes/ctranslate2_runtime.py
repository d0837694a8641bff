"""A model on CTranslate2: built once from our weights, cached, run on the CPU in float32 or int8.

Takes: a `ModelFolder`, ragged token ids. Gives: (B, D) float32 unit rows.
Source: OpenNMT/CTranslate2, `specs.transformer_spec` and the mapping of its `BertLoader`.
"""

import contextlib
import ctypes
import hashlib
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from labse.encoder.pooling import copy_dense, pool_tokens, project_and_normalize
from labse.encoder.streaming import token_budget_batches
from labse.errors import LabseError, ResourceError, UsageError
from labse.files.system import cache_folder, count_threads
from labse.model_folder.folder import ModelFolder

__all__ = ["CTranslate2Runtime"]

_logger = logging.getLogger(__name__)
# The widest activations of a part, 6 MiB in float32, to stay near the processor: 512 tokens
# of BERT-Base. A batch has 16 parts, which keeps the processors busy until its end.
_PART_VALUES = 3 << 19
_PARTS_OF_BATCH = 16
_MIN_PARTS = 4  # Of a small batch, for the processors of a small machine ...
_MIN_PART_TOKENS = 128  # ... unless the parts would cost more than they save.
_CACHE = "ctranslate2"
_CACHE_FORMAT = "4"  # Part of the key: a change of the mapping below must not meet old files.
_SCRATCH_PREFIX = ".converting-"
_SCRATCH_SECONDS = 3600
# CTranslate2 names the type of the weights and, after the underscore, that of the rest.
_COMPUTE_TYPES = {"float32": "float32", "int8": "int8_float32"}


class CTranslate2Runtime:
    """Embeds with CTranslate2, which skips padding and calls its own kernels for each CPU.

    A batch is cut into parts, and each is computed by one thread: 1.2 times as fast in int8 on two
    cores as two threads that share every product and wait for each other, and as fast for a short
    sentence. What a part holds does not depend on `threads`, so neither do the bytes.

    Pooling, the dense layer and the norm are NumPy float32, in products too small for OpenBLAS to
    share out. The converted model of a folder is kept under
    `$LABSE_CACHE`, else `$XDG_CACHE_HOME/labse`, else `~/.cache/labse`, by the SHA-256 of the
    folder's files; where that cannot be written it is converted at each start. Thread-safe.
    """

    def __init__(
        self,
        model: ModelFolder,
        *,
        precision: Literal["float32", "int8"] = "float32",
        threads: int | None = None,
        model_sha256: Callable[[], str] | None = None,
    ) -> None:
        """Converts the model, or takes it from the cache.

        Args:
            model: a model with at least one layer.
            precision: of the matrices; "int8" takes a quarter of the memory.
            threads: parts computed at the same time; None takes `OMP_NUM_THREADS` where that is
                set, else the CPUs that this process may use.
            model_sha256: computes the hash of the folder that the model was read from; None for a
                model made in memory, which is converted each time.

        Raises:
            UsageError: the model has no layers, or this CPU has no int8.
            ResourceError: there is no room for the converted model.
        """
        if not model.config.bert.num_hidden_layers:
            raise UsageError(
                "CTranslate2 needs at least one layer, this model has none; "
                "use the runtime numpy or torch"
            )
        compute_type = _COMPUTE_TYPES[precision]
        if compute_type not in ctranslate2.get_supported_compute_types("cpu"):
            raise UsageError(f"CTranslate2 has no {precision} on this CPU; use float32")
        self._config = model.config
        self._dense = copy_dense(model.weights)
        threads = threads or count_threads()
        _keep_freed_memory()
        name = None if model_sha256 is None else _cache_name(model_sha256(), compute_type)
        self._encoder = _load_converted(model, compute_type, name, threads=threads)
        self._reload = partial(_reload, name, compute_type, threads)
        self._start_threads(threads)

    def _start_threads(self, num_threads: int) -> None:
        self._num_threads = num_threads
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix="labse-ctranslate2")
        self._process = os.getpid()
        self._lock = threading.Lock()

    def _follow_fork(self) -> None:
        """Loads the model again in a forked process, which has none of its parent's threads."""
        with self._lock:
            if self._process == os.getpid():
                return
            # Never freed: it would wait for threads that are not here.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._encoder))
            self._encoder = self._reload()
            self._start_threads(self._num_threads)

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch that suits this runtime, padding included."""
        return _PARTS_OF_BATCH * self._part_tokens

    @property
    def _part_tokens(self) -> int:
        return max(_PART_VALUES // self._config.bert.intermediate_size, 1)

    @property
    def embedding_size(self) -> int:
        """D, the width of a vector."""
        return self._config.output_size

    def embed(self, input_ids: Sequence[Sequence[int] | NDArray[np.int32]]) -> NDArray[np.float32]:
        """Returns (B, D) float32 unit rows for B sentences of any lengths, at least 1 each.

        Raises:
            LabseError: an id has no row in the word table.
            ResourceError: the process was forked, and the model is not kept in the cache.
        """
        if self._process != os.getpid():
            self._follow_fork()
        ids = [np.asarray(sentence).tolist() for sentence in input_ids]
        lengths = np.array([len(sentence) for sentence in ids], dtype=np.int64)
        largest = max((max(sentence) for sentence in ids), default=0)
        if largest >= self._config.bert.vocab_size:  # It would read what lies behind the table.
            raise LabseError(f"no row of the word table has the id {largest}; change the tokenizer")
        pooled_BH = np.empty((len(ids), self._config.bert.hidden_size), np.float32)

        def pool(rows: NDArray[np.int64]) -> None:
            output = self._encoder.forward_batch([ids[row] for row in rows])
            hidden_BSH = np.asarray(output.last_hidden_state)  # A view; `output` owns the values.
            pooled_BH[rows] = pool_tokens(hidden_BSH, lengths[rows], self._config.pooling)

        parts = _split(lengths, self._part_tokens)
        if len(parts) == 1:  # Another thread would only cost.
            pool(parts[0])
        else:
            list(self._threads.map(pool, parts))
        return project_and_normalize(pooled_BH, self._config, self._dense)


def _split(lengths: NDArray[np.int64], part_tokens: int) -> list[NDArray[np.int64]]:
    """Cuts a batch into parts by nothing but its lengths."""
    share = max(int(lengths.sum()) // _MIN_PARTS, _MIN_PART_TOKENS)
    return token_budget_batches(lengths, min(part_tokens, share))


def _keep_freed_memory() -> None:
    """Makes glibc use memory again that a layer gave back: 1.6 times as fast in int8.

    Else each layer's buffers go to the system and come back as pages to be cleared. glibc sets its
    bounds by the largest block of up to 32 MiB that was ever freed (mallopt(3), M_MMAP_THRESHOLD);
    this one is never touched, so it takes no memory.
    """
    np.empty(31 << 20, np.uint8)


def _load_converted(
    model: ModelFolder, compute_type: str, name: str | None, *, threads: int
) -> ctranslate2.Encoder:
    """Loads the converted model from the cache; makes it first if it is not there or damaged.

    What is in the cache was made of checked weights; they are read only to make it.
    """
    # Take what an earlier start has kept.
    cache = cache_folder(_CACHE)
    cached = cache / name if name else None
    if cached and cached.is_dir():
        try:
            return _load(cached, compute_type, threads)
        except RuntimeError as error:
            _logger.warning("%s: damaged (%s); converting the model again", cached, error)
            shutil.rmtree(cached, ignore_errors=True)

    # Convert, in the cache or, where that cannot be written, for this process alone.
    model.wait_for_checks()  # Or a copy of damaged weights would bear the name of good ones.
    _remove_left(cache)
    failures: list[str] = []
    for parent in (cache, None):  # None: the folder for temporary files.
        try:
            if parent:
                parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=parent, prefix=_SCRATCH_PREFIX) as scratch:
                converted = Path(scratch) / "model"
                converted.mkdir()
                _convert(model, compute_type, converted)
                encoder = _load(converted, compute_type, threads)
                if parent and cached:
                    # It has been loaded, so it is whole. Another process may have been faster.
                    with contextlib.suppress(OSError):
                        converted.rename(cached)
                if failures:
                    _logger.warning("%s; the converted model is not kept", failures[0])
                return encoder
        except OSError as error:
            place = parent or "the folder for temporary files"
            failures.append(f"{place}: {error.strerror or error}")
    raise ResourceError(
        f"no room for the converted model ({'; '.join(failures)}); set LABSE_CACHE to a folder on "
        "a larger disk"
    )


def _reload(name: str | None, compute_type: str, threads: int) -> ctranslate2.Encoder:
    """Loads a model from the cache, in a forked process.

    Raises:
        ResourceError: it is not there, or damaged.
    """
    cached = cache_folder(_CACHE) / (name or "-")
    try:
        if cached.is_dir():
            return _load(cached, compute_type, threads)
    except RuntimeError as error:
        _logger.warning("%s: damaged (%s)", cached, error)
    raise ResourceError(
        "this process was forked from the one that loaded the model, whose threads it does not "
        "have; load the model in each worker after the fork (gunicorn without --preload), or start "
        "workers with spawn"
    )


def _remove_left(cache: Path) -> None:
    """Deletes what killed processes left: a conversion takes less than a minute, not hours."""
    for scratch in cache.glob(f"{_SCRATCH_PREFIX}*"):
        with contextlib.suppress(OSError):
            if scratch.stat().st_mtime < time.time() - _SCRATCH_SECONDS:
                shutil.rmtree(scratch, ignore_errors=True)


def _load(folder: Path, compute_type: str, threads: int) -> ctranslate2.Encoder:
    return ctranslate2.Encoder(
        str(folder), device="cpu", compute_type=compute_type, inter_threads=threads, intra_threads=1
    )


def _cache_name(model_sha256: str, compute_type: str) -> str:
    key = f"{_CACHE_FORMAT} {compute_type} {model_sha256}"
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _convert(model: ModelFolder, compute_type: str, folder: Path) -> None:
    # Not at the top: `specs` imports torch where it is installed, which takes seconds, and a
    # cached model needs none of it.
    from ctranslate2.specs import common_spec, model_spec, transformer_spec

    bert = model.config.bert
    gelu = common_spec.Activation
    encoder = transformer_spec.TransformerEncoderSpec(
        bert.num_hidden_layers,
        bert.num_attention_heads,
        pre_norm=False,
        activation=gelu.GELUTanh if bert.hidden_act == "gelu_tanh" else gelu.GELU,
        layernorm_embedding=True,
        num_source_embeddings=2,
        embeddings_merge=common_spec.EmbeddingsMerge.ADD,
    )
    spec = transformer_spec.TransformerEncoderModelSpec(encoder)
    _fill_spec(spec.encoder, model.weights, is_rounded=compute_type != "float32")
    spec.register_vocabulary([str(number) for number in range(bert.vocab_size)])
    spec.config.layer_norm_epsilon = bert.layer_norm_eps
    spec.validate()
    # Ids are never looked up, and reading half a million pieces takes 0.4 s of each start.
    spec.register_vocabulary(["0"])
    spec.optimize(quantization=compute_type)
    if compute_type != "float32":
        for linear, names in _linears(spec.encoder):
            matrix = np.concatenate([model.weights[f"{name}.weight"] for name in names])
            rows, scales = _round_rows(matrix)
            linear.weight = model_spec.NumpyVariable(rows)
            linear.weight_scale = model_spec.NumpyVariable(scales)
    spec.save(str(folder))


def _round_rows(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Returns rows of int8, and what each row was multiplied by before it was rounded.

    Without VNNI, processors multiply unsigned by signed bytes and add two neighbours in 16 bits
    (VPMADDUBSW), which saturates: 255 * (127 + 127) does not fit. So a row is scaled until its
    neighbours of one sign add up to 128 at most. Least cosine with float32 of the random models in
    tests/parity on AVX2: .981 when rows were scaled to 127 alone (2026-11-29).
    """
    rows, width = matrix.shape
    pairs = np.zeros((rows, (width + 1) // 2, 2), np.float32)
    pairs.reshape(rows, -1)[:, :width] = matrix
    largest = np.maximum(pairs.clip(min=0).sum(axis=2), -pairs.clip(max=0).sum(axis=2)).max(axis=1)
    scales = (127 / np.where(largest, largest, 1)).astype(np.float32)
    return np.rint(matrix * scales[:, np.newaxis]).astype(np.int8), scales


def _linears(
    spec: "ctranslate2.specs.TransformerEncoderSpec",
) -> Iterator[tuple["ctranslate2.specs.common_spec.LinearSpec", list[str]]]:
    """Yields each matrix of the layers with the names of ours that stand in it, one on another."""
    for index, layer in enumerate(spec.layer):
        name = f"encoder.layer.{index}"
        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        yield layer.self_attention.linear[0], parts
        yield layer.self_attention.linear[1], [f"{name}.attention.output.dense"]
        yield layer.ffn.linear_0, [f"{name}.intermediate.dense"]
        yield layer.ffn.linear_1, [f"{name}.output.dense"]


def _fill_spec(
    spec: "ctranslate2.specs.TransformerEncoderSpec",
    weights: Mapping[str, NDArray[np.float32]],
    *,
    is_rounded: bool,
) -> None:
    def fill_norm(norm: "ctranslate2.specs.common_spec.LayerNormSpec", name: str) -> None:
        norm.gamma, norm.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]

    spec.scale_embeddings = False
    for embedding, kind in zip(spec.embeddings, ("word", "token_type"), strict=True):
        table = weights[f"embeddings.{kind}_embeddings.weight"]
        # CTranslate2 scales and rounds in place when it quantizes.
        embedding.weight = table.copy() if is_rounded else table
    spec.position_encodings.encodings = weights["embeddings.position_embeddings.weight"]
    fill_norm(spec.layernorm_embedding, "embeddings.LayerNorm")

    for linear, names in _linears(spec):
        linear.weight = np.concatenate([weights[f"{name}.weight"] for name in names])
        linear.bias = np.concatenate([weights[f"{name}.bias"] for name in names])
    for index, layer in enumerate(spec.layer):
        name = f"encoder.layer.{index}"
        fill_norm(layer.self_attention.layer_norm, f"{name}.attention.output.LayerNorm")
        fill_norm(layer.ffn.layer_norm, f"{name}.output.LayerNorm")
