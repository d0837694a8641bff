import json
from pathlib import Path

import pytest

from labse.encoder.job.records import PROGRESS_NAME, open_record, read_shards
from labse.encoder.job.shard import Shard
from labse.errors import LabseError, UsageError

SETTINGS = {"model_sha256": "m", "storage": "float32"}


def shard(number: int) -> Shard:
    return Shard(number, 4, 3, 2, 1, "t", {f"shard-{number:06d}.npy": "h"})


def add(folder: Path, number: int) -> Shard:
    (folder / f"shard-{number:06d}.npy").touch()
    return shard(number)


def test_shards_that_were_added_are_there_at_the_next_start(tmp_path: Path) -> None:
    with open_record(tmp_path, SETTINGS, 3) as record:
        record.add(add(tmp_path, 1))
        record.add(add(tmp_path, 0))
    with open_record(tmp_path, SETTINGS, 3) as record:
        assert record.shards == {0: shard(0), 1: shard(1)}
        assert (record.num_rows, record.new) == (8, set())


def test_a_line_cut_short_and_a_shard_whose_file_is_gone_are_not_there(tmp_path: Path) -> None:
    with open_record(tmp_path, SETTINGS, 3) as record:
        record.add(add(tmp_path, 0))
        record.add(shard(1))
    path = tmp_path / PROGRESS_NAME
    path.write_bytes(path.read_bytes() + b'{"number": 2, "num')
    with open_record(tmp_path, SETTINGS, 3) as record:
        assert record.shards == {0: shard(0)}


def test_the_manifest_takes_the_place_of_the_lines(tmp_path: Path) -> None:
    with open_record(tmp_path, SETTINGS, 3) as record:
        record.add(add(tmp_path, 1))
        record.add(add(tmp_path, 0))
        record.finish(2, [{"path": "a", "num_rows": 8}])
    assert not (tmp_path / PROGRESS_NAME).exists()
    manifest = json.loads((tmp_path / "manifest.json").read_text("utf-8"))
    assert manifest["settings"] == {**SETTINGS, "embedding_size": 3}
    assert (manifest["num_rows"], manifest["num_duplicates"], manifest["num_long"]) == (8, 2, 4)
    assert [row["first_row"] for row in manifest["shards"]] == [0, 4]
    assert manifest["inputs"] == [{"path": "a", "num_rows": 8}]
    found = read_shards(tmp_path)
    assert found is not None
    assert found[1] == [shard(0), shard(1)]


def test_a_whole_folder_stays_whole_until_something_new_is_written(tmp_path: Path) -> None:
    with open_record(tmp_path, SETTINGS, 3) as record:
        record.add(add(tmp_path, 0))
        record.finish(1, [])
    with open_record(tmp_path, SETTINGS, 3) as record:
        assert not (tmp_path / PROGRESS_NAME).exists()  # A kill here changes nothing.
        record.add(add(tmp_path, 1))
        assert (tmp_path / PROGRESS_NAME).read_text("utf-8").count("\n") == 3
        record.finish(2, [])
    assert not (tmp_path / PROGRESS_NAME).exists()


def test_a_start_that_fails_on_a_whole_folder_leaves_it_whole(tmp_path: Path) -> None:
    with open_record(tmp_path, SETTINGS, 3) as record:
        record.add(add(tmp_path, 0))
        record.finish(1, [])
    with pytest.raises(LabseError, match="another input"), open_record(tmp_path, SETTINGS, 3):
        raise LabseError("another input")
    assert not (tmp_path / PROGRESS_NAME).exists()


def test_other_settings_are_refused_with_the_difference(tmp_path: Path) -> None:
    with open_record(tmp_path, SETTINGS, 3):
        pass
    with (
        pytest.raises(UsageError, match="made with storage float32, not int8"),
        open_record(tmp_path, {**SETTINGS, "storage": "int8"}, 3),
    ):
        pass
    with (
        pytest.raises(UsageError, match="made with embedding_size 3, not 4"),
        open_record(tmp_path, SETTINGS, 4),
    ):
        pass


def test_a_folder_of_other_files_is_refused_and_one_with_hidden_ones_is_not(
    tmp_path: Path,
) -> None:
    (tmp_path / ".lock").touch()
    with open_record(tmp_path, SETTINGS, 3):
        pass
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.txt").touch()
    with (
        pytest.raises(UsageError, match=r"holds 'thesis\.txt' and no vectors"),
        open_record(tmp_path / "x", SETTINGS, 3),
    ):
        pass


@pytest.mark.parametrize("line", [b"", b"[]\n", b'{"a": 1}\n{"number": 1}\n'])
def test_a_damaged_record_is_an_error(tmp_path: Path, line: bytes) -> None:
    (tmp_path / PROGRESS_NAME).write_bytes(line)
    with pytest.raises(LabseError, match=r"progress\.jsonl"), open_record(tmp_path, SETTINGS, 3):
        pass


def test_a_manifest_of_something_else_holds_no_shards(tmp_path: Path) -> None:
    assert read_shards(tmp_path) is None
    (tmp_path / "manifest.json").write_text('{"kind": "model"}')
    assert read_shards(tmp_path) is None
    (tmp_path / "manifest.json").write_text('{"kind": "embeddings"}')
    with pytest.raises(LabseError, match="settings or shards are missing"):
        read_shards(tmp_path)
