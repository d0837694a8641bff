import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labse.encoder.sentence_encoder import SentenceEncoder

Run = Callable[..., Any]

CONFIG = """
[data]
pairs = ["pairs.tsv"]
[model]
max_seq_length = 16
pooling = "mean"
projection = "linear"
[model.bert]
hidden_size = 16
num_hidden_layers = 0
num_attention_heads = 2
intermediate_size = 24
max_position_embeddings = 16
hidden_dropout_prob = 0.0
[train]
train_steps = 4
global_batch_size = 8
warmup_steps = 1
log_every = 2
eval_every = 2
checkpoint_every = 2
"""


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    """Holds config.toml, pairs.tsv, vocab/ and tatoeba/."""
    generator = np.random.default_rng(0)
    rows = ["lang\tenglish\ttext"]
    for _ in range(40):
        words = " ".join(generator.choice(list("abcdefghij"), 5))
        rows.append(f"deu\t{words}\t{words.upper()}")
    (tmp_path / "pairs.tsv").write_text("\n".join(rows) + "\n")
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "tatoeba").mkdir()
    for side, text in (("deu", "A B C\nD E F\n"), ("eng", "a b c\nd e f\n")):
        (tmp_path / "tatoeba" / f"tatoeba.deu-eng.{side}").write_text(text)
    options = ("--out", tmp_path / "vocab", "--min-count", 1)
    assert run("vocab", tmp_path / "pairs.tsv", *options).code == 0
    return tmp_path


def train(run: Run, folder: Path, *options: object) -> Any:  # noqa: ANN401
    common = ("--vocab", folder / "vocab", "--out", folder / "run")
    return run("train", folder / "config.toml", *common, *options)


def test_a_run_prints_columns_scores_and_where_the_model_is(run: Run, folder: Path) -> None:
    ran = train(run, folder, "--evaluate", folder / "tatoeba")
    assert (ran.code, ran.out) == (0, "")
    lines = ran.err.splitlines()
    header = next(i for i, line in enumerate(lines) if "in_batch_p_at_1" in line)
    assert len(lines[header]) == len(lines[header + 1])
    assert lines[header].split()[0] == "step"
    assert lines[header + 1].split()[0] == "2"
    assert lines[header + 2].startswith("step 2: tatoeba_p_at_1 ")
    assert lines[-1].startswith(f"{folder / 'run' / 'model'}: ")
    assert "40 read, 40 kept" in ran.err
    assert (folder / "run/model/golden.safetensors").is_file()
    SentenceEncoder.from_pretrained(folder / "run" / "model")


def test_json_is_the_summary(run: Run, folder: Path) -> None:
    summary = json.loads(train(run, folder, "--json").out)
    assert summary["step"] == 4
    assert summary["model_folder"] == str(folder / "run" / "model")
    assert summary["counts"]["num_kept"] == 40


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--set", "train.lrr=1"], 2, "unknown key 'train.lrr'; did you mean 'lr'?"),
        (["--set", "model.bert.vocab_size=7"], 2, "model.bert.vocab_size is 7, the vocabulary"),
        (["--set", "data.pairs=['none.tsv']"], 3, "none.tsv: no such file"),
        (["--set", "data.langs=['deutsh']"], 2, "data.langs: unknown language 'deutsh'"),
        (["--set", "train.global_batch_size=4096"], 3, "lower global_batch_size"),
        (["--evaluate", "none"], 3, "none: no such folder"),
    ],
)
def test_what_is_wrong_is_one_last_line(
    run: Run, folder: Path, options: list[str], code: int, message: str
) -> None:
    ran = train(run, folder, *options)
    assert ran.code == code
    assert ran.err.splitlines()[-1].startswith("labse: error: ")
    assert message in ran.err.splitlines()[-1]


def test_a_run_can_start_from_the_model_of_another(run: Run, folder: Path) -> None:
    train(run, folder)
    options = ("--init", folder / "run" / "model", "--out", folder / "tuned")
    done = run("train", folder / "config.toml", *options, "--set", "model.bert.num_hidden_layers=1")
    assert done.code == 0, done.err
    manifest = json.loads((folder / "tuned" / "model" / "manifest.json").read_text())
    assert manifest["start"]["step"] == 4
    assert manifest["config"]["bert"]["num_hidden_layers"] == 1


