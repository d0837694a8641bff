import fcntl
import gzip
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from labse.encoder.job.embedding_file import encode_file
from labse.errors import LabseError, ResourceError
from labse.files.text import read_lines


class LengthEncoder:
    """A vector says how many characters its sentence has; over 5 it counts as long."""

    embedding_size = 3

    def __init__(self) -> None:
        self.num_long = 0

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        self.num_long += sum(len(sentence) > 5 for sentence in sentences)
        return np.array([[len(sentence)] * 3 for sentence in sentences], np.float32)


@pytest.mark.parametrize("chunk_sentences", [1, 3, 100])
def test_row_i_is_line_i_empty_lines_included(tmp_path: Path, chunk_sentences: int) -> None:
    (tmp_path / "in").write_text("a\n\nabc\u2028d\nabcdefgh", "utf-8")
    seen: list[int] = []
    written = encode_file(
        LengthEncoder(),
        read_lines(tmp_path / "in"),
        tmp_path / "out.npy",
        chunk_sentences=chunk_sentences,
        report=seen.append,
    )
    embeddings = np.load(tmp_path / "out.npy")
    assert embeddings.dtype == np.float32
    assert embeddings[:, 0].tolist() == [1, 0, 5, 8]
    assert (written.num_rows, written.embedding_size, written.num_long) == (4, 3, 1)
    assert seen[-1] == 4


def test_the_file_equals_the_one_that_numpy_saves(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("x\n" * 1234, "utf-8")
    encode_file(
        LengthEncoder(), read_lines(tmp_path / "in"), tmp_path / "out.npy", chunk_sentences=100
    )
    np.save(tmp_path / "numpy.npy", np.ones((1234, 3), np.float32))
    assert (tmp_path / "out.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


def test_no_lines_give_no_rows(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("")
    encode_file(LengthEncoder(), read_lines(tmp_path / "in"), tmp_path / "out.npy")
    assert np.load(tmp_path / "out.npy").shape == (0, 3)


def test_only_the_sentences_of_this_call_are_counted(tmp_path: Path) -> None:
    encoder = LengthEncoder()
    encoder.encode(["abcdefgh"])
    assert encode_file(encoder, ["abcdefgh"], tmp_path / "out.npy").num_long == 1


def test_a_damaged_input_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "in.gz").write_bytes(gzip.compress(b"abc\n" * 100_000)[:-200])
    with pytest.raises(LabseError, match="damaged"):
        encode_file(
            LengthEncoder(),
            read_lines(tmp_path / "in.gz"),
            tmp_path / "out.npy",
            chunk_sentences=10,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["in.gz"]


def test_a_folder_that_is_not_there_is_a_resource_error(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot be written"):
        encode_file(LengthEncoder(), ["a"], tmp_path / "none" / "out.npy")


def test_float16_halves_the_file(tmp_path: Path) -> None:
    encode_file(LengthEncoder(), ["abc"] * 100, tmp_path / "out.npy", storage="float16")
    embeddings = np.load(tmp_path / "out.npy")
    assert embeddings.dtype == np.float16
    assert embeddings.tolist() == [[3, 3, 3]] * 100


KILLED = """
import os, sys
from labse.encoder.job.embedding_file import encode_file
from tests_encoder import LengthEncoder
def endless():
    yield "a"
    os.kill(os.getpid(), 9)
encode_file(LengthEncoder(), endless(), sys.argv[1], chunk_sentences=1)
"""


def test_what_a_killed_run_left_is_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    (tmp_path / "tests_encoder.py").write_text(Path(__file__).read_text("utf-8"), "utf-8")
    environment = os.environ | {"PYTHONPATH": ":".join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-c", KILLED, str(tmp_path / "out.npy")]
    assert subprocess.run(command, env=environment, timeout=60).returncode == -9
    (left,) = tmp_path.glob(".out.npy.*.tmp")
    other = tmp_path / ".other.npy.1.tmp"
    other.touch()

    written = tmp_path / ".out.npy.2.tmp"
    with written.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        encode_file(LengthEncoder(), ["a"], tmp_path / "out.npy")
        assert list(tmp_path.glob(".out.npy.*.tmp")) == [written]
    assert not left.exists()
    assert other.exists()
