"""Many rows: they are compacted in parts while more are added."""

from pathlib import Path

import numpy as np
import pytest
from tests.unit.index.test_stores import some_rows

from labse.index import edge_store
from labse.index.edge_store import EdgeStore
from labse.index.store import StoreHeader

pytest.importorskip("qdrant_edge")


@pytest.mark.parametrize("size", [8, 384])  # Scanned in 8 bits, and in 2.
def test_rows_are_compacted_while_more_are_added_and_are_found(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_store, "PART_ROWS", 10_500)
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((1_200, 1, size))  # Texts that are near, ten by ten.
    embeddings = (centres + 0.7 * rng.standard_normal((1_200, 10, size))).astype(np.float32)
    embeddings = embeddings.reshape(12_000, size)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    rows, queries = some_rows(12_000), embeddings[::600]
    header = StoreHeader("a" * 64, size)
    store = EdgeStore.create(tmp_path / "store", header, memory_bytes=4 << 20)
    for start in range(0, 12_000, 4_000):
        store.add(rows[start : start + 4_000], embeddings[start : start + 4_000])
    assert store.info().num_compacted == 11_000
    for _ in range(2):
        num_found = 0
        cosines = queries @ embeddings.T
        for query_cosines, hits in zip(cosines, store.search(queries, 10), strict=True):
            best = {f"id {number}" for number in np.argsort(-query_cosines)[:10]}
            num_found += len(best.intersection(hit.id for hit in hits))
        assert num_found >= 0.98 * 10 * len(queries)
        store.close()
        store = EdgeStore.open(tmp_path / "store", memory_bytes=4 << 20)
    assert store.count() == 12_000
    store.close()


def test_what_a_killed_engine_was_writing_is_gone_once_the_store_is_opened(tmp_path: Path) -> None:
    EdgeStore.create(tmp_path / "store", StoreHeader("a" * 64, 8), memory_bytes=1 << 20).close()
    (segment,) = (tmp_path / "store/shard/segments").iterdir()
    (segment / ".atomicwriteXyZ").mkdir()
    (segment / ".atomicwriteXyZ/tmpfile.tmp").write_bytes(b"{")
    EdgeStore.open(tmp_path / "store", memory_bytes=1 << 20).close()
    assert not list((tmp_path / "store").rglob(".atomicwrite*"))
