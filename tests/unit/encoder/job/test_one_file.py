import fcntl
import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from labse.encoder.job import encode_files as job
from labse.encoder.job.encode_files import EncodedFile, encode_files
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError, ResourceError, UsageError

TEXT = "free\n\nequal\u2028rights\n" + "equal in rights " * 9


@pytest.mark.parametrize("characters", [1, 30, 1 << 25])
def test_row_i_is_line_i_empty_lines_included(
    encoder: SentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, characters: int
) -> None:
    monkeypatch.setattr(job, "SHARD_CHARACTERS", characters)
    (tmp_path / "in").write_text(TEXT, "utf-8")
    seen: list[tuple[int, int | None]] = []
    written = encode_files(
        [tmp_path / "in"],
        tmp_path / "out.npy",
        encoder=lambda: encoder,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    rows = np.load(tmp_path / "out.npy")
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, encoder.encode(TEXT.split("\n")), atol=1e-6)
    assert written == EncodedFile(
        tmp_path / "out.npy", 4, 32, num_long=1, num_truncated=1, num_empty=1
    )
    assert (seen[0], seen[-1][0]) == ((0, 3), 4)  # Three line ends are seen before it is read.


def test_the_file_equals_the_one_that_numpy_saves(encoder: SentenceEncoder, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("free\n" * 1234)
    encode_files([tmp_path / "in"], tmp_path / "out.npy", encoder=encoder)
    np.save(tmp_path / "numpy.npy", encoder.encode(["free"] * 1234))
    assert (tmp_path / "out.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


def test_no_lines_give_no_rows(encoder: SentenceEncoder, tmp_path: Path) -> None:
    (tmp_path / "in").touch()
    encode_files([tmp_path / "in"], tmp_path / "out.npy", encoder=encoder)
    assert np.load(tmp_path / "out.npy").shape == (0, 32)


def test_only_the_lines_of_this_call_are_counted(encoder: SentenceEncoder, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("equal " * 40)
    encoder.encode(["equal " * 40])
    written = encode_files([tmp_path / "in"], tmp_path / "out.npy", encoder=encoder)
    assert written.num_long == 1


def test_float16_halves_the_file(encoder: SentenceEncoder, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("free\n" * 100)
    encode_files([tmp_path / "in"], tmp_path / "out.npy", encoder=encoder, storage="float16")
    rows = np.load(tmp_path / "out.npy")
    assert rows.dtype == np.float16
    np.testing.assert_allclose(rows, encoder.encode(["free"] * 100), atol=5e-4)


def test_a_damaged_input_leaves_no_file(encoder: SentenceEncoder, tmp_path: Path) -> None:
    (tmp_path / "in.gz").write_bytes(gzip.compress(b"free\n" * 100_000)[:-200])
    with pytest.raises(LabseError, match="damaged"):
        encode_files([tmp_path / "in.gz"], tmp_path / "out.npy", encoder=encoder)
    assert not list(tmp_path.glob("*out.npy*"))


def test_a_place_that_is_not_there_is_an_error_before_a_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("free\n")
    with pytest.raises(ResourceError, match="cannot be written"):
        encode_files(tmp_path / "in", tmp_path / "in" / "out.npy", encoder=not_loaded)


@pytest.mark.parametrize("options", [{"storage": "int8"}, {"jobs": 2}, {"shard_rows": 9}])
def test_what_is_for_folders_is_refused_before_a_model_is_loaded(
    tmp_path: Path, options: dict[str, object]
) -> None:
    with pytest.raises(UsageError, match="is for a folder"):
        encode_files(["in"], tmp_path / "out.npy", encoder=not_loaded, **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="or as a folder of shards"):
        encode_files(["in"], tmp_path / "out.csv", encoder=not_loaded)


def not_loaded() -> SentenceEncoder:
    raise AssertionError


KILLED = """
import os, sys
from labse import SentenceEncoder, encode_files
def kill(done, total):
    if done:
        os.kill(os.getpid(), 9)
encoder = SentenceEncoder.from_pretrained(sys.argv[1])
encode_files([sys.argv[2]], sys.argv[3], encoder=encoder, on_progress=kill)
"""


def test_what_a_killed_run_left_is_removed_and_what_is_being_written_is_not(
    encoder: SentenceEncoder, model_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").write_text("free\n")
    names = map(str, (model_folder, tmp_path / "in", tmp_path / "out.npy"))
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", KILLED, *names]
    assert subprocess.run(command, env=environment, timeout=60).returncode == -9
    (left,) = tmp_path.glob(".out.npy.*.tmp")
    other = tmp_path / ".other.npy.1-0a1b2c3d.tmp"
    other.touch()

    written = tmp_path / ".out.npy.2-0a1b2c3d.tmp"
    with written.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        encode_files([tmp_path / "in"], tmp_path / "out.npy", encoder=encoder)
        assert list(tmp_path.glob(".out.npy.*.tmp")) == [written]
    assert not left.exists()
    assert other.exists()
