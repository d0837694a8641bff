import bz2
import gzip
import hashlib
import io
import resource
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labse.errors import LabseError, ResourceError
from labse.files.atomic import read_json, sha256_file
from labse.files.npy import load_array
from labse.files.text import format_suffix, read_chunks, read_lines, read_whole


def compress(payload: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(payload)
    return zstandard.compress(payload) if suffix == ".zst" else payload


def write(path: Path, payload: bytes) -> Path:
    path.write_bytes(compress(payload, path.suffix))
    return path


texts = st.text(st.characters(exclude_characters="\n", exclude_categories=("Cs",)))
lines_of_text = st.lists(texts.filter(lambda line: not line.endswith("\r")))


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=lines_of_text, end=st.sampled_from(["\n", "\r\n"]))
def test_lines_that_were_written_are_read_back(
    tmp_path: Path, suffix: str, lines: list[str], end: str
) -> None:
    if lines and lines[0].startswith("\ufeff"):  # This one would be a byte order mark.
        lines = ["", *lines]
    path = write(tmp_path / f"lines{suffix}", "".join(line + end for line in lines).encode())
    assert list(read_lines(path)) == lines


@pytest.mark.parametrize(
    ("payload", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\n\n\nb", ["a", "", "", "b"]),
        (b"a\n\n", ["a", ""]),
        (b"last line has no end", ["last line has no end"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
        (b"a\r\nb\r\n\r\n", ["a", "b", ""]),
        (b"old\rmac\r\r\n", ["old\rmac\r"]),
        (b"nul\x00 inside\n\x00\n", ["nul\x00 inside", "\x00"]),
    ],
)
def test_only_a_line_feed_ends_a_line(tmp_path: Path, payload: bytes, lines: list[str]) -> None:
    assert list(read_lines(write(tmp_path / "a.txt", payload))) == lines


def test_line_separators_of_unicode_stay_inside_a_line(tmp_path: Path) -> None:
    line = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei"
    path = write(tmp_path / "a.txt", f"{line}\nnext\n".encode())
    assert list(read_lines(path)) == [line, "next"]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_line_of_a_million_characters_is_one_line(tmp_path: Path, suffix: str) -> None:
    line = "ü" * 1_000_000  # 2 MB, over several chunks, one of which ends inside a character
    path = write(tmp_path / f"a{suffix}", f"x{line}\nnext\n".encode())
    assert list(read_lines(path)) == ["x" + line, "next"]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_invalid_utf8_names_file_line_and_byte(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", b"good\nalso good\nba\xffd\n")
    with pytest.raises(LabseError, match=rf"a{suffix}, line 3: not valid UTF-8 \(byte 3 "):
        list(read_lines(path))


def test_lines_before_a_broken_one_are_yielded(tmp_path: Path) -> None:
    lines = read_lines(write(tmp_path / "a.txt", b"one\ntwo\n\xed\xa0\x80\n"))
    assert [next(lines), next(lines)] == ["one", "two"]
    with pytest.raises(LabseError, match="line 3"):  # a surrogate is not UTF-8 either
        next(lines)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("kept", [0, 1, 6, 20, -1])
def test_a_truncated_archive_is_an_error(tmp_path: Path, suffix: str, kept: int) -> None:
    numbers = "".join(f"{hashlib.md5(bytes([n])).hexdigest()}\n" for n in range(200))
    path = tmp_path / f"a{suffix}"
    path.write_bytes(compress(numbers.encode(), suffix)[:kept])
    with pytest.raises(LabseError, match=r"damaged or cut short"):
        list(read_lines(path))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_is_no_archive_is_an_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"plain text\n")
    with pytest.raises(LabseError, match=r"damaged or cut short after line 0"):
        list(read_lines(path))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_concatenated_archives_are_one_file(tmp_path: Path, suffix: str) -> None:
    parts = [b"one\ntw", b"", b"o\n", b"three\n"]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"".join(compress(part, suffix) for part in parts))
    assert list(read_lines(path)) == ["one", "two", "three"]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_an_archive_of_nothing_has_no_lines(tmp_path: Path, suffix: str) -> None:
    assert list(read_lines(write(tmp_path / f"a{suffix}", b""))) == []


def test_garbage_after_a_gzip_member_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"one\n") + b"garbage")
    with pytest.raises(LabseError, match="damaged"):
        list(read_lines(path))


