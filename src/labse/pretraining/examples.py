"""Examples: text packed to a length, pairs side by side, in memory and on disk.

Dimensions: E examples, T tokens of all of them, B examples asked for.
Source: Conneau and Lample, arXiv 1901.07291, section 3.3 (TLM); Liu et al., arXiv 1907.11692,
section 4.2 (full sentences, packed).
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError
from labse.files.atomic import read_json, write_atomic, write_json
from labse.files.npy import gather_ragged

__all__ = [
    "ExampleCollector",
    "JoinedPair",
    "Objective",
    "TextPacker",
    "TokenizedExamples",
    "join_pair",
]

Objective = Literal["mlm", "tlm"]
_ARRAYS = ("input_ids", "offsets", "source_lengths", "groups")


@dataclass(frozen=True, slots=True)
class TokenizedExamples:
    """Examples of both objectives, one after the other.

    Attributes:
        input_ids: (T,) int32, special tokens included.
        offsets: (E + 1,) int64; example e is input_ids[offsets[e]:offsets[e + 1]].
        source_lengths: (E,) int32 tokens of [CLS] source [SEP]; 0 for text.
        groups: (E,) int32 index into `group_names`.
        group_names: objective and language, as "mlm deu" and "tlm eng-deu".
    """

    input_ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    source_lengths: NDArray[np.int32]
    groups: NDArray[np.int32]
    group_names: tuple[str, ...]

    @property
    def group_tokens(self) -> NDArray[np.int64]:
        """(G,) tokens of each group."""
        tokens = np.zeros(len(self.group_names), np.int64)
        np.add.at(tokens, self.groups, np.diff(self.offsets))
        return tokens

    def gather(self, examples: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Returns the flat ids (T,) and the lengths (B,) of some examples, in the order given."""
        return gather_ragged(self.input_ids, self.offsets, examples)

    def save(self, folder: Path) -> None:
        """Writes the arrays as .npy files, then the JSON file that makes them valid."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _ARRAYS:
            with write_atomic(folder / f"{name}.npy") as stream:
                np.save(stream, getattr(self, name))
        write_json(folder / "examples.json", {"group_names": self.group_names})

    @classmethod
    def load(cls, folder: Path) -> "TokenizedExamples":
        """Maps a folder written by `save` into memory.

        Raises:
            LabseError: a file is missing or damaged.
        """
        names = read_json(folder / "examples.json").get("group_names")
        try:
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        except (OSError, ValueError, EOFError) as error:
            raise LabseError(f"{folder}: damaged ({error}); delete it and run again") from None
        if not isinstance(names, list):
            raise LabseError(f"{folder}: damaged (no group_names); delete it and run again")
        return cls(**arrays, group_names=tuple(names))


class TextPacker:
    """Packs the sentences of documents into examples, each language by itself.

    Sentences are added while they fit whole; a longer one than an example is cut into several, and
    nothing is lost. An example ends where its document ends, unless `cross_documents`.

    Args:
        max_seq_length: tokens of an example, [CLS] and [SEP] included.
        cls_id: id of [CLS], which comes before the first piece.
        sep_id: id of [SEP], which comes after the last piece and between documents.
        cross_documents: whether an example may hold the end of one document and the next.
    """

    def __init__(
        self, *, max_seq_length: int, cls_id: int, sep_id: int, cross_documents: bool
    ) -> None:
        self._room = max_seq_length - 2
        self._cls_id, self._sep_id = cls_id, sep_id
        self._cross_documents = cross_documents
        self._pieces: dict[str, list[int]] = {}
        self._documents: dict[str, object] = {}

    def add(self, lang: str, document: object, pieces: list[int]) -> Iterator[list[int]]:
        """Adds a sentence and yields the examples that are full; equal documents are one."""
        pending = self._pieces.setdefault(lang, [])
        is_other = self._documents.get(lang, document) != document
        self._documents[lang] = document
        joint = [self._sep_id] if pending and is_other and self._cross_documents else []
        must_end = is_other and not self._cross_documents
        if pending and (must_end or len(pending) + len(joint) + len(pieces) > self._room):
            yield self._finish(pending)
            pending, joint = [], []
        while len(pieces) > self._room:
            yield self._finish(pieces[: self._room])
            pieces = pieces[self._room :]
        self._pieces[lang] = pending + joint + pieces

    def flush(self) -> Iterator[tuple[str, list[int]]]:
        """Yields the last example of each language, which is not full."""
        for lang, pending in self._pieces.items():
            if pending:
                yield lang, self._finish(pending)
        self._pieces.clear()

    def _finish(self, pieces: Sequence[int]) -> list[int]:
        return [self._cls_id, *pieces, self._sep_id]


@dataclass(frozen=True, slots=True)
class JoinedPair:
    """[CLS] source [SEP] target [SEP].

    Attributes:
        input_ids: tokens of both sides.
        source_length: tokens up to the first [SEP], that included.
        is_cut: whether pieces were left out.
    """

    input_ids: list[int]
    source_length: int
    is_cut: bool


def join_pair(
    source: Sequence[int], target: Sequence[int], *, max_seq_length: int, cls_id: int, sep_id: int
) -> JoinedPair:
    """Joins the pieces of two sides; of the longer one the end is cut first.

    BERT's truncate_seq_pair takes one piece at a time, of the target where both are as long, and at
    random from the front or the end. Here only ends are cut, and of two long sides the target keeps
    the odd piece.
    """
    room = max_seq_length - 3
    half = room // 2
    if len(source) + len(target) <= room:
        num_source, num_target = len(source), len(target)
    elif len(source) <= half:
        num_source, num_target = len(source), room - len(source)
    elif len(target) <= room - half:
        num_source, num_target = room - len(target), len(target)
    else:
        num_source, num_target = half, room - half
    ids = [cls_id, *source[:num_source], sep_id, *target[:num_target], sep_id]
    is_cut = num_source + num_target < len(source) + len(target)
    return JoinedPair(ids, num_source + 2, is_cut)


class ExampleCollector:
    """Collects examples into flat arrays; groups are numbered as they appear."""

    def __init__(self) -> None:
        self._input_ids, self._lengths = array("i"), array("i")
        self._source_lengths, self._groups = array("i"), array("i")
        self._names: dict[str, int] = {}

    def add(
        self, objective: Objective, lang: str, input_ids: Sequence[int], source_length: int = 0
    ) -> None:
        """Adds one example; `lang` is a tag, or two as "eng-deu"."""
        self._input_ids.extend(input_ids)
        self._lengths.append(len(input_ids))
        self._source_lengths.append(source_length)
        self._groups.append(self._names.setdefault(f"{objective} {lang}", len(self._names)))

    def build(self) -> TokenizedExamples:
        """Returns the examples in the order added, without a copy; no more can be added."""
        lengths = np.asarray(self._lengths)
        return TokenizedExamples(
            input_ids=np.asarray(self._input_ids),
            offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
            source_lengths=np.asarray(self._source_lengths),
            groups=np.asarray(self._groups),
            group_names=tuple(self._names),
        )
