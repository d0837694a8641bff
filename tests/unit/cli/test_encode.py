import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labse.encoder.sentence_encoder import SentenceEncoder

Run = Callable[..., Any]


def test_lines_become_rows(run: Run, tmp_path: Path, model: Path, sentences: list[str]) -> None:
    (tmp_path / "in.txt").write_text("\n".join(sentences) + "\n", "utf-8")
    ran = run("encode", tmp_path / "in.txt", "--out", tmp_path / "v.npy", "--model", model)
    assert (ran.code, ran.out) == (0, "")
    embeddings = np.load(tmp_path / "v.npy")
    np.testing.assert_array_equal(
        embeddings, SentenceEncoder.from_pretrained(model).encode(sentences)
    )
    assert f"{len(sentences)} rows of 32" in ran.err
    assert "cut to 24 tokens" in ran.err


def test_json_tells_what_was_written(run: Run, tmp_path: Path, model: Path) -> None:
    (tmp_path / "in.txt").write_text("free\n\n" + "equal " * 40 + "\n")
    ran = run(
        *("encode", tmp_path / "in.txt", "--out", tmp_path / "v.npy", "--model", model, "--json")
    )
    assert json.loads(ran.out) == {
        "path": str(tmp_path / "v.npy"),
        "num_rows": 3,
        "embedding_size": 32,
        "num_truncated": 1,
    }


def test_standard_input_is_read(
    run: Run, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("免\n\nfree".encode())))
    assert run("encode", "-", "--out", tmp_path / "v.npy", "--model", model).code == 0
    assert np.load(tmp_path / "v.npy").shape == (3, 32)


def test_an_empty_input_gives_no_rows_and_is_told(run: Run, tmp_path: Path, model: Path) -> None:
    (tmp_path / "in.txt").write_text("")
    ran = run("encode", tmp_path / "in.txt", "--out", tmp_path / "v.npy", "--model", model)
    assert ran.code == 0
    assert "in.txt: empty, so there are no rows" in ran.err
    assert np.load(tmp_path / "v.npy").shape == (0, 32)


def test_a_name_that_is_no_npy_is_refused(run: Run, tmp_path: Path, model: Path) -> None:
    ran = run("encode", tmp_path / "in.txt", "--out", tmp_path / "v.csv", "--model", model)
    assert ran.code == 2
    assert "ends in .npy" in ran.err


def test_a_precision_that_the_runtime_lacks_is_refused(
    run: Run, tmp_path: Path, model: Path
) -> None:
    options = ("--runtime", "numpy", "--precision", "bfloat16")
    ran = run("encode", "x", "--out", tmp_path / "v.npy", "--model", model, *options)
    assert ran.code == 2
    assert "the runtime numpy has no bfloat16" in ran.err
