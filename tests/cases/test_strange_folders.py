"""Folders of strangers: each is read, or refused in one line; nothing outside of them is opened."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from tests.unit.cli.conftest import Run
from tests.unit.conftest import BuildModel, build_model, vocab_folder

from labse.model_folder.folder import write_model_folder

__all__ = ["build_model", "vocab_folder"]

OUTSIDE = ["/dev/zero", "../../etc/passwd", "/proc/self/mem", "\0", "\ud800", "", "a/../../b"]


@pytest.fixture
def make_folder(
    inside: Path, build_model: BuildModel, vocab_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Makes a model of random weights, as a stranger's: without our manifest."""
    monkeypatch.setenv("LABSE_CACHE", str(inside / "cache"))
    Path("t.txt").write_text("free and equal\n")

    def make(name: str, *, layers: int = 1, sign: int = 1) -> Path:
        model = build_model(layers, pooling="mean", projection="none")
        weights = {name: sign * weight for name, weight in model.weights.items()}
        model = replace(model, weights=weights)
        write_model_folder(inside / name, model, vocab_folder=vocab_folder, manifest={})
        (inside / name / "manifest.json").unlink()
        return inside / name

    return make


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


def assert_one_line(run: Run, *command: object, told: str, code: int = 3) -> None:
    ran = run(*command)
    assert ran.code == code, ran.err
    assert ran.err.startswith("labse: error: ")
    assert ran.err.count("\n") == 1
    assert told in ran.err


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_manifest_names_no_file_outside_of_its_folder(
    run: Run, make_folder: Callable[..., Path], name: str
) -> None:
    folder = make_folder("m")
    (folder / "manifest.json").write_text(json.dumps({"files": {name: "x"}}))
    for command in (["encode", "t.txt", "--out", "o.npy", "--model", folder], ["info", folder]):
        assert_one_line(run, *command, told="manifest.json: ")


@pytest.mark.parametrize("name", OUTSIDE)
def test_nor_does_one_of_vectors_of_words_or_of_scores(run: Run, inside: Path, name: str) -> None:
    Path("t.txt").write_text("free and equal in dignity and rights\n")
    assert run("encode", "t.txt", "--out", "v").code == 0
    manifest = json.loads(Path("v/manifest.json").read_text())
    manifest["shards"][0]["files"] = {name: "x"}
    Path("v/manifest.json").write_text(json.dumps(manifest))
    assert_one_line(run, "verify", "v", told="manifest.json: ")

    assert run("vocab", "t.txt", "--lang", "en", "--counts", "c").code == 0
    edit(Path("c/manifest.json"), tables={name: "x"})
    assert_one_line(run, "vocab", "c", "--out", "voc", told="manifest.json: ")

    clean = ["corpus", "clean", "t.txt", "--lang", "en", "--no-language-id", "--out", "k"]
    assert run(*clean).code == 0
    edit(Path("k/scores/manifest.json"), shards={name: "x"})
    assert_one_line(run, "corpus", "decide", "k", told="manifest.json: ")


def test_a_link_to_a_device_is_no_file_of_a_model(
    run: Run, make_folder: Callable[..., Path]
) -> None:
    folder = make_folder("m")
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "manifest.json").write_text('{"files": {"zero": "x"}}')
    command = ["encode", "t.txt", "--out", "o.npy", "--model", folder]
    assert_one_line(run, *command, told="is a device, pipe or folder")


@pytest.mark.parametrize("name", ["config.json", "1_Pooling/config.json"])
@pytest.mark.parametrize("kind", ["pipe", "zeros", "memory", "large"])
def test_a_file_of_a_model_that_is_none_is_not_read(
    run: Run, make_folder: Callable[..., Path], name: str, kind: str
) -> None:
    path = make_folder("m") / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "large":  # 40 GB of nothing.
        path.touch()
        os.truncate(path, 40 << 30)
    else:
        path.symlink_to({"zeros": "/dev/zero", "memory": "/proc/self/mem"}[kind])
    command = ["encode", "t.txt", "--out", "o.npy", "--model", "m"]
    # /proc/self/mem cannot be read at its begin, as a disk that is broken.
    code = 4 if kind == "memory" else 3
    assert_one_line(run, *command, told=name if kind != "zeros" else "m/", code=code)


