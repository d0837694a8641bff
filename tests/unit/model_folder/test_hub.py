"""Names of the hub, against a cache that the test builds: no test goes to the network."""

import time
from pathlib import Path

import pytest

from labse.errors import LabseError, ResourceError
from labse.model_folder import hub
from labse.model_folder.hub import locate_model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, a folder to work in, and a port where nobody answers."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "cache"


def add_snapshot(cache: Path, name: str, revision: str, *, is_main: bool = True) -> Path:
    folder = cache / f"models--{name.replace('/', '--')}"
    snapshot = folder / "snapshots" / revision
    snapshot.mkdir(parents=True)
    for file in ("config.json", "tokenizer.json", "model.safetensors"):
        (snapshot / file).write_text("{}")
    if is_main:
        (folder / "refs").mkdir()
        (folder / "refs/main").write_text(revision)
    return snapshot


def test_a_path_is_a_path(tmp_path: Path) -> None:
    Path("owner/name").mkdir(parents=True)
    assert locate_model("owner/name") == Path("owner/name")
    assert locate_model("owner/other") == Path("owner/other")  # Its reader says that it is missing.
    assert locate_model("a/b/c") == Path("a/b/c")
    assert locate_model("./a") == Path("./a")
    assert locate_model(tmp_path / "none") == tmp_path / "none"


@pytest.mark.parametrize(
    "name",
    [
        "sentence-transformers/LaBSE",
        "LaBSE",
        "labse",
        "hub:sentence-transformers/LaBSE",
        "hub:LaBSE",
    ],
)
def test_the_real_labse_is_found_in_the_cache_as_people_type_it(cache: Path, name: str) -> None:
    add_snapshot(cache, "sentence-transformers/LaBSE", "0000", is_main=False)
    newest = add_snapshot(cache, "sentence-transformers/LaBSE", "1111")
    assert locate_model(name) == newest


def test_a_fetch_that_stopped_is_no_model(cache: Path) -> None:
    snapshot = add_snapshot(cache, "owner/name", "0123")
    assert locate_model("owner/name") == snapshot
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(
        ResourceError, match="owner/name: no such folder here, and it cannot be fetched"
    ):
        locate_model("owner/name")


def test_without_a_network_one_line_tells_how_to_bring_the_model() -> None:
    for name in ("LaBSE", "owner/name", "hub:owner/name"):
        with pytest.raises(ResourceError, match=r"hf download .* copy that folder") as caught:
            locate_model(name)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 4
    with pytest.raises(LabseError, match="not a name of the hub"):
        locate_model("hub:one/two/three")


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    begin = time.monotonic()
    with pytest.raises(ResourceError, match="owner/nmae: no such folder here, and it cannot be"):
        locate_model("owner/nmae")
    assert time.monotonic() - begin < 10  # Of a busy machine; with the client's retries, 23 more.


def test_default_is_the_model_that_comes_with_labse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "DEFAULT_FOLDER", tmp_path / "packaged")
    with pytest.raises(LabseError, match="no default model is packaged"):
        locate_model("default")
    (tmp_path / "packaged").mkdir()
    assert locate_model("default") == tmp_path / "packaged"
    Path("default").mkdir()
    assert locate_model("default") == Path("default")
    assert locate_model(None) == tmp_path / "packaged"
