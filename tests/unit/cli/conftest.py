"""Runs command lines in this process, and a random model to run them on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from labse.cli import main
from labse.model_folder.folder import ModelFolder, write_model_folder


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> Ran:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture
def model(tmp_path: Path, build_model: Callable[..., ModelFolder], vocab_folder: Path) -> Path:
    """A random model without layers, its vocabulary single characters."""
    folder = tmp_path / "model"
    built = build_model(0, pooling="mean")
    write_model_folder(folder, built, vocab_folder=vocab_folder, manifest={"seed": 7})
    return folder
