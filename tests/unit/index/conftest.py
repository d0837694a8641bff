"""A store of each engine, empty, and an encoder of eight dimensions."""

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.index.postgres import run_server

from labse.index.edge_store import EdgeStore
from labse.index.postgres_store import PostgresStore
from labse.index.qdrant_store import QdrantStore
from labse.index.store import StoreHeader, VectorStore

HEADER = StoreHeader(model_sha256="a" * 64, embedding_size=8)


class ToyEncoder:
    """Words as directions: sentences that share words are near."""

    def __init__(self, name: str = "toy") -> None:
        self.name = name

    def hash_model(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        rows = np.full((len(sentences), 32), 1e-3, np.float32)
        for row, sentence in zip(rows, sentences, strict=True):
            for word in sentence.lower().split():
                row[hashlib.sha256(word.encode()).digest()[0] % 32] += 1
        return rows


@pytest.fixture
def toy_encoder() -> ToyEncoder:
    return ToyEncoder()


@pytest.fixture(scope="session")
def postgres_address() -> Iterator[str]:
    """A running server of PostgreSQL with pgvector."""
    with run_server() as address:
        yield address


@pytest.fixture(params=["edge", "postgres", "qdrant"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorStore]:
    """An empty store of 8 dimensions, of each engine in turn."""
    made: VectorStore
    if request.param == "edge":
        pytest.importorskip("qdrant_edge")
        made = EdgeStore.create(tmp_path / "store", HEADER, memory_bytes=1 << 20)
    elif request.param == "qdrant":
        pytest.importorskip("qdrant_client")
        made = QdrantStore.create("qdrant://:memory:/rows", HEADER)
    else:
        address = request.getfixturevalue("postgres_address")
        made = PostgresStore.create(f"{address}&table=rows_{secrets.token_hex(8)}", HEADER)
    yield made
    made.close()
