"""Any encoder under one name: what an evaluation measures.

Takes: a model folder, `module:function`, or files of vectors made elsewhere.
Gives: an encoder; where it cuts sentences and that is known, it has a `max_seq_length`.
Source: docs/evaluation.md, "Any encoder".
"""

import importlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from labse.encoder.protocol import Encoder
from labse.encoder.runtimes.choice import Precision, RuntimeName
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError, UsageError
from labse.files.text import read_lines
from labse.runtime import require

__all__ = [
    "FunctionEncoder",
    "TransformersEncoder",
    "VectorFiles",
    "open_encoder",
]

_TRANSFORMERS = "sentence-transformers:"
_CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_SHOWN_CHARACTERS = 60


def open_encoder(
    name: str | Path | None,
    *,
    precision: Precision = "float32",
    runtime: RuntimeName = "auto",
    threads: int | None = None,
) -> Encoder:
    """Opens what `name` stands for.

    Args:
        name: a model folder, ours or of sentence-transformers in the shape of LaBSE;
            `module:function`, a function from a list of sentences to (N, D) vectors, or an object
            with such a method `encode`; `a.npy,b.npy`, vectors of the lines of `a.txt` and
            `b.txt`, also `lines.tsv=vectors.npy`; `sentence-transformers:FOLDER`, any model
            that this library loads; None is the model that comes with labse.
        precision: arithmetic of a model folder; see `SentenceEncoder.from_pretrained`.

    Raises:
        UsageError: no such module or function, or an option of model folders for another encoder.
        LabseError: a folder or file that cannot be used.
        ResourceError: sentence-transformers is asked for and not installed.
    """
    text = "" if name is None else str(name)
    is_foreign = text.startswith(_TRANSFORMERS)
    is_file = text.endswith(".npy") and not is_foreign
    is_callable = bool(_CALLABLE.fullmatch(text)) and not (
        is_foreign or is_file or Path(text).exists()
    )
    if (is_foreign or is_file or is_callable) and (precision, runtime, threads) != (
        "float32",
        "auto",
        None,
    ):
        raise UsageError(
            f"{text}: precision, runtime and threads are options of the model folders that labse "
            "runs itself; leave them out"
        )
    if is_foreign:
        return TransformersEncoder(text.removeprefix(_TRANSFORMERS))
    if is_file:
        return VectorFiles.read(text.split(","))
    if is_callable:
        return FunctionEncoder(_find_function(text))
    return SentenceEncoder.from_pretrained(
        name, precision=precision, runtime=runtime, threads=threads
    )


class FunctionEncoder:
    """A function from sentences to vectors, as an encoder."""

    def __init__(self, function: Callable[[list[str]], object]) -> None:
        self._function = function

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        """Returns what the function does; `encode_sentences` checks it."""
        return cast("NDArray[np.float32]", self._function(list(sentences)))


class TransformersEncoder:
    """A folder of sentence-transformers of any architecture, run by that library on the CPU."""

    def __init__(self, folder: str | Path) -> None:
        """Loads the model; nothing is downloaded, and no code of the folder is run.

        Raises:
            LabseError: no such folder, or none that the library can load.
            ResourceError: sentence-transformers is not installed.
        """
        if not Path(folder).is_dir():
            raise LabseError(f"{folder}: no such folder; nothing is downloaded")
        library = require("sentence_transformers", "peers")
        try:
            self._model = library.SentenceTransformer(
                str(folder), device="cpu", local_files_only=True, trust_remote_code=False
            )
        # What a broken folder raises depends on the file and on the version of the library.
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise LabseError(f"{folder}: sentence-transformers cannot load it: {reason}") from error

    @property
    def max_seq_length(self) -> int | None:
        """Tokens of a sentence at most; None if the model has no such bound."""
        length = self._model.max_seq_length
        return None if length is None else int(length)

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        """Returns what the library does; `encode_sentences` checks it."""
        vectors = self._model.encode(list(sentences), show_progress_bar=False)
        return cast("NDArray[np.float32]", vectors)


class VectorFiles:
    """Vectors made elsewhere, looked up by text; of a repeated line the first counts."""

    def __init__(self, rows: Mapping[str, int], embeddings: NDArray[np.floating]) -> None:
        self._rows = rows
        self._embeddings = embeddings

    @classmethod
    def read(cls, names: Sequence[str]) -> "VectorFiles":
        """Reads `vectors.npy`, whose lines are in `vectors.txt`, or `lines=vectors.npy`.

        Raises:
            LabseError: a file is missing or no array of floats, the numbers of lines and rows
                differ, or the widths of two files.
        """
        rows: dict[str, int] = {}
        kept: list[NDArray[np.floating]] = []
        for name in names:
            lines_path, _, path = name.rpartition("=")
            vectors = _load_vectors(Path(path))
            lines = list(read_lines(lines_path or _lines_beside(Path(path))))
            if len(lines) != len(vectors):
                raise LabseError(f"{path}: {len(vectors)} rows for {len(lines)} lines")
            if kept and kept[0].shape[1] != vectors.shape[1]:
                raise LabseError(
                    f"{path}: {vectors.shape[1]} dimensions, the first file has {kept[0].shape[1]}"
                )
            first = {line: number for number, line in reversed(list(enumerate(lines)))}
            new = {line: number for line, number in first.items() if line not in rows}
            index = list(new.values())
            rows.update(zip(new, range(len(rows), len(rows) + len(new)), strict=True))
            kept.append(vectors[index])
        return cls(rows, np.concatenate(kept))

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        """Returns the vectors of the sentences.

        Raises:
            LabseError: a sentence stands in none of the files.
        """
        missing = next((text for text in sentences if text not in self._rows), None)
        if missing is not None:
            raise LabseError(
                f"no vector for {missing[:_SHOWN_CHARACTERS]!r}: it is no line of the files given"
            )
        index = np.fromiter((self._rows[text] for text in sentences), np.int64, len(sentences))
        return self._embeddings[index].astype(np.float32, copy=False)


def _lines_beside(path: Path) -> Path:
    """Finds the lines of `a.npy`: `a.txt`, or `a` if that is a file."""
    bare = path.with_suffix("")
    return bare if bare.is_file() else bare.with_name(f"{bare.name}.txt")


def _load_vectors(path: Path) -> NDArray[np.floating]:
    try:
        vectors: NDArray[np.floating] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise LabseError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise LabseError(f"{path}: no .npy array of numbers: {error}") from None
    if vectors.ndim != 2 or not np.issubdtype(vectors.dtype, np.floating):
        raise LabseError(
            f"{path}: expected floats of shape (lines, dimensions), "
            f"not {vectors.dtype} of shape {vectors.shape}"
        )
    return vectors


def _find_function(name: str) -> Callable[[list[str]], object]:
    module_name, _, path = name.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # As python -m does; a console script does not.
    try:
        found: object = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        raise UsageError(f"{name}: no module {error.name!r} here or installed") from None
    except AttributeError:
        raise UsageError(f"{name}: the module {module_name} has no {path!r}") from None
    found = getattr(found, "encode", found)
    if not callable(found):
        raise UsageError(f"{name}: is no function and has no method encode")
    return cast("Callable[[list[str]], object]", found)
