import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.unit.json_executor import JsonExecutor

from labse.encoder.job.embeddings import open_embeddings
from labse.encoder.job.encode_files import encode_files
from labse.encoder.job.encode_folder import EncodedFolder
from labse.encoder.job.inputs import InputTexts
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.tokenization import TextOptions
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
    written = fill(rows, tmp_path / "out", on_progress=lambda done, total: seen.append(done))
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


def test_shards_that_copy_from_each_other_are_made_in_any_order(fill: Fill, tmp_path: Path) -> None:
    rows = texts(60)
    for storage in ("float32", "int8"):
        fill(rows, tmp_path / f"one-{storage}", storage=storage)
        # The last shard first: it leaves its part until what it copies is there.
        fill(rows, tmp_path / f"other-{storage}", storage=storage, jobs=JsonExecutor())
        assert bytes_of(tmp_path / f"one-{storage}") == bytes_of(tmp_path / f"other-{storage}")


def test_a_run_that_is_stopped_anywhere_goes_on_to_the_same_bytes(
    fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = texts(150)
    fill(rows, tmp_path / "whole")
    read = InputTexts.__iter__
    for stop in (0, 1, 5, 70, 149, 150):

        def stopped(self: InputTexts, stop: int = stop) -> Iterator[str]:
            yield from itertools.islice(read(self), stop)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(InputTexts, "__iter__", stopped)
            with pytest.raises(InterruptedRunError, match="the same command goes on"):
                fill(rows, tmp_path / "out")
        with pytest.raises(LabseError, match="not whole yet"):
            open_embeddings(tmp_path / "out")
    with (tmp_path / "out" / "progress.jsonl").open("a") as journal:
        journal.write('{"done": "99", "inp')  # A kill cuts a line short.
    (tmp_path / "out" / ".shard-000009.npy.123-0a1b2c3d.tmp").touch()
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
    whole = bytes_of(tmp_path / "out")
    with pytest.raises(LabseError, match="the input is not the one of its shard 2"):
        fill([*rows[:9], "other", *rows[10:]], tmp_path / "out")
    with pytest.raises(LabseError, match="the input ended before its shard 3"):
        fill(rows[:12], tmp_path / "out")
    assert bytes_of(tmp_path / "out") == whole


def test_vectors_of_two_models_or_settings_do_not_meet_in_a_folder(
    fill: Fill, model_folder: Path, tmp_path: Path
) -> None:
    fill(["free"], tmp_path / "out")
    other = SentenceEncoder.from_pretrained(model_folder, text=TextOptions(nfc=True))
    with pytest.raises(UsageError, match="another nfc"):
        fill(["free"], tmp_path / "out", encoder=other)
    with pytest.raises(UsageError, match="another storage"):
        fill(["free"], tmp_path / "out", storage="int8")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.txt").touch()
    with pytest.raises(UsageError, match=r"holds other files \(thesis\.txt\)"):
        fill(["free"], tmp_path / "x")


def test_a_damaged_record_is_an_error(fill: Fill, tmp_path: Path) -> None:
    fill(["free"], tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    manifest["shards"] = [{"number": 1}]
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(LabseError, match="not the record of a shard"):
        fill(["free"], tmp_path / "out")
    (tmp_path / "out" / "manifest.json").write_text('{"kind": "embeddings"}')
    with pytest.raises(LabseError, match="settings or shards are missing"):
        open_embeddings(tmp_path / "out")


def test_a_broken_input_keeps_what_is_whole(
    encoder: SentenceEncoder, fill: Fill, tmp_path: Path
) -> None:
    (tmp_path / "in.txt").write_bytes("".join(f"{text}\n" for text in texts(60)).encode() + b"\xff")
    with pytest.raises(LabseError, match="line 61"):
        encode_files([tmp_path / "in.txt"], tmp_path / "out", encoder=encoder, shard_rows=4)
    assert (tmp_path / "out" / "shard-000003.npy").is_file()
    assert fill(texts(70), tmp_path / "out").num_rows == 70


def test_no_sentences_make_a_folder_without_shards(fill: Fill, tmp_path: Path) -> None:
    assert fill([], tmp_path / "out").num_shards == 0
    assert open_embeddings(tmp_path / "out").shape == (0, 32)


def test_the_manifest_tells_settings_inputs_and_offsets(fill: Fill, tmp_path: Path) -> None:
    fill(texts(10), tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    assert manifest["inputs"] == [
        {"path": str(tmp_path / "texts.jsonl"), "first_row": 0, "num_rows": 10}
    ]
    assert [shard["first_row"] for shard in manifest["shards"]] == [0, 4, 8]
    assert manifest["settings"]["runtime"] == "numpy"
    assert manifest["num_duplicates"] == manifest["num_rows"] - manifest["num_encoded"]


def test_a_folder_that_another_process_holds_is_refused(fill: Fill, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with claim_folder(tmp_path / "out"), pytest.raises(UsageError, match=str(os.getpid())):
        fill(["free"], tmp_path / "out")


def test_a_place_that_is_no_folder_is_a_resource_error(fill: Fill, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="Not a directory"):
        fill(["free"], tmp_path / "file")
    with pytest.raises(ResourceError, match="cannot be written"):
        fill(["free"], tmp_path / "file" / "inside")


PROCESSES = """
import os, sys, time
from pathlib import Path
from labse import SentenceEncoder, encode_files
if sys.argv[1] == "dying" and __name__ != "__main__":
    os._exit(9)
def wait(done, total):
    if done:
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
        print(*children.read_text().split(), flush=True)
        time.sleep(60)
if __name__ == "__main__":
    kind, model, text, out = sys.argv[1:]
    encoder = SentenceEncoder.from_pretrained(model)
    on_progress = wait if kind == "waiting" else None
    try:
        encode_files([text], out, encoder=encoder, jobs=2, shard_rows=4, on_progress=on_progress)
    except Exception as error:
        print(type(error).__name__, error)
"""


def start_processes(kind: str, model_folder: Path, tmp_path: Path) -> subprocess.Popen[str]:
    (tmp_path / "processes.py").write_text(PROCESSES)
    (tmp_path / "in.txt").write_text("".join(f"{text}\n" for text in texts(12)))
    names = [tmp_path / "processes.py", kind, model_folder, tmp_path / "in.txt", tmp_path / "out"]
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, *map(str, names)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_worker_that_dies_ends_the_run_with_an_error(model_folder: Path, tmp_path: Path) -> None:
    out, _ = start_processes("dying", model_folder, tmp_path).communicate(timeout=60)
    assert "InterruptedRunError worker processes were killed each time" in out


def test_processes_end_when_their_parent_is_killed(model_folder: Path, tmp_path: Path) -> None:
    with start_processes("waiting", model_folder, tmp_path) as parent:
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


def test_a_gpu_for_what_computes_on_the_cpu_is_refused(fill: Fill, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--gpus-per-task: the runtime numpy .* --runtime torch"):
        fill(["free"], tmp_path / "out", jobs=JsonExecutor(), gpus_per_task=1)
    assert not (tmp_path / "out").exists()
