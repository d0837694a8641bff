"""The index against its engine called directly and sentence-transformers' semantic_search.

Real sentences in many languages, as JSONL with the keys id, text, lang and year; the last ones
are the questions. Tells the rows a second of encoding and of adding, the seconds of making the
scan and the graph, the milliseconds of single questions (median and 95th percentile) and the share
of the ten nearest that are those of the exact search. On a machine that others use too, `cpu_ms`,
the mean processor time of a question, says more.

    python benchmarks/index.py sentences.jsonl --rows 200000 --out results/index.json
    python benchmarks/index.py sentences.jsonl --rows 1000000 --graph --vectors vectors.npy
    python benchmarks/index.py sentences.jsonl --kills 50
"""

import argparse
import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labse import EmbeddingIndex, SentenceEncoder
from labse.index.rows import IndexRow

K = 10
BATCH_ROWS = 4096


def read_rows(path: Path) -> Iterator[IndexRow]:
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            row = json.loads(line)
            yield IndexRow(row["id"], row["text"], row["lang"], {"year": row["year"]})


def find_exact(embeddings: NDArray[np.float32], queries: NDArray[np.float32]) -> list[set[int]]:
    best = [np.zeros((len(queries), 0))] * 2
    for start in range(0, len(embeddings), 50_000):
        cosines = queries @ embeddings[start : start + 50_000].T
        rows = np.broadcast_to(np.arange(start, start + cosines.shape[1]), cosines.shape)
        joined = [np.concatenate(pair, axis=1) for pair in zip(best, (cosines, rows), strict=True)]
        order = np.argsort(-joined[0], axis=1)[:, :K]
        best = [np.take_along_axis(part, order, axis=1) for part in joined]
    return [set(rows.astype(int).tolist()) for rows in best[1]]


def time_questions(
    search: Callable[[NDArray[np.float32]], list[int]],
    queries: NDArray[np.float32],
    exact: list[set[int]],
) -> dict[str, float]:
    seconds, found, cpu = [], 0, time.process_time()
    for query, wanted in zip(queries, exact, strict=True):
        start = time.perf_counter()
        rows = search(query)
        seconds.append(time.perf_counter() - start)
        found += len(wanted.intersection(rows))
    return {
        "p50_ms": round(1e3 * float(np.median(seconds)), 2),
        "cpu_ms": round(1e3 * (time.process_time() - cpu) / len(exact), 2),
        "p95_ms": round(1e3 * float(np.quantile(seconds, 0.95)), 2),
        "recall_at_10": round(found / K / len(exact), 4),
    }


def measure(
    path: Path, num_rows: int, vectors: Path | None, graph: bool
) -> Iterator[dict[str, Any]]:
    encoder = SentenceEncoder()
    if vectors is None:
        rows = list(itertools.islice(read_rows(path), num_rows + 200))
        start = time.perf_counter()
        embeddings = encoder.encode([row.text for row in rows])
        speed = len(rows) / (time.perf_counter() - start)
        yield {"what": "encode", "rows_per_second": round(speed)}
        del rows
    else:
        embeddings = np.load(vectors, mmap_mode="r")
    queries = np.array(embeddings[num_rows : num_rows + 200])
    embeddings = embeddings[:num_rows]
    exact = find_exact(embeddings, queries)

    with tempfile.TemporaryDirectory(dir=".") as folder:
        yield from measure_index(
            Path(folder, "index"), path, encoder, embeddings, queries, exact, graph
        )
        yield from measure_engine(Path(folder, "engine"), path, embeddings, queries, exact)
    yield from measure_peer(embeddings, queries, exact)


def measure_index(
    folder: Path,
    path: Path,
    encoder: SentenceEncoder,
    embeddings: NDArray[np.float32],
    queries: NDArray[np.float32],
    exact: list[set[int]],
    graph: bool,
) -> Iterator[dict[str, Any]]:
    with EmbeddingIndex.create(folder, encoder=encoder) as index:
        rows, seconds = read_rows(path), 0.0
        for start in range(0, len(embeddings), BATCH_ROWS):
            part = embeddings[start : start + BATCH_ROWS]
            batch = list(itertools.islice(rows, len(part)))
            begin = time.perf_counter()
            index.add_rows(batch, embeddings=part)
            seconds += time.perf_counter() - begin
        yield {"what": "labse add", "rows_per_second": round(len(embeddings) / seconds)}

        def search(query: NDArray[np.float32]) -> list[int]:
            return [int(hit.id[1:]) for hit in index.search_embeddings(query, K)[0]]

        def search_year(query: NDArray[np.float32]) -> list[int]:
            index.search_embeddings(query, K, where="year >= 2020")
            return []

        for kind in ("added", "scan", "graph")[: 3 if graph else 2]:
            begin = time.perf_counter()
            if kind != "added":
                index.compact(graph=kind == "graph")
            build = round(time.perf_counter() - begin, 1)
            num_asked = 30 if kind == "added" else len(queries)
            times = time_questions(search, queries[:num_asked], exact[:num_asked])
            filtered = time_questions(search_year, queries[:num_asked], exact[:num_asked])
            yield {
                "what": f"labse {kind}",
                "build_seconds": build,
                **times,
                "where_p50_ms": filtered["p50_ms"],
                "bytes": index.info().num_bytes,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
            }


