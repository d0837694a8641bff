from collections.abc import Callable
from pathlib import Path

import pytest

from labse.model_folder.folder import ModelFolder, write_model_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def source(tmp_path: Path, build_model: Callable[..., ModelFolder], vocab_folder: Path) -> Path:
    model = build_model(0, pooling="mean")
    write_model_folder(
        tmp_path / "source", model, vocab_folder=vocab_folder, manifest={"seed": 7, "kind": "model"}
    )
    return tmp_path / "source"