def test_without_a_vocabulary_or_a_model_nothing_is_trained(run: Run, folder: Path) -> None:
    done = run("train", folder / "config.toml", "--out", folder / "run")
    assert done.code == 2
    assert "--vocab" in done.err
    assert not (folder / "run").exists()


def write_pairs(path: Path, num_pairs: int) -> None:
    generator = np.random.default_rng(1)
    rows = ["source\ttarget"]
    for _ in range(num_pairs):
        words = " ".join(generator.choice(list("abcdefghij"), 5))
        rows.append(f"{words}\t{words.upper()}")
    path.write_text("\n".join(rows) + "\n")


def test_one_command_tunes_a_model_on_a_file_of_pairs(run: Run, folder: Path) -> None:
    train(run, folder)
    write_pairs(folder / "my.tsv", 50)
    langs = ("--source-lang", "en", "--target-lang", "de")
    command = ("train", "--init", folder / "run" / "model", "--pairs", folder / "my.tsv")
    done = run(*command, *langs, "--out", folder / "tuned")
    assert done.code == 0, done.err
    assert "tuning on 50 pairs: 6 steps of 25;" in done.err
    assert "no pairs were held out, so nothing says whether the model is better" in done.err
    manifest = json.loads((folder / "tuned" / "model" / "manifest.json").read_text())
    assert manifest["run_config"]["data"]["repeats"] == "mask"
    again = run(*command, *langs, "--out", folder / "tuned")
    assert again.code == 0, again.err


def test_pairs_held_out_tell_whether_the_tuned_model_is_better(run: Run, folder: Path) -> None:
    train(run, folder)
    write_pairs(folder / "my.tsv", 50)
    command = ("train", "--init", folder / "run" / "model", "--pairs", folder / "my.tsv",
               "--source-lang", "en", "--target-lang", "de", "--out", folder / "tuned")  # fmt: skip
    done = run(*command, "--held-out", "20%", "--json")
    assert done.code == 0, done.err
    assert "tuning on 40 pairs, 10 held out: 6 steps of 20;" in done.err
    quality = json.loads(done.out)["quality"]
    assert quality["num_held_out"] == 10
    assert f"now: {quality['verdict']}" in done.err.replace("the same", "same")
    for wrong in ("1.5", "many", "-1"):
        assert "--held-out" in run(*command, "--held-out", wrong).err
    other = run(*command, "--held-out", "7")
    assert (other.code, "data.held_out" in other.err) == (2, True)


@pytest.mark.parametrize("num_pairs", [1, 2])
def test_one_pair_is_told_to_be_too_few_or_trains(run: Run, folder: Path, num_pairs: int) -> None:
    train(run, folder)
    write_pairs(folder / "my.tsv", num_pairs)
    langs = ("--source-lang", "en", "--target-lang", "de")
    command = ("train", "--init", folder / "run" / "model", "--pairs", folder / "my.tsv")
    done = run(*command, *langs, "--out", folder / "tuned")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pairs", "my.tsv"], "--pairs needs --init"),
        ([], "give CONFIG.toml, or --pairs"),
        (["config.toml", "--pairs", "my.tsv"], "give CONFIG.toml, or --pairs"),
    ],
)
def test_tuning_needs_pairs_and_a_model(
    run: Run, folder: Path, options: list[str], message: str
) -> None:
    done = run("train", *options, "--vocab", folder / "vocab", "--out", folder / "run")
    assert done.code == 2
    assert message in done.err


def test_a_folder_in_the_shape_of_googles_labse_is_tuned(run: Run, folder: Path) -> None:
    options = ("--set", "model.bert.num_hidden_layers=2", "--set", "model.pooling=cls")
    train(run, folder, *options, "--set", "model.projection=tanh")
    model = folder / "run" / "model"
    # As it lies on the hub: no manifest of ours, and a vocab.txt alone is enough.
    (model / "manifest.json").unlink()
    (model / "tokenizer.json").unlink()
    write_pairs(folder / "my.tsv", 50)
    langs = ("--source-lang", "en", "--target-lang", "de")
    done = run("train", "--init", model, "--pairs", folder / "my.tsv", *langs,
               "--out", folder / "tuned")  # fmt: skip
    assert done.code == 0, done.err
    manifest = json.loads((folder / "tuned" / "model" / "manifest.json").read_text())
    assert manifest["config"]["pooling"] == "cls"
    assert manifest["run_config"]["train"]["embedding_optimizer"] == "adamw"
