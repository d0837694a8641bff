import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[..., Any]


def test_sound_vectors_are_told(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.eye(3, dtype=np.float32))
    ran = run("verify", tmp_path / "a.npy")
    assert ran.code == 0
    assert "3 rows of 3, float32, all well" in ran.out
    assert json.loads(run("verify", tmp_path / "a.npy", "--json").out)["model_sha256"] is None


def test_a_damaged_folder_gives_code_3_and_the_file(run: Run, tmp_path: Path, model: Path) -> None:
    (tmp_path / "in.txt").write_text("free\n")
    assert run("encode", tmp_path / "in.txt", "--out", tmp_path / "v", "--model", model).code == 0
    path = tmp_path / "v" / "shard-000000.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    ran = run("verify", tmp_path / "v")
    assert (ran.code, ran.out) == (3, "")
    assert "shard-000000.npy: its SHA-256 is not the one" in ran.err
