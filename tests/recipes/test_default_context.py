"""Near-misses and layers of the default model's recipe, on a model made here."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.model_data import random_folder

from labse import SentenceEncoder, train_dual_encoder
from labse.config import parse_config
from labse.dual_encoder.config import RunConfig
from labse.model_folder.folder import read_model_folder, write_model_folder
from labse.model_folder.int8 import stored_weight
from labse.vocab.folder import learn_vocabulary

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "default"))

import layers
import near_misses

TABLE = "embeddings.word_embeddings.weight"


def write_bag(folder: Path) -> Path:
    """Writes `pairs.tsv` and a bag of its pieces in 4 bits."""
    rows = [f"word{n} and word{n + 1}\tWort{n} und Wort{n + 1}\teng\tdeu" for n in range(20)]
    lines = ["source\ttarget\tsource_lang\ttarget_lang", *rows]
    (folder / "pairs.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    learn_vocabulary([folder / "pairs.tsv"], folder / "vocab", vocab_size=80, min_count=1)
    sizes = {"hidden_size": 16, "num_hidden_layers": 0, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 32, "max_position_embeddings": 16}
    shape = {"pooling": "mean", "projection": "linear", "max_seq_length": 16}
    model = random_folder(folder / "vocab", sizes, seed=0, scale=0.3, **shape)
    write_model_folder(
        folder / "bag", model, vocab_folder=folder / "vocab", manifest={}, storage="int4"
    )
    return folder / "bag"


def test_each_side_gets_another_number_name_or_negation_of_its_language() -> None:
    rows = {
        "lang": ["deu", "deu", "swa"],
        "english": ["He came to Paris in 1987.", "We saw that Anna is here.", "Good morning."],
        "text": ["Er kam 1987 nach Paris.", "Anna ist hier.", "Habari za asubuhi."],
    }
    table, num_negatives = near_misses.add_near_misses(pa.table(rows))
    first, second, third = table.to_pylist()
    assert (first["source"], first["target"], first["source_lang"], first["target_lang"]) == (
        "He came to Paris in 1987.",
        "Er kam 1987 nach Paris.",
        "eng",
        "deu",
    )
    assert first["source_negative_1"].startswith("He came to Paris in ")
    assert first["source_negative_2"] == "He came to Anna in 1987."
    assert second["source_negative_2"] == "We saw that Anna is not here."
    assert second["target_negative_1"] == "Anna ist nicht hier."
    assert not any(value for name, value in third.items() if "negative" in name)
    assert num_negatives == sum(
        bool(value) for row in (first, second) for name, value in row.items() if "negative" in name
    )


def test_layers_travel_without_the_table_and_are_joined_to_the_same_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = write_bag(tmp_path)
    values = {
        "data": {"pairs": ["pairs.tsv"]},
        "model": {"bert": {"num_hidden_layers": 1}, "max_seq_length": 16},
        "train": {
            "train_steps": 4,
            "global_batch_size": 8,
            "sparse_embeddings": True,
            "embedding_lr": 0,
            "lr": 0.01,
            "checkpoint_every": 3,
        },
    }
    config = parse_config(RunConfig, values, where="test")
    train_dual_encoder(config, tmp_path / "run", start=bag, data_folder=tmp_path)

    monkeypatch.setattr(layers, "PART_BYTES", 6000)
    layers.pack(tmp_path / "run", tmp_path / "parts")
    names = sorted(path.name for path in (tmp_path / "parts").iterdir())
    assert names == [f"layers-000000004.{number}-of-3" for number in (1, 2, 3)]
    layers.join(bag, tmp_path / "parts", tmp_path / "joined")

    shipped, joined = (read_model_folder(path).weights for path in (bag, tmp_path / "joined"))
    assert (
        stored_weight(joined, TABLE).packed.tobytes()
        == stored_weight(shipped, TABLE).packed.tobytes()
    )
    assert (stored_weight(joined, TABLE).scales == stored_weight(shipped, TABLE).scales).all()
    trained, again = (
        SentenceEncoder.from_pretrained(tmp_path / name).encode(["word1 and word2", "Wort7"])
        for name in ("run/model", "joined")
    )
    assert np.einsum("nd,nd->n", trained, again) == pytest.approx([1, 1], abs=1e-3)

    (tmp_path / "parts" / names[1]).unlink()
    with pytest.raises(SystemExit, match="no whole set"):
        layers.join(bag, tmp_path / "parts", tmp_path / "joined")