def test_a_tiny_zst_of_a_huge_file_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zst", (b"x" * 999_999 + b"\n") * 200)  # 200 MB in 20 kB
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_lines(path)) == 200
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50e6


@pytest.mark.parametrize("read", [lambda path: list(read_lines(path)), read_json, sha256_file])
def test_a_missing_file_and_a_folder_are_named(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(LabseError, match=r"nowhere\.txt: no such file"):
        read(tmp_path / "nowhere.txt")
    with pytest.raises(LabseError, match=f"{tmp_path.name}: cannot be read: Is a directory"):
        read(tmp_path)
    with pytest.raises(LabseError, match=r"no\\x00file.*(not the name of a file|no such file)"):
        read(tmp_path / "no\0file")


def test_a_closed_standard_input_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(LabseError, match="-: standard input is closed"):
        list(read_lines("-"))


def test_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\x85\xc2\x85\n")))
    lines = read_lines("-")
    assert next(lines) == "one"
    with pytest.raises(LabseError, match="-, line 2: not valid UTF-8"):
        next(lines)


@pytest.mark.parametrize(
    ("path", "suffix"),
    [
        ("a.tsv", ".tsv"),
        ("a.tsv.gz", ".tsv"),
        ("a.b/c.TXT.zst", ".txt"),
        ("a", ""),
        ("a.gz", ""),
        ("-", ""),
        ("a.parquet", ".parquet"),
    ],
)
def test_the_format_is_named_by_the_suffix_before_the_compression(path: str, suffix: str) -> None:
    assert format_suffix(path) == suffix


def test_concatenated_bz2_streams_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.bz2"
    parts = [b"one\nt", b"", b"wo\n" + b"x" * 3_000_000 + b"\n"]
    path.write_bytes(b"".join(map(bz2.compress, parts)))
    assert list(read_lines(path)) == ["one", "two", "x" * 3_000_000]
    assert b"".join(read_chunks(path)) == b"".join(parts)
    assert max(map(len, read_chunks(path))) <= 1 << 20
    assert format_suffix(path) == ".txt"


def test_a_bz2_file_that_is_damaged_anywhere_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.bz2"
    payload = bz2.compress(b"one\n") + bz2.compress(b"two\n" * 1000)
    # The standard library takes broken bytes after a whole stream for the end of the file.
    ends = (len(bz2.compress(b"one\n")), len(payload))
    for broken in [payload[:cut] for cut in range(len(payload)) if cut not in ends] + [
        payload + b"garbage",
        payload[: ends[0]] + b"x" + payload[ends[0] :],
    ]:
        path.write_bytes(broken)
        with pytest.raises(LabseError, match="damaged or cut short"):
            list(read_chunks(path))


def test_chunks_can_start_where_a_member_begins(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    first = gzip.compress(b"one")
    path.write_bytes(first + gzip.compress(b"two"))
    assert b"".join(read_chunks(path, start=len(first))) == b"two"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_is_named_and_the_way_out_told(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffHallo\n".encode(encoding))
    with pytest.raises(LabseError, match=r"line 1: not valid UTF-8 but UTF-16; .* iconv -f UTF-16"):
        list(read_lines(path))


@pytest.mark.parametrize("read", [read_whole, load_array])
def test_too_many_open_files_are_the_machines_fault(
    read: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.ones(3))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        with pytest.raises(ResourceError, match=r"a\.npy: cannot be read: Too many open files"):
            read(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
