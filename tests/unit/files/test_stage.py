import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labse.errors import LabseError, ResourceError, UsageError
from labse.files.atomic import read_json, write_json
from labse.files.stage import (
    JOURNAL_NAME,
    Stage,
    find_differences,
    hash_content,
    make_once,
    open_stage,
)

KEY = {"sha256": ("ab",), "length": 64}


def test_what_is_done_stays_done_for_the_same_key(tmp_path: Path) -> None:
    with open_stage(tmp_path / "out", KEY) as stage:
        assert stage.result("one") is None
        stage.add("one", {"rows": 1})
        stage.add("two", {"rows": 2}, "ab")
    with open_stage(tmp_path / "out", KEY) as stage:
        assert stage.result("one") == {"rows": 1}
        assert stage.result("two", "ab") == {"rows": 2}
        assert stage.result("two", "cd") is None  # Other inputs.
        stage.add("two", {"rows": 3}, "cd")
    with open_stage(tmp_path / "out", None) as stage:  # Whatever its key.
        assert stage.results == {"one": {"rows": 1}, "two": {"rows": 3}}


def test_a_line_cut_short_by_a_kill_does_not_count_nor_spoil_the_next(tmp_path: Path) -> None:
    with open_stage(tmp_path, KEY) as stage:
        stage.add("one", {})
        stage.add("two", {})
    journal = tmp_path / JOURNAL_NAME
    journal.write_bytes(journal.read_bytes()[:-9])
    for _ in range(2):
        with open_stage(tmp_path, KEY) as stage:
            assert stage.result("one") == {}
            assert stage.result("two") is None
            stage.add("three", {})
    with open_stage(tmp_path, KEY) as stage:
        assert list(stage.results) == ["one", "three"]


