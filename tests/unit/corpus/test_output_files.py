import bz2
import gzip
from pathlib import Path
from typing import IO

import pytest
import zstandard

from labse.corpus.output_files import open_output
from labse.errors import LabseError, ResourceError
from labse.files.text import read_lines


@pytest.mark.parametrize("name", ["a", "a.bz2", "a.gz", "a.zst"])
def test_a_file_is_compressed_by_its_suffix(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with open_output(path) as stream:
        stream.write(b"one\n")
        stream.write(b"two\n" * 100_000)
    unpack = {".bz2": bz2.decompress, ".gz": gzip.decompress, ".zst": unzstd}.get(path.suffix)
    payload = path.read_bytes()
    assert (unpack(payload) if unpack else payload) == b"one\n" + b"two\n" * 100_000
    assert sum(1 for _ in read_lines(path)) == 100_001


@pytest.mark.parametrize("name", ["a", "a.bz2", "a.gz", "a.zst"])
def test_an_error_inside_leaves_what_stood_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"before")
    with pytest.raises(LabseError, match="stop"), open_output(path) as stream:
        write_half(stream)
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_standard_output_takes_bytes(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with open_output("-") as stream:
        stream.write(b"\xc3\xa4\n")
    assert capsysbinary.readouterr().out == b"\xc3\xa4\n"


def test_a_folder_that_is_a_file_is_a_resource_error(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(ResourceError, match="is a file"), open_output(tmp_path / "x" / "a"):
        pass


def write_half(stream: IO[bytes]) -> None:
    stream.write(b"half")
    raise LabseError("stop")


def unzstd(payload: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(payload)
