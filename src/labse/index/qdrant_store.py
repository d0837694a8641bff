"""A store on a server or cluster of Qdrant.

Takes: an address such as `qdrant://host:6333/news`; the key is read from QDRANT_API_KEY.
Gives: a `VectorStore`; rows are kept as the embedded engine keeps them.
Source: qdrant-client 1.20. Its local mode, `qdrant://:memory:/news`, serves the tests.

The server compacts by itself. What the vectors are of stands in a collection of its own.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError, ResourceError, UsageError
from labse.index.qdrant_payload import field_path, to_filter, to_hit, to_payload, to_row, truth_path
from labse.index.rows import Hit, IndexRow, columns_of
from labse.index.store import (
    StoreHeader,
    StoreInfo,
    close_on_error,
    extend_columns,
    point_id,
    sort_hits,
)
from labse.index.where import Where
from labse.runtime import require

__all__ = ["QdrantStore"]

_HEADERS = "labse_indexes"
_MEMORY = ":memory:"
_BATCH_ROWS = 500  # About 5 MiB of JSON; a server takes 32 MiB at once.
_OVERSAMPLING = 4.0
_GRAPH_EDGES = 16
_GRAPH_EF = 512
_TIMEOUT_SECONDS = 60


class QdrantStore:
    """A collection on a server; see `VectorStore`."""

    folder: Path | None = None

    def __init__(self, address: str, header: StoreHeader, client: Any) -> None:  # noqa: ANN401
        """Is called by `create` and `open`."""
        self.header = header
        self.name = _shown(address)
        self._address = address
        self._name = _name_of(address)
        self._client = client
        self._models = _require_models()

    @classmethod
    def create(cls, address: str, header: StoreHeader) -> Self:
        """Makes an empty store.

        Raises:
            UsageError: a collection of this name is there.
            ResourceError: the server cannot be reached, or the package is missing.
        """
        store = cls(address, header, _connect(address))
        with close_on_error(store):
            store._make_collections()
            store._add_index("lang", is_text=True)
            store._write_header()
        return store

    @classmethod
    def open(cls, address: str) -> Self:
        """Opens a store.

        Raises:
            LabseError: there is none of this name.
            ResourceError: the server cannot be reached, or the package is missing.
        """
        store = cls(address, StoreHeader("", 1), _connect(address))
        with close_on_error(store):
            found = []
            if store._call(store._client.collection_exists, _HEADERS):
                number = point_id(store._name)
                found = store._call(store._client.retrieve, _HEADERS, [number])
            if not found:
                raise LabseError(f"{store.name}: no such index; labse index FILES --out makes one")
            store.header = StoreHeader.from_json(found[0].payload, store.name)
        return store

    def add(self, rows: Sequence[IndexRow], embeddings: NDArray[np.float32]) -> int:
        """See `VectorStore`."""
        self._extend_columns(rows)
        num_replaced = 0
        for start in range(0, len(rows), _BATCH_ROWS):
            part = rows[start : start + _BATCH_ROWS]
            ids = [point_id(row.id) for row in part]
            num_replaced += self._count_ids(ids)
            vectors = embeddings[start : start + _BATCH_ROWS].tolist()
            points = [
                self._models.PointStruct(id=number, vector=vector, payload=to_payload(row))
                for number, vector, row in zip(ids, vectors, part, strict=True)
            ]
            self._call(self._client.upsert, self._name, points, wait=True)
        return num_replaced

    def delete(self, ids: Sequence[str]) -> int:
        """See `VectorStore`."""
        numbers = [point_id(row_id) for row_id in dict.fromkeys(ids)]
        num_found = 0
        for start in range(0, len(numbers), _BATCH_ROWS):
            part = numbers[start : start + _BATCH_ROWS]
            num_found += self._count_ids(part)
            selector = self._models.PointIdsList(points=part)
            self._call(self._client.delete, self._name, selector, wait=True)
        return num_found

    def search(
        self, queries: NDArray[np.float32], k: int, where: Where | None = None
    ) -> list[list[Hit]]:
        """See `VectorStore`."""
        models, params = self._models, None
        if _MEMORY not in self._address:  # Which searches exactly, and says so.
            quantization = models.QuantizationSearchParams(rescore=True, oversampling=_OVERSAMPLING)
            params = models.SearchParams(hnsw_ef=max(_GRAPH_EF, 2 * k), quantization=quantization)
        condition = self._to_filter(where)
        requests = [
            models.QueryRequest(
                query=query, limit=k, filter=condition, params=params, with_payload=True
            )
            for query in queries.tolist()
        ]
        found = self._call(self._client.query_batch_points, self._name, requests)
        return [
            sort_hits([to_hit(point.score, point.payload) for point in response.points])
            for response in found
        ]

    def count(self, where: Where | None = None) -> int:
        """See `VectorStore`."""
        condition = self._to_filter(where)
        found = self._call(self._client.count, self._name, count_filter=condition, exact=True)
        return int(found.count)

    def read(self, ids: Sequence[str]) -> list[IndexRow]:
        """See `VectorStore`."""
        numbers = [point_id(row_id) for row_id in ids]
        found = {}
        for start in range(0, len(numbers), _BATCH_ROWS):
            part = numbers[start : start + _BATCH_ROWS]
            for record in self._call(self._client.retrieve, self._name, part):
                found[str(record.id)] = to_row(record.payload)
        return [found[number] for number in numbers if number in found]

    def scan(
        self, batch_rows: int, where: Where | None = None
    ) -> Iterator[tuple[list[IndexRow], NDArray[np.float32]]]:
        """See `VectorStore`."""
        offset = None
        while True:
            records, offset = self._call(
                self._client.scroll,
                self._name,
                scroll_filter=self._to_filter(where),
                limit=batch_rows,
                offset=offset,
                with_payload=True,
                with_vectors=True,
            )
            if records:
                vectors = np.array([record.vector for record in records], np.float32)
                yield [to_row(record.payload) for record in records], vectors
            if offset is None:
                return

    def compact(self, *, graph: bool | None = None) -> None:
        """See `VectorStore`; the server itself decides when it builds what is asked for."""
        if graph is not None:
            diff = self._models.HnswConfigDiff(m=_GRAPH_EDGES if graph else 0)
            self._call(self._client.update_collection, self._name, hnsw_config=diff)

    def info(self) -> StoreInfo:
        """See `VectorStore`."""
        found = self._call(self._client.get_collection, self._name)
        num_indexed = found.indexed_vectors_count or 0
        is_graph = bool(found.config.hnsw_config and found.config.hnsw_config.m)
        return StoreInfo("qdrant", self.count(), num_indexed, is_graph, None)

    def close(self) -> None:
        """See `VectorStore`."""
        self._client.close()

    def _make_collections(self) -> None:
        models, client = self._models, self._client
        if self._call(client.collection_exists, self._name):
            raise UsageError(f"{self.name}: is there already; labse index add adds to an index")
        if not self._call(client.collection_exists, _HEADERS):
            vectors = models.VectorParams(size=1, distance=models.Distance.DOT)
            self._call(client.create_collection, _HEADERS, vectors_config=vectors)
        scalar = models.ScalarQuantizationConfig(
            type=models.ScalarType.INT8, quantile=0.99, always_ram=True
        )
        self._call(
            client.create_collection,
            self._name,
            vectors_config=models.VectorParams(
                size=self.header.embedding_size, distance=models.Distance.DOT
            ),
            quantization_config=models.ScalarQuantization(scalar=scalar),
        )

    def _count_ids(self, numbers: Sequence[str]) -> int:
        found = self._call(self._client.retrieve, self._name, numbers, with_payload=False)
        return len(found)

    def _to_filter(self, where: Where | None) -> object:
        return None if where is None else to_filter(where, _ClientParts(self._models))

    def _extend_columns(self, rows: Sequence[IndexRow]) -> None:
        header = extend_columns(self.header, columns_of(rows))
        if header is self.header:
            return
        samples = {name: value for row in rows for name, value in row.metadata.items()}
        for name in header.columns[len(self.header.columns) :]:
            is_truth = isinstance(samples[name], bool)
            path = truth_path(name) if is_truth else field_path(name)
            self._add_index(path, is_text=isinstance(samples[name], str | bool))
        self.header = header
        self._write_header()

    def _add_index(self, path: str, *, is_text: bool) -> None:
        if _MEMORY in self._address:
            return  # It would warn that it has no use for them.
        kinds = self._models.PayloadSchemaType
        kind = kinds.KEYWORD if is_text else kinds.FLOAT
        self._call(self._client.create_payload_index, self._name, path, kind)

    def _write_header(self) -> None:
        point = self._models.PointStruct(
            id=point_id(self._name), vector=[1.0], payload=self.header.to_json()
        )
        self._call(self._client.upsert, _HEADERS, [point], wait=True)

    def _call(self, function: Callable[..., Any], *arguments: object, **options: object) -> Any:  # noqa: ANN401
        """Calls the client; what goes wrong with the server is told in one line."""
        exceptions = require("qdrant_client.http.exceptions", "qdrant")
        try:
            return function(*arguments, **options)
        except (exceptions.ResponseHandlingException, OSError) as error:
            raise ResourceError(f"{self.name}: cannot be reached: {error}") from None
        except exceptions.UnexpectedResponse as error:
            text = " ".join(str(error).split())[:300]
            raise LabseError(f"{self.name}: the server says: {text}") from None


class _ClientParts:
    """See `FilterParts`."""

    def __init__(self, models: ModuleType) -> None:
        self._models = models

    def combine(self, **parts: list[object]) -> object:
        return self._models.Filter(**parts)

    def text(self, path: str, value: str) -> object:
        return self._models.FieldCondition(key=path, match=self._models.MatchValue(value=value))

    def numbers(self, path: str, bounds: Mapping[str, float]) -> object:
        return self._models.FieldCondition(key=path, range=self._models.Range(**bounds))

    def is_empty(self, path: str) -> object:
        return self._models.IsEmptyCondition(is_empty=self._models.PayloadField(key=path))


def _require_models() -> ModuleType:
    return require("qdrant_client.models", "qdrant")


def _name_of(address: str) -> str:
    name = urlsplit(address).path.strip("/")
    if not name or "/" in name or name == _HEADERS:
        raise UsageError(
            f"{_shown(address)}: write qdrant://HOST:6333/NAME, with the name of the index"
        )
    return name


def _shown(address: str) -> str:
    """Returns the address without a password that stands in it."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _connect(address: str) -> Any:  # noqa: ANN401
    client = require("qdrant_client", "qdrant").QdrantClient
    parts = urlsplit(address)
    _name_of(address)
    if parts.netloc == _MEMORY:
        return client(location=":memory:")
    scheme = "https" if parts.scheme == "qdrants" else "http"
    return client(
        url=f"{scheme}://{parts.netloc}",
        api_key=os.environ.get("QDRANT_API_KEY"),
        timeout=_TIMEOUT_SECONDS,
        check_compatibility=False,  # It would ask the server in a thread, and only warn.
    )