def measure_engine(
    folder: Path,
    path: Path,
    embeddings: NDArray[np.float32],
    queries: NDArray[np.float32],
    exact: list[set[int]],
) -> Iterator[dict[str, Any]]:
    """Qdrant Edge as its quick start calls it, but with 8-bit vectors in place of a graph."""
    import qdrant_edge as edge

    config = edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(
            size=embeddings.shape[1],
            distance=edge.Distance.Dot,
            quantization_config=edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=0.99),
        ),
        hnsw_config=edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000),
    )
    shard = edge.EdgeShard.create(str(folder), config)
    rows, seconds = read_rows(path), 0.0
    for start in range(0, len(embeddings), BATCH_ROWS):
        part = embeddings[start : start + BATCH_ROWS]
        batch = list(itertools.islice(rows, len(part)))
        begin = time.perf_counter()
        points = [
            edge.Point(start + number, vector, {"id": row.id, "text": row.text, "lang": row.lang})
            for number, (row, vector) in enumerate(zip(batch, part.tolist(), strict=True))
        ]
        shard.update(edge.UpdateOperation.upsert_points(points))
        seconds += time.perf_counter() - begin
    yield {"what": "engine add", "rows_per_second": round(len(embeddings) / seconds)}
    begin = time.perf_counter()
    shard.optimize()
    build = round(time.perf_counter() - begin, 1)

    def search(query: NDArray[np.float32]) -> list[int]:
        request = edge.QueryRequest(limit=K, query=edge.Query.Nearest(query.tolist()))
        return [point.id for point in shard.query(request)]

    yield {"what": "engine scan", "build_seconds": build, **time_questions(search, queries, exact)}
    shard.close()


def measure_peer(
    embeddings: NDArray[np.float32], queries: NDArray[np.float32], exact: list[set[int]]
) -> Iterator[dict[str, Any]]:
    from sentence_transformers.util import semantic_search

    held = np.array(embeddings)

    def search(query: NDArray[np.float32]) -> list[int]:
        (hits,) = semantic_search(query, held, top_k=K)
        return [hit["corpus_id"] for hit in hits]

    times = time_questions(search, queries[:50], exact[:50])
    yield {"what": "sentence-transformers semantic_search", **times}


# ---- kills -------------------------------------------------------------------------------------

ADDER = """
import itertools, pathlib, sys
from benchmarks.index import read_rows
from labse import EmbeddingIndex
with EmbeddingIndex.open(sys.argv[2], wait_seconds=10) as index:
    rows = itertools.islice(read_rows(pathlib.Path(sys.argv[1])), int(sys.argv[3]), None)
    done = int(sys.argv[3])
    while batch := list(itertools.islice(rows, 200)):
        index.add_rows(batch)
        done += len(batch)
        print(done, flush=True)
        if not done % 2000:
            index.compact()
"""


def kill_adders(path: Path, num_kills: int) -> dict[str, Any]:
    """Kills a process that adds and compacts again and again; what it told must be there, whole."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        store = Path(folder, "index")
        EmbeddingIndex.create(store).close()
        done = 0
        for _ in range(num_kills):
            command = [sys.executable, "-c", ADDER, str(path), str(store), str(done)]
            adder = subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": "src:."}
            )
            assert adder.stdout is not None
            first = adder.stdout.readline()
            time.sleep(float(random.uniform(0.0, 1.5)))
            adder.send_signal(signal.SIGKILL)
            done = max(int(line) for line in [first, *adder.stdout.read().split()])
            adder.wait()
        wanted = {row.id: row for row in itertools.islice(read_rows(path), done)}
        with EmbeddingIndex.open(store, wait_seconds=10) as index:
            num_unasked = len(index) - done
            encoder, num_wrong = SentenceEncoder(), 0
            for rows, vectors in index.scan():
                units = encoder.encode([row.text for row in rows])
                for row, vector, unit in zip(rows, vectors, units, strict=True):
                    known = wanted.pop(row.id, row)
                    num_wrong += known != row or not np.allclose(vector, unit, atol=1e-5)
    return {
        "what": "kill -9 while adding and compacting",
        "kills": num_kills,
        "acknowledged_rows": done,
        "lost": len(wanted),
        "half": num_wrong,
        "rows_beyond": num_unasked,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sentences", type=Path)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--graph", action="store_true")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.kills:
        results = iter([kill_adders(options.sentences, options.kills)])
    else:
        results = measure(options.sentences, options.rows, options.vectors, options.graph)
    told = []
    for result in results:
        print(json.dumps(result), flush=True)
        told.append({"rows": options.rows, **result})
        if options.out:
            options.out.write_text("".join(json.dumps(row) + "\n" for row in told))


if __name__ == "__main__":
    main()
