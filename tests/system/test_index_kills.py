"""An index that is killed while rows are added."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.index.conftest import ToyEncoder

from labse.index.embedding_index import EmbeddingIndex

pytestmark = pytest.mark.system
pytest.importorskip("qdrant_edge")

ROOT = Path(__file__).parents[2]
ADDER = """
import sys
from labse.index.embedding_index import EmbeddingIndex
from tests.unit.index.conftest import ToyEncoder
with EmbeddingIndex.open(sys.argv[1], encoder=ToyEncoder(), wait_seconds=10) as index:
    for start in range(int(sys.argv[2]), 10**6, 20):
        ids = [str(number) for number in range(start, start + 20)]
        index.add([f"text {number}" for number in ids], ids=ids)
        print(start + 20, flush=True)
"""


def test_rows_that_were_acknowledged_outlive_kill_9_whole(tmp_path: Path) -> None:
    store, encoder, done = tmp_path / "store", ToyEncoder(), 0
    EmbeddingIndex.create(store, encoder=encoder).close()
    for num_lines in (1, 7):
        adder = subprocess.Popen(
            [sys.executable, "-c", ADDER, store, str(done)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)])},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert adder.stdout is not None
        told = [adder.stdout.readline() for _ in range(num_lines)]
        adder.send_signal(signal.SIGKILL)
        told += adder.stdout.read().split()
        done = max(map(int, told))
        adder.stdout.close()
        adder.wait()

    with EmbeddingIndex.open(store, encoder=encoder, wait_seconds=10) as index:
        pairs = [pair for part in index.scan() for pair in zip(*part, strict=True)]
        rows = {row.id: (row, vector) for row, vector in pairs}
        assert len(index) == len(pairs) >= done
        for number in map(str, range(done)):
            row, vector = rows[number]
            (unit,) = encoder.encode([f"text {number}"])
            assert row.text == f"text {number}"
            assert vector @ unit > 0.9999 * float(unit @ unit) ** 0.5