def test_two_models_whose_manifests_list_nothing_are_two(
    run: Run, make_folder: Callable[..., Path]
) -> None:
    for name, sign in (("A", 1), ("B", -1)):
        (make_folder(name, sign=sign) / "manifest.json").write_text('{"files": {}}')
    for out, model in (("a", "A"), ("b", "B")):
        assert run("encode", "t.txt", "--out", f"{out}.npy", "--model", model).code == 0
    shutil.rmtree("cache")
    assert run("encode", "t.txt", "--out", "c.npy", "--model", "B").code == 0
    np.testing.assert_array_equal(np.load("b.npy"), np.load("c.npy"))
    assert not np.allclose(np.load("a.npy"), np.load("b.npy"), atol=1e-2)


@pytest.mark.parametrize("layers", [10**9, 10**30, -1, 1.5, "two"])
def test_layers_that_no_model_has_are_refused_at_once(
    run: Run, make_folder: Callable[..., Path], layers: object
) -> None:
    folder = make_folder("m")
    edit(folder / "config.json", num_hidden_layers=layers)
    for command in (["encode", "t.txt", "--out", "o.npy", "--model", folder], ["info", folder]):
        assert_one_line(run, *command, told="num_hidden_layers")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("sentence_bert_config.json", '{"max_seq_length": -Infinity}'),
        ("sentence_bert_config.json", '{"max_seq_length": NaN}'),
        ("sentence_bert_config.json", '{"max_seq_length": [9]}'),
        ("sentence_bert_config.json", '{"max_seq_length": true}'),
        ("modules.json", "[" * 200_000 + "]" * 200_000),
        ("modules.json", "1" * 5000),
        ("config.json", '{"a":' * 200_000 + "1" + "}" * 200_000),
        ("1_Pooling/config.json", "[]"),
        ("config_sentence_transformers.json", '{"prompts": {"query": 1}}'),
        ("config_sentence_transformers.json", '{"default_prompt_name": "query"}'),
        ("config_sentence_transformers.json", '{"default_prompt_name": [1], "prompts": {}}'),
        ("golden.safetensors", [1]),
        ("golden.safetensors", {"a": 1}),
        ("golden.safetensors", []),
    ],
)
def test_what_is_no_setting_is_one_line(
    run: Run, make_folder: Callable[..., Path], name: str, content: object
) -> None:
    folder = make_folder("m")
    if isinstance(content, str):
        (folder / name).write_text(content)
    else:
        metadata = {"sentences": json.dumps(content)}
        vectors = {"embeddings": np.ones((len(content), 32), np.float32)}  # type: ignore[arg-type]
        (folder / name).write_bytes(save(vectors, metadata))
    command = ["encode", "t.txt", "--out", "o.npy", "--model", folder]
    assert_one_line(run, *command, told=f"{folder}")


@pytest.mark.parametrize("number", [2000, 10**9, 5 * 10**9, -1])
@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("place", ["vocab", "added", "around"])
def test_an_id_without_a_row_is_refused_when_the_model_is_loaded(
    run: Run, make_folder: Callable[..., Path], number: int, layers: int, place: str
) -> None:
    folder = make_folder("m", layers=layers)
    state = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    if place == "vocab":
        state["model"]["vocab"]["f"] = number
    elif place == "added":
        added = {**state["added_tokens"][0], "id": number, "content": "<added>"}
        state["added_tokens"].append(added)
        state["model"]["vocab"]["<added>"] = number
    else:
        state["post_processor"]["special_tokens"]["[CLS]"]["ids"] = [number]
    (folder / "tokenizer.json").write_text(json.dumps(state), "utf-8")
    command = ["encode", "t.txt", "--out", "o.npy", "--model", folder]
    assert_one_line(run, *command, told="tokenizer.json: ")
