"""Random model folders with a small vocabulary, and sentences in many scripts."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.model_data import random_folder

from labse.model_folder.folder import ModelFolder, write_model_folder
from labse.vocab.tokenizer import SPECIAL_TOKENS, save_vocabulary

# Universal Declaration of Human Rights, article 1; an empty line, an emoji and one over the limit.
SENTENCES = [
    "All human beings are born free and equal in dignity and rights.",
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق.",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है।",
    "人人生而自由,在尊严和权利上一律平等。",
    "すべての人間は、生まれながらにして自由である。",
    "모든 인간은 태어날 때부터 자유로우며 평등하다.",
    "มนุษย์ทั้งหลายเกิดมามีอิสระ",
    "",
    "free 🎉",
    "free",
    "equal in rights " * 40,
]

BuildModel = Callable[..., ModelFolder]


@pytest.fixture(scope="module")
def worlds(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs `work(folder / N)` of a test module in N processes for each N of its SIZES."""
    folder = tmp_path_factory.mktemp("processes")
    forks = Path(__file__).with_name("forks.py")
    sizes = map(str, request.module.SIZES)
    command = [sys.executable, str(forks), str(request.path), str(folder), *sizes]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:]
    return folder


@pytest.fixture
def sentences() -> list[str]:
    return list(SENTENCES)


@pytest.fixture
def vocab_folder(tmp_path: Path) -> Path:
    """A vocabulary of single characters, as a start of a word and inside one."""
    characters = sorted(set("".join(SENTENCES)) - {" ", "🎉"})
    inside = [f"##{character}" for character in characters]
    save_vocabulary(tmp_path / "vocab", [*SPECIAL_TOKENS, *characters, *inside])
    return tmp_path / "vocab"


@pytest.fixture
def build_model(vocab_folder: Path) -> BuildModel:
    """Makes a model with random weights, no bias and no scale left at 0 or 1."""

    def build(layers: int = 2, **settings: object) -> ModelFolder:
        bert = {"hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 2}
        bert |= {"intermediate_size": 48, "max_position_embeddings": 40}
        options = {"max_seq_length": 24} | settings
        return random_folder(vocab_folder, bert, seed=layers, scale=0.3, **options)

    return build


@pytest.fixture
def model(tmp_path: Path, build_model: Callable[..., ModelFolder], vocab_folder: Path) -> Path:
    """A random model without layers, its vocabulary single characters."""
    folder = tmp_path / "model"
    built = build_model(0, pooling="mean")
    write_model_folder(folder, built, vocab_folder=vocab_folder, manifest={"seed": 7})
    return folder
