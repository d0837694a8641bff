"""Names of the hub, against a local cache: no test goes to the network."""

from pathlib import Path

import pytest

from labse.errors import LabseError, ResourceError
from labse.model_folder import hub
from labse.model_folder.hub import locate_model


def test_a_path_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner/name").mkdir(parents=True)
    assert locate_model("owner/name") == Path("owner/name")
    assert locate_model("a/b/c") == Path("a/b/c")
    assert locate_model(tmp_path / "none") == tmp_path / "none"


def test_a_name_is_found_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--owner--name/snapshots/0123"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (tmp_path / "models--owner--name/refs").mkdir()
    (tmp_path / "models--owner--name/refs/main").write_text("0123")
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))

    assert locate_model("owner/name") == snapshot
    assert locate_model("owner/other") == Path("owner/other")


def test_no_network_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ResourceError, match="hub:owner/name: cannot be reached"):
        locate_model("hub:owner/name")
    with pytest.raises(LabseError, match="not a name of the hub"):
        locate_model("hub:one/two/three")


def test_default_is_the_model_that_comes_with_labse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "DEFAULT_FOLDER", tmp_path / "packaged")
    with pytest.raises(LabseError, match="no default model is packaged"):
        locate_model("default")
    (tmp_path / "packaged").mkdir()
    assert locate_model("default") == tmp_path / "packaged"
    (tmp_path / "default").mkdir()
    assert locate_model("default") == Path("default")
