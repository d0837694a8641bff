import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from labse.encoder.job.workers import Workers
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import InterruptedRunError

NONE = np.full((1, 2), -1, np.int64)


@pytest.mark.parametrize("jobs", [1, 2])
def test_they_compute_shards_and_count_sentences(
    encoder: SentenceEncoder, model_folder: Path, tmp_path: Path, jobs: int
) -> None:
    load = partial(SentenceEncoder.from_pretrained, model_folder)
    with Workers(encoder, jobs=jobs, load=load) as workers:
        futures = [
            workers.submit(["free", "free"], tmp_path, number, "float32", NONE)
            for number in range(3)
        ]
        assert [future.result().number for future in futures] == [0, 1, 2]
        assert workers.num_encoded == 3
        assert workers.embedding_size == 32


def test_they_give_up_when_told_to_stop(
    encoder: SentenceEncoder, model_folder: Path, tmp_path: Path
) -> None:
    load = partial(SentenceEncoder.from_pretrained, model_folder)
    with Workers(encoder, jobs=1, load=load) as workers:
        workers._shared.is_stopped.set()
        future = workers.submit(["free"], tmp_path, 0, "float32", NONE)
        with pytest.raises(InterruptedRunError):
            future.result()
        workers.stop()
    assert list(tmp_path.glob("shard-*")) == []


ORPHANS = """
import sys, time
from functools import partial
import numpy as np
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.job.workers import Workers
if __name__ == "__main__":
    load = partial(SentenceEncoder.from_pretrained, sys.argv[1])
    workers = Workers(load(), jobs=2, load=load)
    place = np.full((1, 2), -1, np.int64)
    workers.submit(["a"], sys.argv[2], 0, "float32", place).result()
    print(*workers._pool._processes, flush=True)
    time.sleep(60)
"""


def test_processes_end_when_their_parent_is_killed(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "orphans.py").write_text(ORPHANS)
    command = [sys.executable, tmp_path / "orphans.py", model_folder, tmp_path]
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        numbers = [int(word) for word in parent.stdout.readline().split()]
        assert numbers
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(is_alive(number) for number in numbers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(number: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
