from pathlib import Path

import pytest

from labse.encoder.check import diagnosis
from labse.encoder.check.diagnosis import diagnose


def test_a_sound_machine_and_model_have_no_failure(model_folder: Path) -> None:
    found = {finding.name: finding for finding in diagnose(model_folder)}
    assert [name for name, finding in found.items() if finding.state == "fail"] == []
    assert found["runtime"].value.startswith("numpy: the model has no layers")
    assert "32 values, 24 tokens" in found["model"].value
    assert "tokens a second, more where words repeat; a million take" in found["speed"].value
    expected = {"processor", "threads", "memory", "disk here", "disk temporary", "locale", "numpy"}
    assert expected <= set(found)


def test_a_damaged_model_is_a_failure_that_says_why(model_folder: Path) -> None:
    weights = model_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    (finding,) = [finding for finding in diagnose(model_folder) if finding.state == "fail"]
    assert finding.name == "model"
    assert "SHA-256" in finding.value


def test_a_quota_of_the_control_group_is_found_and_threads_follow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    monkeypatch.setattr(diagnosis, "_cgroup_folders", lambda: [tmp_path])
    found = {finding.name: finding for finding in diagnosis._check_processor()}
    assert found["threads"].state == "note"
    assert "quota of 0.5; give --threads 1" in found["threads"].value
    (tmp_path / "cpu.max").write_text("max 100000\n")
    found = {finding.name: finding for finding in diagnosis._check_processor()}
    assert found["threads"].state == "ok"


def test_the_control_groups_are_this_process_and_all_above(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_read_text", lambda path: "1:x:/y\n0::/a/b\n")
    root = Path("/sys/fs/cgroup")
    assert diagnosis._cgroup_folders() == [root / "a" / "b", root / "a", root]


def test_a_package_that_is_missing_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_PACKAGES", ("numpy", "no-such-package"))
    states = {finding.name: finding.state for finding in diagnosis._check_versions()}
    assert (states["numpy"], states["no-such-package"]) == ("ok", "fail")


def test_the_packages_of_every_extra_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["numpy>=2", "pyarrow>=17; extra == 'corpus'", 'no-such; extra == "corpus"']
    monkeypatch.setattr("importlib.metadata.requires", lambda name: asked)
    found = {finding.name: finding.value for finding in diagnosis._check_versions()}
    assert found["extra corpus"].endswith("no-such no; pip install 'labse[corpus]' brings the rest")


def test_little_memory_is_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    monkeypatch.setattr(diagnosis, "_cgroup_folders", lambda: [tmp_path])
    (finding,) = diagnosis._check_memory()
    assert finding.state == "note"
    assert "limit 0.0 GiB" in finding.value
