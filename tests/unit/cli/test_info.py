import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_a_model_is_described_and_its_files_compared(run: Run, model: Path) -> None:
    ran = run("info", model)
    assert ran.code == 0
    first, *rest = ran.out.splitlines()
    assert first == f"{model}: model"
    facts = dict(line.split(maxsplit=1) for line in rest)
    assert facts["hidden_size"] == "32"
    assert facts["seed"] == "7"
    assert any(line.strip().startswith("ok") and "model.safetensors" in line for line in rest)


def test_of_many_inputs_the_first_are_named_and_all_in_json(run: Run, model: Path) -> None:
    path = model / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["inputs"] = [
        {"path": f"pairs-{n}.tsv", "num_rows": 5, "sha256": "0" * 64} for n in range(30)
    ]
    path.write_text(json.dumps(manifest), "utf-8")
    shown = run("info", model).out
    facts = json.loads(run("info", model, "--json").out)["facts"]
    assert shown.count("pairs-") == 4
    assert "  and 26 further inputs, which --json names\n" in shown
    assert sum("pairs-" in name for name in facts) == 30


def test_json_holds_facts_and_files(run: Run, model: Path) -> None:
    described = json.loads(run("info", model, "--json").out)
    assert (described["kind"], described["facts"]["layers"]) == ("model", 0)
    assert {file["state"] for file in described["files"]} == {"ok"}


def test_a_changed_file_is_told_and_gives_code_3(run: Run, model: Path) -> None:
    path = model / "vocab.txt"
    path.write_text(path.read_text("utf-8") + "more\n", "utf-8")
    ran = run("info", model)
    assert ran.code == 3
    assert any("changed" in line and "vocab.txt" in line for line in ran.out.splitlines())
    assert "1 files are missing or not those written, the first vocab.txt" in ran.err


def test_numbers_of_a_run_are_short(run: Run, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 3, "loss": 1234.56789}\n')
    ran = run("info", tmp_path)
    assert ran.code == 0
    assert "1,234.57" in ran.out


def test_folders_of_corpora_tell_what_was_kept(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Das ist ein ganz gewöhnlicher Satz.\n" * 2 + "x\n", "utf-8")
    clean, unique = tmp_path / "clean", tmp_path / "unique"
    ran = run("corpus", "clean", tmp_path / "a.txt", "--lang", "de", "--out", clean,
              "--no-language-id")  # fmt: skip
    assert ran.code == 0, ran.err
    assert run("corpus", "dedup", clean, "--out", unique).code == 0
    told = run("info", clean).out.splitlines()
    assert told[0] == f"{clean}: cleaned corpus"
    assert {"kept 2", "dropped: too short 1"} <= {" ".join(line.split()) for line in told}
    told = run("info", unique).out.splitlines()
    assert told[0] == f"{unique}: corpus without copies"
    assert {"copies 1", "kept deu 1"} <= {" ".join(line.split()) for line in told}


def test_an_unknown_folder_is_an_error(run: Run, tmp_path: Path) -> None:
    assert run("info", tmp_path / "none").code == 3
    assert "no such folder" in run("info", tmp_path / "none").err
