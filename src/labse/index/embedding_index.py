"""The index: sentences in, the nearest sentences out, in any language.

Takes: sentences with ids, languages and metadata. Gives: hits, the best first.
Source: docs/search.md.

Dimensions: N sentences that are added, M questions, D embedding.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labse.encoder.protocol import Encoder, encode_sentences
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.source import AnyEncoderSource, load_any_encoder
from labse.errors import UsageError
from labse.files.npy import unit_rows
from labse.index.addresses import DEFAULT_MEMORY, create_store, open_store
from labse.index.rows import Hit, IndexRow, Value, canonical_lang, is_unicode
from labse.index.store import StoreHeader, StoreInfo, VectorStore, check_names
from labse.index.where import And, Equals, Where, parse_where

__all__ = ["Added", "EmbeddingIndex"]

_ADD_ROWS = 4096  # Encoded and stored at a time.


@dataclass(frozen=True, slots=True)
class Added:
    """What a call of `add` did.

    Attributes:
        num_added: rows with an id that was not there.
        num_replaced: rows with an id that was there, or that stands later in the call again.
        num_empty: texts of white space alone, which are left out: their vectors say nothing.
    """

    num_added: int = 0
    num_replaced: int = 0
    num_empty: int = 0

    def __add__(self, other: "Added") -> "Added":
        """Returns the sums."""
        return Added(
            self.num_added + other.num_added,
            self.num_replaced + other.num_replaced,
            self.num_empty + other.num_empty,
        )


class EmbeddingIndex:
    """Texts with their vectors in a store; a context manager that lets go of the store.

    Safe to call from several threads, but for `compact` and `close`.
    """

    def __init__(
        self, store: VectorStore, encoder: AnyEncoderSource = None, *, threads: int | None = None
    ) -> None:
        """Joins a store and the encoder of its model; see `create` and `open`.

        Args:
            store: of any engine.
            encoder: None loads the model that the store names, when it is needed.
            threads: CPU threads of that model; None takes the CPUs there are.

        Raises:
            UsageError: the vectors in the store are of another model.
        """
        self._store = store
        self._threads = threads
        self._encoder: Encoder | None = None
        if encoder is not None:
            self._encoder = _check_model(load_any_encoder(encoder), store.header)

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        encoder: AnyEncoderSource = None,
        model: str | None = None,
        memory_bytes: int = DEFAULT_MEMORY,
    ) -> Self:
        """Makes an empty index.

        Args:
            path: a folder that is empty or not there.
            encoder: gives the vectors; one of another class needs a method `hash_model`.
            model: name or folder by which a later `open` loads the encoder; None: that of `encoder`
                if it is a name or folder, else the one that comes with labse.
            memory_bytes: for vectors that are held; others are read from the disk.

        Raises:
            UsageError: something is there.
            ResourceError: the store cannot be written, or its engine is not installed.
            TypeError: the encoder does not know its model.
        """
        if model is None and isinstance(encoder, str | Path):
            model = str(encoder)
        loaded = load_any_encoder(encoder)
        size = encode_sentences(loaded, ["Where is the station?"]).shape[1]
        header = StoreHeader(_hash_model(loaded), size, model)
        return cls(create_store(path, header, memory_bytes=memory_bytes), loaded)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        encoder: AnyEncoderSource = None,
        memory_bytes: int = DEFAULT_MEMORY,
        wait_seconds: float = 0.0,
        threads: int | None = None,
    ) -> Self:
        """Opens an index. No other process can use a folder until this one closes it.

        Args:
            path: the folder.
            encoder: of the model of the index; None loads that when it is needed.
            memory_bytes: see `create`.
            wait_seconds: for another process to close it.
            threads: CPU threads of the model that the index names, where `encoder` is None.

        Raises:
            LabseError: it is no index, or damaged.
            UsageError: another process holds it, or the encoder is of another model.
            ResourceError: the engine is not installed.
        """
        store = open_store(path, memory_bytes=memory_bytes, wait_seconds=wait_seconds)
        try:
            return cls(store, encoder, threads=threads)
        except BaseException:
            store.close()
            raise

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the store."""
        self.close()

    def __len__(self) -> int:
        """Returns the number of rows."""
        return self._store.count()

    @property
    def folder(self) -> Path | None:
        """Where it lies; None: on a server."""
        return self._store.folder

    @property
    def name(self) -> str:
        """The folder, or the address without its password."""
        return self._store.name

    @property
    def header(self) -> StoreHeader:
        """The model of the vectors, and the columns."""
        return self._store.header

    @property
    def encoder(self) -> Encoder:
        """The encoder of the model.

        Raises:
            UsageError: the model that the index names is another one by now.
            LabseError: it cannot be loaded.
        """
        if self._encoder is None:
            header = self._store.header
            encoder = SentenceEncoder(header.model, threads=self._threads)
            self._encoder = _check_model(encoder, header)
        return self._encoder

    def add(
        self,
        sentences: Sequence[str],
        *,
        ids: Sequence[str],
        langs: Sequence[str | None] | str | None = None,
        metadata: Sequence[Mapping[str, Value]] | None = None,
        embeddings: ArrayLike | None = None,
    ) -> Added:
        """Stores sentences; a row whose id is there already is replaced.

        When it returns, the rows outlive the process, also kill -9. Against a power cut a folder is
        written to the disk every ten seconds and by `close`. Of equal ids in one call the last one
        stays.

        Args:
            sentences: N texts.
            ids: of each.
            langs: of each or of all; None: not known.
            metadata: of each: text, numbers or truth values by name.
            embeddings: (N, D) of the sentences, of the model of the index; None encodes them.

        Raises:
            ValueError: the lengths differ, or a value cannot be stored; nothing is added.
            LabseError, ResourceError: the store says so.
        """
        if langs is None or isinstance(langs, str):
            langs = [langs] * len(sentences)
        metadata = metadata if metadata is not None else [{}] * len(sentences)
        named = (("ids", ids), ("langs", langs), ("metadata", metadata))
        for name, values in named:
            if isinstance(values, str) or len(values) != len(sentences):
                raise ValueError(f"{name}: {len(values)} for {len(sentences)} sentences")
        rows = []
        for number, parts in enumerate(zip(ids, sentences, langs, metadata, strict=True)):
            row_id, text, lang, columns = parts
            try:
                rows.append(IndexRow(row_id, text, canonical_lang(lang), dict(columns)))
            except ValueError as error:
                raise ValueError(f"sentence {number}: {error}") from None
        return self.add_rows(rows, embeddings=embeddings)

    def add_rows(self, rows: Sequence[IndexRow], *, embeddings: ArrayLike | None = None) -> Added:
        """Stores rows; see `add`."""
        vectors = None
        if embeddings is not None:
            vectors = self._check_embeddings(embeddings, len(rows))
        last = {row.id: number for number, row in enumerate(rows)}
        kept = [number for number in last.values() if rows[number].text.strip()]
        num_empty = len(last) - len(kept)
        num_replaced = len(rows) - len(last)
        num_there = 0
        for start in range(0, len(kept), _ADD_ROWS):
            numbers = kept[start : start + _ADD_ROWS]
            part = [rows[number] for number in numbers]
            if vectors is None:
                units = unit_rows(encode_sentences(self.encoder, [row.text for row in part]))
            else:
                units = vectors[numbers]
            num_there += self._store.add(part, units)
        return Added(len(kept) - num_there, num_replaced + num_there, num_empty)

    @overload
    def search(  # type: ignore[overload-overlap] # A str is a Sequence[str].
        self, sentences: str, k: int = ..., *, where: str | None = ..., lang: str | None = ...
    ) -> list[Hit]: ...

    @overload
    def search(
        self,
        sentences: Sequence[str],
        k: int = ...,
        *,
        where: str | None = ...,
        lang: str | None = ...,
    ) -> list[list[Hit]]: ...

    def search(
        self,
        sentences: str | Sequence[str],
        k: int = 10,
        *,
        where: str | None = None,
        lang: str | None = None,
    ) -> list[Hit] | list[list[Hit]]:
        """Returns the k nearest rows of one sentence, or a list of them for each of several.

        A sentence of white space alone finds nothing.

        Args:
            sentences: the questions, in any language.
            k: rows for each, at most.
            where: a condition such as `year >= 2020 and source in (wiki, news)`; the grammar
                stands in `labse.index.where`.
            lang: of the rows.

        Raises:
            UsageError: a condition that cannot be read, or a column that is not there.
            ValueError: `k` is below 1.
        """
        condition = self._read_condition(where, lang)
        if isinstance(sentences, str):
            return self._search([sentences], k, condition)[0]
        return self._search(list(sentences), k, condition)

    def search_embeddings(
        self,
        queries: ArrayLike,
        k: int = 10,
        *,
        where: str | None = None,
        lang: str | None = None,
    ) -> list[list[Hit]]:
        """Returns the nearest rows of (M, D) vectors of the model; see `search`."""
        if k < 1:
            raise ValueError(f"k is {k}; it must be at least 1")
        units = self._check_embeddings(queries, None)
        return self._store.search(units, k, self._read_condition(where, lang))

    def delete(
        self, ids: str | Iterable[str] = (), *, where: str | None = None, lang: str | None = None
    ) -> int:
        """Deletes the rows of these ids, and those for which a condition is true.

        Returns:
            How many there were.
        """
        named = [ids] if isinstance(ids, str) else list(ids)
        if where is not None or lang is not None:
            named += [row.id for rows, _ in self.scan(where=where, lang=lang) for row in rows]
        return self._store.delete([row_id for row_id in named if is_unicode(row_id)])

    def count(self, *, where: str | None = None, lang: str | None = None) -> int:
        """Returns for how many rows a condition is true."""
        return self._store.count(self._read_condition(where, lang))

    def read(self, ids: Iterable[str]) -> list[IndexRow]:
        """Returns the rows of these ids that are there, in their order."""
        return self._store.read([row_id for row_id in ids if is_unicode(row_id)])

    def scan(
        self, batch_rows: int = 1000, *, where: str | None = None, lang: str | None = None
    ) -> Iterator[tuple[list[IndexRow], NDArray[np.float32]]]:
        """Yields rows with their (N, D) vectors, in an order of its own."""
        return self._store.scan(batch_rows, self._read_condition(where, lang))

    def compact(self, *, graph: bool | None = None) -> None:
        """Frees what was deleted and makes searches fast.

        Args:
            graph: True builds a graph, which takes minutes to hours and answers from a million
                rows in milliseconds, missing one of a hundred; False takes it away; None keeps
                what there is.
        """
        self._store.compact(graph=graph)

    def info(self) -> StoreInfo:
        """Returns the state of the store."""
        return self._store.info()

    def close(self) -> None:
        """Lets go of the store; another process can open it."""
        self._store.close()

    def _search(self, sentences: list[str], k: int, where: Where | None) -> list[list[Hit]]:
        if k < 1:
            raise ValueError(f"k is {k}; it must be at least 1")
        asked = [number for number, sentence in enumerate(sentences) if sentence.strip()]
        found: list[list[Hit]] = [[] for _ in sentences]
        if asked:
            units = unit_rows(encode_sentences(self.encoder, [sentences[n] for n in asked]))
            for number, hits in zip(asked, self._store.search(units, k, where), strict=True):
                found[number] = hits
        return found

    def _read_condition(self, where: str | None, lang: str | None) -> Where | None:
        parts: list[Where] = []
        if where is not None:
            parts.append(parse_where(where))
            check_names(parts[0], self._store.header)
        if lang is not None:
            parts.append(Equals("lang", (canonical_lang(lang),)))
        if len(parts) == 2:
            return And(tuple(parts))
        return parts[0] if parts else None

    def _check_embeddings(self, embeddings: ArrayLike, num_rows: int | None) -> NDArray[np.float32]:
        rows = np.atleast_2d(np.asarray(embeddings, np.float32))
        size = self._store.header.embedding_size
        if rows.ndim != 2 or rows.shape[1] != size or num_rows not in (None, len(rows)):
            wanted = "M" if num_rows is None else num_rows
            raise ValueError(f"vectors of shape {rows.shape}; expected ({wanted}, {size})")
        return unit_rows(rows)


def _hash_model(encoder: Encoder) -> str:
    hash_model = getattr(encoder, "hash_model", None)
    model_sha256 = hash_model() if hash_model else None
    if not isinstance(model_sha256, str):
        raise TypeError(
            "encoder: it does not know its model; load it with SentenceEncoder.from_pretrained, or "
            "give it a method hash_model that returns what identifies the model"
        )
    return model_sha256


def _check_model(encoder: Encoder, header: StoreHeader) -> Encoder:
    found = _hash_model(encoder)
    if found != header.model_sha256:
        name = header.model or "the one that comes with labse"
        raise UsageError(
            f"the vectors of the index are of another model ({header.model_sha256[:12]}, {name}) "
            f"than this encoder ({found[:12]}); open it with that model, or build the index anew"
        )
    return encoder
