import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labse.encoder.job.embeddings import open_embeddings
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
        "num_long": 1,
        "num_truncated": 1,
        "num_unknown": 0,
        "num_empty": 1,
    }


def test_what_is_treated_in_another_way_is_told(run: Run, tmp_path: Path, model: Path) -> None:
    (tmp_path / "in.txt").write_text("free\tequal\nfree\tborn\n")
    ran = run("encode", tmp_path / "in.txt", "--out", tmp_path / "v.npy", "--model", model)
    assert "in.txt: its lines hold tabs, and each is taken as one text" in ran.err
    (tmp_path / "in.txt").write_text("free\n\n")
    ran = run("encode", tmp_path / "in.txt", "--out", tmp_path / "v.npy", "--model", model)
    assert "1 line without text" in ran.err


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
    assert "one .npy file or as a folder of shards" in ran.err


def test_a_precision_that_the_runtime_lacks_is_refused(
    run: Run, tmp_path: Path, model: Path
) -> None:
    options = ("--runtime", "numpy", "--precision", "bfloat16")
    (tmp_path / "x").touch()
    ran = run("encode", tmp_path / "x", "--out", tmp_path / "v.npy", "--model", model, *options)
    assert ran.code == 2
    assert "the runtime numpy has no bfloat16" in ran.err


def test_a_folder_takes_several_files_and_verifies(run: Run, tmp_path: Path, model: Path) -> None:
    (tmp_path / "a.txt").write_text("free\n\nequal\n" + "equal " * 40 + "\n")
    (tmp_path / "b.jsonl").write_text('{"text": "free"}\n')
    encode = ("encode", tmp_path / "a.txt", tmp_path / "b.jsonl", "--out", tmp_path / "v")
    ran = run(*encode, "--model", model, "--shard-rows", 3, "--storage", "float16", "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert (told["num_rows"], told["num_shards"], told["num_empty"]) == (5, 2, 1)
    assert (told["num_long"], told["num_duplicates"]) == (1, 1)
    assert "1 cut to 24 tokens" in ran.err
    rows = open_embeddings(tmp_path / "v")
    np.testing.assert_array_equal(rows[0], rows[4])

    ran = run("verify", tmp_path / "v", "--json")
    assert (ran.code, json.loads(ran.out)["num_rows"]) == (0, 5)
    assert run("info", tmp_path / "v").out.splitlines()[0].endswith(": embeddings")
    again = run(*encode, "--model", model, "--shard-rows", 3)
    assert again.code == 2
    assert "begun with another storage" in again.err


def test_long_texts_are_averaged_when_asked_for(run: Run, tmp_path: Path, model: Path) -> None:
    (tmp_path / "in.txt").write_text("free and " * 30 + "\n" + "free\n")
    for long in ("truncate", "mean"):
        out = tmp_path / f"{long}.npy"
        ran = run("encode", tmp_path / "in.txt", "--out", out, "--model", model, "--long", long)
        assert ran.code == 0
    assert "1 over 24 tokens and averaged" in ran.err
    cut, mean = np.load(tmp_path / "truncate.npy"), np.load(tmp_path / "mean.npy")
    assert float(cut[0] @ mean[0]) < 1 - 1e-5
    np.testing.assert_array_equal(cut[1], mean[1])


def test_both_spellings_are_one_with_nfc(run: Run, tmp_path: Path, model: Path) -> None:
    (tmp_path / "in.txt").write_text("W\u00fcrde\nWu\u0308rde\n", "utf-8")
    for option in ((), ("--nfc",)):
        out = tmp_path / "v.npy"
        assert run("encode", tmp_path / "in.txt", "--out", out, "--model", model, *option).code == 0
        first, second = np.load(out)
        assert (first.tobytes() == second.tobytes()) == bool(option)


@pytest.mark.parametrize("option", [("--jobs", 2), ("--shard-rows", 9), ("--storage", "int8")])
def test_an_option_for_folders_is_refused_for_a_file(
    run: Run, tmp_path: Path, model: Path, option: tuple[object, ...]
) -> None:
    ran = run("encode", tmp_path / "in.txt", "--out", tmp_path / "v.npy", "--model", model, *option)
    assert ran.code == 2
    assert "is for a folder" in ran.err


def test_a_csv_is_refused_and_not_read_as_text(run: Run, tmp_path: Path, model: Path) -> None:
    (tmp_path / "in.csv").write_text("a,b\n")
    ran = run("encode", tmp_path / "in.csv", "--out", tmp_path / "v", "--model", model)
    assert ran.code == 2
    assert "in.csv: .csv files are not read" in ran.err
