import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from labse.encoder.job.embeddings import open_embeddings
from labse.encoder.job.shard_run import EncodedFolder
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import InterruptedRunError, LabseError, ResourceError, UsageError
from labse.files.atomic import claim_folder

Fill = Callable[..., EncodedFolder]


def texts(count: int) -> list[str]:
    """Returns sentences of which some come again near by, some far away."""
    words = ["free", "equal", "rights", "and", "in", "dignity", "born"]
    rows = [f"{a} {b}" for a, b in itertools.product(words, words)]
    return [rows[n * n % 47] if n % 3 else "" if n % 5 == 0 else rows[n % 49] for n in range(count)]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_row_i_is_the_vector_of_sentence_i_whatever_was_copied(
    fill: Fill, encoder: SentenceEncoder, tmp_path: Path
) -> None:
    rows = texts(150)
    seen: list[int] = []
    written = fill(iter(rows), tmp_path / "out", report=seen.append)
    embeddings = open_embeddings(tmp_path / "out")
    np.testing.assert_allclose(embeddings[:], encoder.encode(rows), atol=1e-6)
    assert (written.num_rows, written.num_shards, written.embedding_size) == (150, 38, 32)
    assert written.num_empty == rows.count("") > 0
    assert embeddings.empty_rows.tolist() == [n for n, text in enumerate(rows) if not text]
    assert written.num_encoded == len(set(rows)) < 60  # Each once, however far apart.
    assert written.num_duplicates == 150 - written.num_encoded
    assert max(seen) <= 150 == seen[-1]


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_smaller_types_are_near_and_smaller(
    fill: Fill, encoder: SentenceEncoder, tmp_path: Path, storage: str
) -> None:
    rows = texts(90)
    fill(rows, tmp_path / "out", storage=storage)
    embeddings = open_embeddings(tmp_path / "out")
    cosines = np.einsum("nd,nd->n", embeddings[:], encoder.encode(rows))
    assert cosines.min() > 0.999
    assert embeddings.storage == storage


def test_processes_give_the_bytes_of_a_thread(fill: Fill, tmp_path: Path) -> None:
    rows = texts(150)
    fill(rows, tmp_path / "one")
    fill(rows, tmp_path / "two", jobs=2)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_a_run_that_is_stopped_anywhere_goes_on_to_the_same_bytes(
    fill: Fill, tmp_path: Path
) -> None:
    rows = texts(150)
    fill(rows, tmp_path / "whole")
    for stop in (0, 1, 5, 70, 149, 150):

        def stopped(stop: int = stop) -> Iterator[str]:
            yield from rows[:stop]
            raise KeyboardInterrupt

        with pytest.raises(InterruptedRunError, match="the same command goes on"):
            fill(stopped(), tmp_path / "out")
        with pytest.raises(LabseError, match="not whole yet"):
            open_embeddings(tmp_path / "out")
    (tmp_path / "out" / ".shard-000009.npy.123.tmp").touch()
    fill(rows, tmp_path / "out")
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")
    assert not list((tmp_path / "out").glob(".*.tmp"))


def test_a_whole_folder_is_done_again_only_where_a_file_is_gone(fill: Fill, tmp_path: Path) -> None:
    rows = texts(30)
    fill(rows, tmp_path / "out")
    before = bytes_of(tmp_path / "out")
    kept = (tmp_path / "out" / "shard-000003.npy").stat().st_mtime_ns
    (tmp_path / "out" / "shard-000002.npy").unlink()
    fill(rows, tmp_path / "out")
    assert bytes_of(tmp_path / "out") == before
    assert (tmp_path / "out" / "shard-000003.npy").stat().st_mtime_ns == kept


def test_another_input_is_refused_at_the_shard_that_differs(fill: Fill, tmp_path: Path) -> None:
    rows = texts(30)
    fill(rows, tmp_path / "out")
    with pytest.raises(LabseError, match="the input is not the one of its shard 2"):
        fill([*rows[:9], "other", *rows[10:]], tmp_path / "out")
    with pytest.raises(LabseError, match="the input ended before its shard 3"):
        fill(rows[:12], tmp_path / "out")


def test_vectors_of_two_models_do_not_meet_in_a_folder(fill: Fill, tmp_path: Path) -> None:
    fill(["free"], tmp_path / "out")
    with pytest.raises(UsageError, match="made with model_sha256 m, not n"):
        fill(["free"], tmp_path / "out", settings={"model_sha256": "n"})


def test_a_broken_input_keeps_what_is_whole(fill: Fill, tmp_path: Path) -> None:
    def broken() -> Iterator[str]:
        yield from texts(60)
        raise LabseError("line 61: broken")

    with pytest.raises(LabseError, match="line 61"):
        fill(broken(), tmp_path / "out")
    assert fill(texts(70), tmp_path / "out").num_rows == 70


def test_no_sentences_make_a_folder_without_shards(fill: Fill, tmp_path: Path) -> None:
    assert fill([], tmp_path / "out").num_shards == 0
    assert open_embeddings(tmp_path / "out").shape == (0, 32)


def test_the_manifest_tells_inputs_and_offsets(fill: Fill, tmp_path: Path) -> None:
    fill(texts(10), tmp_path / "out", inputs=lambda: [{"path": "a.txt", "num_rows": 10}])
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    assert manifest["inputs"] == [{"path": "a.txt", "num_rows": 10}]
    assert [shard["first_row"] for shard in manifest["shards"]] == [0, 4, 8]


def test_a_folder_that_another_process_holds_is_refused(fill: Fill, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with claim_folder(tmp_path / "out"), pytest.raises(UsageError, match=str(os.getpid())):
        fill(["free"], tmp_path / "out")


def test_a_place_that_is_no_folder_is_a_resource_error(fill: Fill, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="is a file"):
        fill(["free"], tmp_path / "file")
    with pytest.raises(ResourceError, match="cannot be written"):
        fill(["free"], tmp_path / "file" / "inside")


DYING = """
import os, sys
from functools import partial
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.job.shard_run import encode_folder
from labse.encoder.job.workers import Workers
from labse.errors import ResourceError
def load(path):
    os._exit(9)
if __name__ == "__main__":
    encoder = SentenceEncoder.from_pretrained(sys.argv[1])
    workers = Workers(encoder, jobs=2, load=partial(load, sys.argv[1]))
    try:
        encode_folder(workers, ["a"] * 9, sys.argv[2], settings={}, shard_rows=4, storage="float32")
    except ResourceError as error:
        print(error)
"""


def test_a_worker_that_dies_ends_the_run_with_an_error(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "dying.py").write_text(DYING)
    command = [sys.executable, tmp_path / "dying.py", model_folder, tmp_path / "out"]
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert "a worker process died" in done.stdout, done.stderr
