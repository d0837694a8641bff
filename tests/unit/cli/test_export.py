import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_an_export_tells_what_is_lost_and_what_is_saved(
    run: Run, model: Path, tmp_path: Path
) -> None:
    ran = run("export", model, tmp_path / "out", "--storage", "int8", "--json")

    assert ran.code == 0
    assert "800 sentences: mean cosine 0.999" in ran.err
    assert "P@1 on the sample" in ran.err
    report = json.loads(ran.out)
    assert report["path"] == str(tmp_path / "out")
    assert report["loss"]["num_sentences"] == 800
    assert run("info", tmp_path / "out").code == 0


def test_tatoeba_and_a_sample_of_ones_own(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "tatoeba").mkdir()
    for side in ("deu", "eng"):
        (tmp_path / f"tatoeba/tatoeba.deu-eng.{side}").write_text(f"free {side}\nequal\n")
    (tmp_path / "sample.txt").write_text("free\nequal\n")
    options = ("--tatoeba", tmp_path / "tatoeba", "--sample", tmp_path / "sample.txt")

    ran = run("export", model, tmp_path / "out", "--storage", "int8", *options)

    assert ran.code == 0
    assert "2 sentences: mean" in ran.err
    assert "P@1 on Tatoeba 100.00 % -> 100.00 %" in ran.err


def test_past_the_bounds_it_takes_force(run: Run, model: Path, tmp_path: Path) -> None:
    command = ("export", model, tmp_path / "out", "--storage", "int8", "--min-cosine", "1")
    ran = run(*command)
    assert ran.code == 3
    assert "loses too much" in ran.err
    assert not (tmp_path / "out").exists()
    assert run(*command, "--force").code == 0


def test_onnx_is_told_by_the_name(run: Run, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert run("export", model, tmp_path / "m.onnx").code == 0
    assert (tmp_path / "m.onnx").is_file()
    ran = run("export", model, tmp_path / "n.onnx", "--storage", "float16")
    assert ran.code == 2
    assert "ONNX is written in float32 or int8" in ran.err


def test_what_is_no_model_is_one_line(run: Run, tmp_path: Path) -> None:
    ran = run("export", tmp_path / "none", tmp_path / "out")
    assert ran.code == 3
    assert ran.err.count("\n") == 1
    assert "no such model folder" in ran.err
