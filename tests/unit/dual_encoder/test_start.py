from pathlib import Path

import numpy as np
import pytest
import torch

from labse.config import parse_config
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.grow import start_model
from labse.dual_encoder.run import run_training
from labse.dual_encoder.start import (
    fit_to_start,
    load_run_config,
    read_start,
    start_lineage,
)
from labse.dual_encoder.tuning import tuning_config
from labse.errors import LabseError, UsageError
from labse.model_folder.folder import ModelFolder, read_model_folder
from labse.model_folder.torch_model import to_dual_encoder
from labse.network.config import BertConfig, DualEncoderConfig
from labse.vocab.folder import learn_vocabulary
from labse.vocab.tokenizer import load_tokenizer

DATA = {"pairs": ["pairs.tsv"]}
BAG = {
    "pooling": "mean",
    "projection": "linear",
    "max_seq_length": 16,
    "bert": {
        "hidden_size": 16,
        "num_hidden_layers": 0,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 16,
        "hidden_dropout_prob": 0.0,
    },
}
TRAIN = {"train_steps": 3, "global_batch_size": 8, "warmup_steps": 1, "lr": 0.01}
IDS = torch.tensor([[2, 7, 9, 3]])
MASK = torch.ones_like(IDS)


def config(**model: object) -> RunConfig:
    values: dict[str, object] = {"data": DATA, "model": model, "train": TRAIN}
    return parse_config(RunConfig, values, where="test")


def train(folder: Path, name: str, run_config: RunConfig, start: Path | None = None) -> Path:
    summary = run_training(
        run_config,
        folder / name,
        vocab_folder=folder / "vocab",
        data_folder=folder,
        start=start,
    )
    return summary.model_folder


@pytest.fixture
def bag_folder(run_folder: Path) -> Path:
    return train(run_folder, "bag", config(**BAG))


@pytest.fixture
def bag(bag_folder: Path) -> ModelFolder:
    return read_model_folder(bag_folder)


def test_sizes_left_out_are_those_of_the_model(bag: ModelFolder) -> None:
    assert fit_to_start(config(), bag.config).model == bag.config


def test_lengths_and_dropout_may_be_stated_anew(bag: ModelFolder) -> None:
    fitted = fit_to_start(
        config(max_seq_length=8, bert={"hidden_dropout_prob": 0.2}), bag.config
    ).model
    assert (fitted.max_seq_length, fitted.bert.hidden_dropout_prob) == (8, 0.2)
    assert fitted.bert.hidden_size == 16


def test_another_width_is_refused_by_name(bag: ModelFolder) -> None:
    with pytest.raises(UsageError, match=r"model\.bert\.hidden_size is 24, .* has 16"):
        fit_to_start(config(bert={"hidden_size": 24}), bag.config)


def test_a_model_with_layers_takes_no_others(run_folder: Path, run_config: RunConfig) -> None:
    layered = read_model_folder(train(run_folder, "layered", run_config))
    with pytest.raises(UsageError, match=r"num_hidden_layers is 2, .* has 1"):
        fit_to_start(config(bert={"num_hidden_layers": 2}), layered.config)


@pytest.mark.parametrize("layers", [0, 2])
def test_a_run_begins_with_the_vectors_of_the_model(bag: ModelFolder, layers: int) -> None:
    shape = config(bert={"num_hidden_layers": layers, "num_attention_heads": 4})
    started = start_model(bag, fit_to_start(shape, bag.config).model, sparse_embeddings=True).eval()
    assert len(started.bert.layers) == layers
    assert started.bert.embeddings.word.sparse
    expected = to_dual_encoder(bag).eval()(IDS, MASK)
    torch.testing.assert_close(started(IDS, MASK), expected, atol=1e-6, rtol=0)


def test_training_goes_on_from_the_model_and_says_so(run_folder: Path, bag_folder: Path) -> None:
    grown = train(run_folder, "grown", config(bert={"num_hidden_layers": 1}), start=bag_folder)
    manifest = (grown / "manifest.json").read_text()
    assert str(start_lineage(bag_folder)["sha256"][0]) in manifest
    before, after = (read_model_folder(folder).weights for folder in (bag_folder, grown))
    name = "embeddings.word_embeddings.weight"
    difference = np.abs(np.asarray(after[name]) - np.asarray(before[name])).max()
    assert 0 < difference < 0.2  # Three steps of 0.01 away, not drawn anew.