def test_a_folder_that_is_lost_under_the_work_is_never_told_as_finished(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    def lose() -> None:
        with open_stage(tmp_path / "out", KEY) as stage:
            (tmp_path / "out").rename(tmp_path / "lost")
            (tmp_path / "out").mkdir()  # As the place of a disk stays.
            stage.finish({})

    with pytest.raises(ResourceError, match="out: was removed or unmounted while work went on"):
        lose()
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_of_another_key_is_refused_and_the_differences_named(tmp_path: Path) -> None:
    with open_stage(tmp_path, KEY | {"options": {"k": 4}}):
        (tmp_path / "part").touch()
    (tmp_path / ".a.123-0a1b2c3d.tmp").touch()  # Not ours to delete before it is known to be ours.
    with (
        pytest.raises(
            UsageError, match=r"another length \(64, now 32\) and options.k \(4, now 8\)"
        ),
        open_stage(tmp_path, {"sha256": ["ab"], "length": 32, "options": {"k": 8}}),
    ):
        pass
    assert (tmp_path / ".a.123-0a1b2c3d.tmp").exists()


@pytest.mark.parametrize("restart", [False, True])
def test_a_folder_that_holds_other_files_is_refused_and_left_alone(
    tmp_path: Path, restart: bool
) -> None:
    for name in ("thesis.txt", "manifest.json", ".draft.tmp"):
        (tmp_path / name).write_text('{"kind": "thesis"}')
    for section in ("key", None):
        with (
            pytest.raises(
                UsageError, match=r"holds other files \(manifest.json\); give a new or empty"
            ),
            open_stage(tmp_path, KEY, section=section, restart=restart),
        ):
            pass
    assert len(os.listdir(tmp_path)) == 4  # With .lock.


def test_a_folder_is_held_by_one_process(tmp_path: Path) -> None:
    with (
        open_stage(tmp_path, KEY),
        pytest.raises(UsageError, match="another process"),
        open_stage(tmp_path, KEY),
    ):
        pass


def test_finished_work_is_known_by_its_manifest(tmp_path: Path) -> None:
    with open_stage(tmp_path, KEY) as stage:
        assert stage.manifest is None
        (stage.work / "between").touch()
        stage.add("one", {})
        stage.finish({"kind": "tokens", "counts": 3})
    assert sorted(os.listdir(tmp_path)) == [".lock", "manifest.json"]
    manifest = {"kind": "tokens", "counts": 3, "key": {"sha256": ["ab"], "length": 64}}
    assert json.loads((tmp_path / "manifest.json").read_text()) == manifest
    with open_stage(tmp_path, KEY) as stage:
        assert stage.manifest == manifest
        (tmp_path / "part").touch()
    with pytest.raises(UsageError, match="another length"), open_stage(tmp_path, {"length": 1}):
        pass


def test_the_key_may_stand_at_the_top_level_of_the_manifest(tmp_path: Path) -> None:
    with open_stage(tmp_path, KEY, section=None) as stage:
        stage.finish({**KEY, "counts": 3})
    assert json.loads((tmp_path / "manifest.json").read_text()).keys() == {*KEY, "counts"}
    with open_stage(tmp_path, KEY, section=None) as stage:
        assert stage.manifest is not None


def test_parts_may_be_added_to_finished_work(tmp_path: Path) -> None:
    def read(manifest: dict[str, object]) -> dict[str, dict[str, object]]:
        return {name: {} for name in manifest["parts"]}  # type: ignore[attr-defined]

    with open_stage(tmp_path, KEY) as stage:
        stage.add("one", {})
        stage.finish({"parts": list(stage.results)})
    with open_stage(tmp_path, KEY, read_results=read) as stage:
        assert stage.result("one") == {}
        assert not (tmp_path / JOURNAL_NAME).exists()  # The manifest holds.
        stage.add("two", {})
    with open_stage(tmp_path, KEY, read_results=read) as stage:
        assert stage.manifest is None
        assert list(stage.results) == ["one", "two"]


def test_work_of_another_key_can_be_begun_anew(tmp_path: Path) -> None:
    for finished in (True, False):
        with open_stage(tmp_path, KEY, restart=True) as stage:
            assert stage.results == {}
            (tmp_path / "folder").mkdir()
            (tmp_path / "folder" / "file").touch()
            stage.add("one", {})
            if finished:
                stage.finish({})
        with open_stage(tmp_path, {"length": 32}, restart=True) as stage:
            assert stage.manifest is None
            assert stage.results == {}
            assert sorted(os.listdir(tmp_path)) == [".lock", JOURNAL_NAME]


WORK = """
import os, pathlib, signal, sys
from labse.files.stage import open_stage
events = iter(range(int(sys.argv[2])))
def kill(event, arguments):
    if event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir") and (
            str(arguments[0]).startswith(sys.argv[1])):
        next(events, None) is None and os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(kill)
with open_stage(pathlib.Path(sys.argv[1]), {"k": int(sys.argv[3])}, restart=True) as stage:
    if stage.manifest is None:
        if stage.result("one") is None:
            (stage.folder / "one").write_text(sys.argv[3])
            stage.add("one", {"k": int(sys.argv[3])})
        stage.finish({})
"""


def test_a_kill_at_any_change_lets_the_same_work_go_on(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": ":".join(sys.path)}

    def run(folder: Path, events: int, k: int) -> int:
        command = [sys.executable, "-c", WORK, str(folder), str(events), str(k)]
        return subprocess.run(command, env=environment, check=False).returncode

    for killed in range(100):
        folder = tmp_path / str(killed)
        with open_stage(folder, {"k": 1}) as stage:
            (folder / "one").write_text("1")
            stage.add("one", {"k": 1})
            stage.finish({})
        if run(folder, killed, 2) == 0:  # Of another key: cleared, then made.
            break
        with open_stage(folder, {"k": 2}, restart=True) as stage:
            if stage.result("one") or stage.manifest:
                assert (folder / "one").read_text() == "2"
            else:
                assert not (folder / "one").exists() or (folder / "one").read_text() in ("", "2")
    assert killed >= 8

    for killed in range(6):  # At the birth.
        assert run(tmp_path / f"new{killed}", killed, 1)
        with open_stage(tmp_path / f"new{killed}", {"k": 3}, restart=True):
            pass


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    row = '{"key": {}}\n{"done": "one", "inputs": "", "result": 3}\n'
    for damage in ("", "{", "[]", "{}", '{"key": 3}', '{"key": {}}\n{"done": 3}\n', row):
        (tmp_path / JOURNAL_NAME).write_text(damage)
        with (
            pytest.raises(LabseError, match="damaged; delete the folder"),
            open_stage(tmp_path, KEY),
        ):
            pass


def test_a_changed_line_of_the_journal_is_told(tmp_path: Path) -> None:
    with open_stage(tmp_path, KEY) as stage:
        stage.add("one", {"rows": 1, "name": "\udcff\u2028é"})
    with open_stage(tmp_path, KEY) as stage:
        assert stage.result("one") == {"rows": 1, "name": "\udcff\u2028é"}
    journal = tmp_path / JOURNAL_NAME
    journal.write_bytes(journal.read_bytes().replace(b'"rows": 1', b'"rows": 2'))
    with pytest.raises(LabseError, match="damaged; delete"), open_stage(tmp_path, KEY):
        pass


def test_work_that_stopped_at_its_input_does_not_hold_the_folder(tmp_path: Path) -> None:
    with open_stage(tmp_path, KEY):
        (tmp_path / "folder").mkdir()
        (tmp_path / ".part.123-0a1b2c3d.tmp").touch()
    with open_stage(tmp_path, {"length": 32}):
        assert sorted(os.listdir(tmp_path)) == [".lock", JOURNAL_NAME]


def test_a_folder_is_made_once_for_a_key_and_anew_if_it_is_damaged(tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    def make(stage: Stage) -> dict[str, object]:
        write_json(stage.folder / "part.json", {"made": 1})
        return {"kind": "tokens"}

    def load(manifest: dict[str, object]) -> object:
        return manifest["kind"], read_json(cache / "part.json")["made"]

    loaded = ("tokens", 1)
    assert make_once(cache, KEY, make, load) == (loaded, False)
    assert make_once(cache, KEY, make, load) == (loaded, True)
    for damage in ("manifest.json", "part.json"):
        (cache / damage).write_text("{}")
        assert make_once(cache, KEY, make, load) == (loaded, False)
        assert make_once(cache, KEY, make, load, is_main=False) == (loaded, True)
    other = KEY | {"length": 32}
    with pytest.raises(LabseError, match="made by the first process of other data"):
        make_once(cache, other, make, load, is_main=False)
    assert make_once(cache, other, make, load) == (loaded, False)


def test_what_a_kill_at_the_end_left_goes_when_the_folder_is_used(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    make_once(cache, KEY, lambda stage: {}, lambda manifest: manifest)
    (cache / ".work").mkdir()  # `finish` was killed after the manifest.
    make_once(cache, KEY, lambda stage: {}, lambda manifest: manifest, is_main=False)
    assert (cache / ".work").is_dir()
    make_once(cache, KEY, lambda stage: {}, lambda manifest: manifest)
    assert not (cache / ".work").exists()


def test_a_folder_without_work_cannot_be_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="no work is begun here"), open_stage(tmp_path, None):
        pass


def test_without_a_folder_the_work_lies_in_a_temporary_one() -> None:
    with open_stage(None, KEY) as stage:
        stage.add("one", {})
        assert stage.folder.is_dir()
    assert not stage.folder.exists()


def test_differences_are_named_by_their_place() -> None:
    before = {"a": 1, "b": {"c": [1], "d": 2}, "e": None}
    assert list(find_differences(before, before)) == []
    now = {"a": 1, "b": {"c": [2], "d": 3}, "f": 0}
    found = [("b.c", [1], [2]), ("b.d", 2, 3), ("f", None, 0)]
    assert list(find_differences(before, now)) == found


def test_content_is_known_by_its_hash_and_a_folder_by_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_json(tmp_path / "a" / "manifest.json", {"x": 1})
    assert hash_content(tmp_path / "a") == hash_content(tmp_path / "a" / "manifest.json")
    with pytest.raises(LabseError, match="no such file"):
        hash_content(tmp_path / "b")


def test_a_folder_of_which_nothing_was_done_is_not_left(tmp_path: Path) -> None:
    def stop(folder: Path, part: str | None) -> None:
        with open_stage(folder, {"k": 1}) as stage:
            if part:
                (stage.folder / part).touch()
                stage.add(part, {})
            raise LabseError("a wrong input")

    for folder, part in (("new", None), ("with", "part")):
        with pytest.raises(LabseError, match="a wrong input"):
            stop(tmp_path / folder, part)
    (tmp_path / "theirs").mkdir()
    with pytest.raises(LabseError, match="a wrong input"):
        stop(tmp_path / "theirs", None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs", "with"]
