from pathlib import Path

import pytest

from labse.errors import ResourceError, UsageError
from labse.files.atomic import read_json, write_json
from labse.training.run_folder import (
    check_run_folder,
    claim_run,
    hashes_of,
    open_run,
    refuse_changes,
)

LINEAGE = {"inputs": [{"path": "a.tsv", "sha256": "1"}], "vocabulary": {"sha256": "2"}}


def checkpoint(out: Path) -> None:
    (out / "checkpoints" / "step-1").mkdir(parents=True)
    write_json(out / "checkpoints" / "step-1" / "state.json", {})


def test_the_manifest_of_a_run_names_its_stage_and_lineage(tmp_path: Path) -> None:
    open_run(tmp_path, "pretraining", LINEAGE)
    manifest = read_json(tmp_path / "manifest.json")
    assert (manifest["kind"], manifest["stage"]) == ("run", "pretraining")
    assert manifest["inputs"] == LINEAGE["inputs"]
    check_run_folder(tmp_path, "pretraining")


def test_what_is_something_else_is_refused(tmp_path: Path) -> None:
    check_run_folder(tmp_path / "absent", "pretraining")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UsageError, match="is a file"):
        check_run_folder(file, "pretraining")
    write_json(tmp_path / "manifest.json", {"kind": "vocabulary"})
    with pytest.raises(UsageError, match="holds a vocabulary"):
        check_run_folder(tmp_path, "pretraining")


def test_a_run_of_the_other_stage_is_refused_and_one_without_a_stage_is_of_the_dual_encoder(
    tmp_path: Path,
) -> None:
    open_run(tmp_path, "pretraining", LINEAGE)
    with pytest.raises(UsageError, match=r"another stage \(pretraining\)"):
        check_run_folder(tmp_path, "dual_encoder")
    write_json(tmp_path / "manifest.json", {"kind": "run"})
    check_run_folder(tmp_path, "dual_encoder")


def test_a_folder_that_is_made_for_nothing_goes_again(tmp_path: Path) -> None:
    def fail_in(folder: Path, done: str) -> None:
        with claim_run(folder, "dual_encoder"):
            write_json(folder / done, {"kind": "run"})
            raise UsageError("the pairs have a column source_lang")

    (tmp_path / "there").mkdir()
    for name, done in (
        ("new", "progress.jsonl"),
        ("there", "progress.jsonl"),
        ("begun", "manifest.json"),
    ):
        with pytest.raises(UsageError, match="column"):
            fail_in(tmp_path / name, done)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun", "there"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": [{"path": "a.tsv", "sha256": "9"}]}, "on other data"),
        ({"vocabulary": {"sha256": "9"}}, "on another vocabulary"),
        ({"start": {"sha256": "9"}}, "from another model"),
        ({"teacher": {"sha256": "9"}}, "with another teacher"),
    ],
)
def test_a_run_goes_on_with_the_bytes_it_began_with_and_no_others(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    open_run(tmp_path, "pretraining", LINEAGE)
    open_run(tmp_path, "pretraining", LINEAGE | {"inputs": []})  # Nothing is trained yet.
    open_run(tmp_path, "pretraining", LINEAGE)
    checkpoint(tmp_path)
    open_run(tmp_path, "pretraining", LINEAGE)
    with pytest.raises(UsageError, match=message):
        open_run(tmp_path, "pretraining", LINEAGE | changes)


def test_files_are_told_apart_by_their_hashes_alone() -> None:
    assert hashes_of([{"path": "a", "sha256": "1"}, {"sha256": "2"}]) == ["1", "2"]
    assert hashes_of({"sha256": "3"}) == ["3"]
    assert hashes_of(None) == []


def test_every_difference_is_listed_but_those_allowed(tmp_path: Path) -> None:
    before = {"train": {"lr": 0.1, "seed": 1, "log_every": 5}, "data": {"text": ["a"]}}
    now = {"train": {"lr": 0.2, "seed": 1, "log_every": 6, "new": 3}, "data": {"text": ["b"]}}
    refuse_changes(tmp_path, before, before)
    with pytest.raises(UsageError) as caught:
        refuse_changes(tmp_path, before, now, may_change=("train.log_every",))
    told = "data.text: ['a'] -> ['b']; train.lr: 0.1 -> 0.2; train.new: None -> 3"
    assert f"({told})" in str(caught.value)


def test_a_run_is_claimed_once_and_only_if_it_is_of_its_stage(tmp_path: Path) -> None:
    with claim_run(tmp_path / "a" / "run", "pretraining"):
        assert (tmp_path / "a" / "run").is_dir()
        with (
            pytest.raises(UsageError, match="another process"),
            claim_run(tmp_path / "a" / "run", "pretraining"),
        ):
            pass
    write_json(tmp_path / "manifest.json", {"kind": "vocabulary"})
    with pytest.raises(UsageError, match="holds a vocabulary"), claim_run(tmp_path, "pretraining"):
        pass
    (tmp_path / "file").touch()
    with (
        pytest.raises(ResourceError, match=r"file/run: cannot be made"),
        claim_run(tmp_path / "file" / "run", "pretraining"),
    ):
        pass
