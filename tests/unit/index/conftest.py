"""A store of each engine, empty, and an encoder of eight dimensions."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

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


def _edge(folder: Path) -> VectorStore:
    pytest.importorskip("qdrant_edge")
    from labse.index.edge_store import EdgeStore

    return EdgeStore.create(folder / "store", HEADER, memory_bytes=1 << 20)


ENGINES: dict[str, Callable[[Path], VectorStore]] = {"edge": _edge}


@pytest.fixture(params=sorted(ENGINES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorStore]:
    """An empty store of 8 dimensions, of each engine in turn."""
    made = ENGINES[request.param](tmp_path)
    yield made
    made.close()