def test_a_run_is_not_resumed_from_another_model(run_folder: Path, bag_folder: Path) -> None:
    tuned = config(max_seq_length=16)
    train(run_folder, "tuned", tuned, start=bag_folder)
    other = train(
        run_folder,
        "other",
        parse_config(
            RunConfig,
            {"data": DATA, "model": BAG, "train": TRAIN | {"seed": 9}},
            where="test",
        ),
    )
    with pytest.raises(UsageError, match="a run from another model"):
        train(run_folder, "tuned", tuned, start=other)


def test_a_model_of_another_vocabulary_is_refused(run_folder: Path, bag_folder: Path) -> None:
    other = run_folder / "small"
    (run_folder / "other.tsv").write_text("lang\tenglish\ttext\ndeu\tx y z\tX Y Z\n", "utf-8")
    learn_vocabulary([run_folder / "other.tsv"], other, vocab_size=60, min_count=1)
    with pytest.raises(UsageError, match="another vocabulary"):
        read_start(bag_folder, load_tokenizer(other))


# ---- Settings to tune a model ----

FLAT = DualEncoderConfig(bert=BertConfig(num_hidden_layers=0), pooling="mean")


@pytest.mark.parametrize(
    ("num_pairs", "batch_size", "steps", "held_out"),
    # Three passes: 3 * 2 / 2, 3 * 40 / 20, of 200 less 20 held out 3 * 180 / 90, of 10,000 less 500
    # 3 * 9,500 / 512 = 55.7, of 100,000 less 1,000 3 * 99,000 / 512 = 580.1.
    [
        (1, 2, 2, 0),
        (2, 2, 3, 0),
        (40, 20, 6, 0),
        (120, 60, 6, 0),
        (200, 90, 6, 20),
        (10_000, 512, 56, 500),
        (100_000, 512, 581, 1000),
    ],
)
def test_batches_and_steps_follow_the_number_of_pairs(
    num_pairs: int, batch_size: int, steps: int, held_out: int
) -> None:
    tuning = tuning_config(["a b.tsv"], num_pairs, FLAT, start="default")
    assert tuning.data.held_out == held_out
    assert tuning.data.pairs == ("a b.tsv",)
    assert (tuning.train.global_batch_size, tuning.train.train_steps) == (batch_size, steps)
    assert tuning.train.warmup_steps < steps


def test_a_model_with_layers_is_tuned_by_adamw_a_few_pairs_at_a_time() -> None:
    layered = DualEncoderConfig()
    tuning = tuning_config(["a.tsv"], 10_000, layered, start="x").train
    assert (tuning.embedding_optimizer, tuning.lr, tuning.embedding_lr) == ("adamw", 2e-5, 2e-5)
    assert tuning.micro_batch_size == 64
    assert (
        tuning_config(["a.tsv"], 100, layered, start="x", held_out=0).train.micro_batch_size is None
    )
    flat = tuning_config(["a.tsv"], 10_000, FLAT, start="x", held_out=0.5)
    assert (flat.train.embedding_optimizer, flat.train.train_steps) == ("adagrad", 30)


def test_pairs_of_all_files_are_counted_and_what_is_stated_overrules(
    tmp_path: Path, bag_folder: Path
) -> None:
    for name, count in (("a", 2), ("b", 38), ("none", 0)):
        rows = ["source\ttarget", *("one\teins" for _ in range(count))]
        (tmp_path / f"{name}.tsv").write_text("\n".join(rows) + "\n")
    files = [str(tmp_path / "a.tsv"), str(tmp_path / "b.tsv")]
    langs = {"source_lang": "eng", "target_lang": "deu"}
    tuning = load_run_config(None, ["train.lr=0.5"], pairs=files, start=bag_folder, **langs)
    assert (tuning.train.global_batch_size, tuning.train.lr) == (20, 0.5)
    assert (tuning.data.source_lang, tuning.data.target_lang) == ("eng", "deu")
    assert tuning.distill is not None
    assert (tuning.distill.teacher, tuning.distill.teacher_side) == (str(bag_folder), "source")
    turned = {"source_lang": "deu", "target_lang": "eng", "held_out": 0.2}
    other = load_run_config(None, pairs=files, start=bag_folder, **turned)  # type: ignore[arg-type]
    assert (other.distill and other.distill.teacher_side, other.data.held_out) == ("target", 0.2)
    with pytest.raises(LabseError, match=r"none\.tsv: empty"):
        load_run_config(None, pairs=[str(tmp_path / "none.tsv")], start=bag_folder, **langs)
