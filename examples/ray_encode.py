"""Vectors of many files, each worker with a model of its own: pip install labse ray."""

import sys
from pathlib import Path

import ray

from labse import SentenceEncoder, encode_files


@ray.remote(num_cpus=1)
class Worker:
    """Holds a model; what it is given are paths, never text."""

    def __init__(self) -> None:
        self.encoder = SentenceEncoder.from_pretrained(threads=1)

    def encode(self, path: str, out: str) -> int:
        """Encodes one file into a folder, and returns its number of rows."""
        return encode_files([path], out, encoder=self.encoder).num_rows


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False)
    pool = ray.util.ActorPool([Worker.remote() for _ in range(2)])
    jobs = [(str(Path(path).resolve()), f"{Path(path).resolve()}.vectors") for path in sys.argv[1:]]
    rows = pool.map(lambda worker, job: worker.encode.remote(*job), jobs)
    for (_, out), num_rows in zip(jobs, rows, strict=True):
        print(f"{num_rows}\t{out}")
