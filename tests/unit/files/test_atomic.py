import errno
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from labse.errors import LabseError, ResourceError, UsageError
from labse.files.atomic import (
    check_replaceable,
    check_space,
    check_writable,
    claim_folder,
    files_in,
    read_json,
    replace_folder,
    sha256_file,
    write_atomic,
    write_json,
)
from labse.files.scratch import remove_leftovers, temporary_folder
from labse.files.system import real_path


def test_a_written_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with write_atomic(path) as stream:
        stream.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_after_an_error_the_old_file_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write_half() -> None:
        with write_atomic(path) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_place_that_cannot_be_written_is_a_resource_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    for place in ("file/a", "file/missing/a", "folder", "x" * 300):
        with pytest.raises(ResourceError, match=r"cannot be written: |is a file"):
            write_json(tmp_path / place, {})
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_folder_that_is_not_there_is_made_with_the_file(tmp_path: Path) -> None:
    place = tmp_path / "missing" / "too" / "a"
    check_writable(place)
    assert os.listdir(tmp_path) == []
    write_json(place, {"x": 1})
    assert read_json(place) == {"x": 1}


def test_a_size_beyond_the_free_space_is_told_before_the_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    free = shutil.disk_usage(tmp_path).free
    check_space(tmp_path / "missing" / "a", free // 2)
    assert not caplog.records
    check_space(tmp_path / "missing" / "a", free + free // 2)
    assert "are to be written" in caplog.text
    with pytest.raises(ResourceError, match=r"a: about .* are to be written, and .* are free"):
        check_space(tmp_path / "missing" / "a", 3 * free)


def test_an_error_of_another_file_inside_the_block_is_not_blamed_on_this_one(
    tmp_path: Path,
) -> None:
    with pytest.raises(FileNotFoundError, match="other"), write_atomic(tmp_path / "a"):
        (tmp_path / "other").read_bytes()
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_a_resource_error(tmp_path: Path) -> None:
    with (
        pytest.raises(ResourceError, match="a: cannot be written: No space left on device"),
        write_atomic(tmp_path / "a"),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")


def test_a_write_that_came_up_short_is_a_resource_error(tmp_path: Path) -> None:
    # What numpy.save raises on a full disk: no errno.
    with (
        pytest.raises(ResourceError, match="a: cannot be written: 9 requested and 4 written"),
        write_atomic(tmp_path / "a"),
    ):
        raise OSError("9 requested and 4 written")


def test_a_pipe_or_device_is_refused_and_not_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link"):
        with pytest.raises(UsageError, match=f"{name}: is a device or pipe, not a file"):
            write_json(tmp_path / name, {})
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("path", ["-", ""])
def test_what_names_no_file_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="names no file"):
        write_json(path, {})
    assert os.listdir(tmp_path) == []


def test_a_link_stays_one_and_the_file_it_points_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "a.json")
    write_json(tmp_path / "link", {"a": 1})
    assert (tmp_path / "link").is_symlink()
    assert read_json(tmp_path / "there" / "a.json") == {"a": 1}


def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a").write_bytes(b"old")
    check_writable(tmp_path / "a")
    check_writable(tmp_path / "new")
    assert (tmp_path / "a").read_bytes() == b"old"
    for place in ("folder", "a/b", "a/missing/b", "x" * 300):
        with pytest.raises(ResourceError, match=f"{place}: cannot be written: "):
            check_writable(tmp_path / place)
    assert sorted(os.listdir(tmp_path)) == ["a", "folder"]


def test_json_can_tell_a_file_name_that_is_no_unicode(tmp_path: Path) -> None:
    value = {"path": os.fsdecode(b"na\xffme")}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


def test_json_comes_back(tmp_path: Path) -> None:
    value = {"name": "Māori\u2028", "counts": [1, 2.5, None], "nested": {"a": True}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "Māori" in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "not valid JSON"),
        (b'{"a": 1', "not valid JSON"),
        (b'{"a": "\xff"}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[1, 2]", "expected a JSON object, found list"),
        (b"null", "expected a JSON object, found NoneType"),
    ],
)
def test_broken_json_names_the_file(tmp_path: Path, payload: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(payload)
    with pytest.raises(LabseError, match=rf"a\.json: {message}"):
        read_json(tmp_path / "a.json")


def test_sha256_is_that_of_the_bytes_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(b"one\n")
    assert sha256_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "empty").write_bytes(b"")  # the well-known hash of nothing
    assert sha256_file(tmp_path / "empty").startswith("e3b0c44298fc1c149afbf4c8996fb924")


def test_what_killed_processes_left_of_a_file_goes_and_what_is_being_written_stays(
    tmp_path: Path,
) -> None:
    for name in (
        ".a.bin.123-0a1b2c3d.tmp",
        ".a.bin.draft.tmp",
        ".other.123-0a1b2c3d.tmp",
        ".a.bin.456-0a1b2c3d.tmp",
    ):
        (tmp_path / name).touch()
    with (tmp_path / ".a.bin.456-0a1b2c3d.tmp").open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        remove_leftovers(tmp_path / "a.bin")
    assert sorted(os.listdir(tmp_path)) == [
        ".a.bin.456-0a1b2c3d.tmp",
        ".a.bin.draft.tmp",
        ".other.123-0a1b2c3d.tmp",
    ]


def test_a_file_that_is_written_again_leaves_nothing_of_a_killed_process(tmp_path: Path) -> None:
    for name in (".a.bin.123-0a1b2c3d.tmp", ".b.bin.123-0a1b2c3d.tmp"):
        (tmp_path / name).touch()
    with write_atomic(tmp_path / "a.bin") as stream:
        stream.write(b"x")
    assert sorted(os.listdir(tmp_path)) == [".b.bin.123-0a1b2c3d.tmp", "a.bin"]


def test_a_temporary_folder_is_the_owners_and_a_killed_process_leaves_it_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / ".labse.123-0a1b2c3d.tmp").mkdir()
    (tmp_path / ".labse.123-0a1b2c3d.tmp" / "vectors").write_bytes(b"x")
    with temporary_folder() as folder:
        assert os.listdir(tmp_path) == [folder.name]
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not os.listdir(tmp_path)


def test_a_folder_appears_when_the_block_ends_well(tmp_path: Path) -> None:
    with replace_folder(tmp_path / "new") as folder:
        (folder / "inner").mkdir()
        (folder / "inner/file").write_text("x")
        assert not (tmp_path / "new").exists()
    assert [path.name for path in files_in(tmp_path / "new")] == ["file"]

    with pytest.raises(ValueError, match="stop"), replace_folder(tmp_path / "other") as folder:
        raise ValueError("stop")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(ResourceError, match=r"file/x: cannot be written: Not a directory$"),
        replace_folder(tmp_path / "file/x"),
    ):
        pass


REPLACE = """
import os, pathlib, signal, sys
from labse.files.atomic import replace_folder
with replace_folder(pathlib.Path(sys.argv[1])) as folder:
    (folder / "a").write_text("new")
    (folder / "b").write_text("new")
    events = iter(range(int(sys.argv[2])))
    def kill(event, _):
        if event in ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
            next(events, None) is None and os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(kill)
"""


def test_a_kill_at_any_change_leaves_the_old_folder_or_the_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    killed = 0
    while True:
        with replace_folder(folder) as temporary:
            (temporary / "a").write_text("old")
            (temporary / "b").write_text("old")
        command = [sys.executable, "-c", REPLACE, str(folder), str(killed)]
        if subprocess.run(command, env=environment, check=False).returncode == 0:
            break
        killed += 1
        remove_leftovers(folder)
        assert (folder / "a").read_text() == (folder / "b").read_text()
        assert os.listdir(tmp_path) == ["out"]
    assert killed >= 4  # Two renames, two files and a folder that are deleted.
    assert (folder / "a").read_text() == "new"


def test_a_folder_is_replaced_only_if_its_manifest_lists_all_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "out"

    def check() -> bool:
        return check_replaceable(folder, "vocabulary", lambda manifest: manifest["kind"] == "ours")

    assert not check()
    folder.mkdir()
    assert not check()
    (folder / "thesis").touch()
    with pytest.raises(UsageError, match="is not empty and not a vocabulary folder"):
        check()
    write_json(folder / "manifest.json", {"kind": "ours", "files": {"words": "0"}})
    with pytest.raises(UsageError, match="holds 'thesis' beside the vocabulary"):
        check()
    (folder / "thesis").rename(folder / "words")
    assert check()
    write_json(folder / "manifest.json", {"kind": "theirs", "files": {"words": "0"}})
    with pytest.raises(UsageError, match="not a vocabulary folder"):
        check()


HOLD = """
import pathlib, sys, time
from labse.files.atomic import claim_folder
with claim_folder(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with claim_folder(tmp_path), pytest.raises(UsageError, match="another process"):
        claim_folder(tmp_path).__enter__()
    with claim_folder(tmp_path):
        pass


def test_a_process_that_is_killed_lets_go_of_its_folder(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match=rf"another process \({holder.pid} on .+\) is at work"):
            claim_folder(tmp_path).__enter__()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with claim_folder(tmp_path):
        pass


@pytest.mark.parametrize(
    "make", [lambda lock, other: lock.symlink_to(other), lambda lock, _: os.mkfifo(lock)]
)
def test_a_lock_that_is_none_is_refused_and_left_alone(
    tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    (tmp_path / "precious").write_text("data")
    make(tmp_path / ".lock", tmp_path / "precious")
    with pytest.raises(ResourceError, match=r"\.lock: is .*; remove it"):
        claim_folder(tmp_path).__enter__()
    assert (tmp_path / "precious").read_text() == "data"


def test_a_file_system_without_locks_is_told_and_worked_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with claim_folder(tmp_path):
        write_json(tmp_path / "a.json", {})
    assert "has no locks" in caplog.text


@pytest.mark.parametrize("name", ["/", ".", ".."])
def test_a_folder_without_a_name_is_not_replaced(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.tmp").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot be replaced"), replace_folder(Path(name)):
        pass
    assert os.listdir() == ["own.tmp"]


def test_a_loop_of_links_has_a_path(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert real_path(tmp_path / "loop").name == "loop"
