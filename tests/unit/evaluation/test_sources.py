import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labse.encoder.protocol import encode_sentences
from labse.errors import LabseError, UsageError
from labse.evaluation.report import describe_length
from labse.evaluation.sources import open_encoder
from labse.model_folder.folder import ModelFolder, write_model_folder


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current folder, as a user has it."""
    (tmp_path / "my_encoder.py").write_text(
        "import numpy as np\n"
        "def lengths(sentences):\n"
        "    return np.array([[len(s), 1.0] for s in sentences])\n"
        "def none(sentences):\n"
        "    return [[float('nan'), 1.0] for s in sentences]\n"
        "def too_few(sentences):\n"
        "    return np.ones((1, 2))\n"
        "def ragged(sentences):\n"
        "    return [[1.0] * (n + 1) for n, s in enumerate(sentences)]\n"
        "class Model:\n"
        "    def encode(self, sentences):\n"
        "        return lengths(sentences)\n"
        "model = Model()\n"
        "number = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.delitem(sys.modules, "my_encoder", raising=False)
    return "my_encoder"


@pytest.mark.parametrize("name", ["lengths", "model", "model.encode"])
def test_a_function_or_an_object_with_encode_is_an_encoder(module: str, name: str) -> None:
    encoder = open_encoder(f"{module}:{name}")
    assert encode_sentences(encoder, ["ab", "c"]).tolist() == [[2, 1], [1, 1]]
    assert describe_length(encoder) == "none"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_encoder:absent", "has no 'absent'"),
        ("my_encoder:number", "is no function"),
        ("no_such_module_here:encode", "no module 'no_such_module_here'"),
    ],
)
def test_a_name_that_is_no_function_is_a_usage_error(module: str, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_encoder(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "NaN or infinity for 'ab'"),
        ("too_few", "1 rows for 2 sentences"),
        ("ragged", "different widths"),
    ],
)
def test_what_a_broken_function_returns_is_told(module: str, name: str, message: str) -> None:
    with pytest.raises(LabseError, match=message):
        encode_sentences(open_encoder(f"{module}:{name}"), ["ab", "c"])


def test_options_of_a_model_folder_are_errors_for_other_encoders(module: str) -> None:
    with pytest.raises(UsageError, match="options of the model folders"):
        open_encoder(f"{module}:lengths", precision="int8")
    with pytest.raises(UsageError, match="options of the model folders"):
        open_encoder("a.npy", threads=2)
    with pytest.raises(UsageError, match="options of the model folders"):
        open_encoder("sentence-transformers:a", runtime="torch")


def test_a_model_folder_is_an_encoder_that_knows_its_length(
    tmp_path: Path, build_model: Callable[..., ModelFolder], vocab_folder: Path
) -> None:
    folder = tmp_path / "model"
    write_model_folder(folder, build_model(0, pooling="mean"), vocab_folder=vocab_folder,
                       manifest={"seed": 7})  # fmt: skip
    encoder = open_encoder(folder)
    assert encode_sentences(encoder, ["free"]).shape == (1, 32)
    assert describe_length(encoder) == "24"


def test_a_missing_model_folder_is_bad_data(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="absent"):
        open_encoder(tmp_path / "absent")


def write_vectors(folder: Path, name: str, lines: list[str], rows: object) -> Path:
    (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    np.save(folder / f"{name}.npy", np.array(rows))
    return folder / f"{name}.npy"


def test_a_pair_of_vector_files_is_looked_up_by_line(tmp_path: Path) -> None:
    german = write_vectors(tmp_path, "de", ["a", "b", "a"], [[1.0, 0], [2, 0], [9, 9]])
    english = write_vectors(tmp_path, "en", ["b", "c"], [[7.0, 7], [3, 0]])
    encoder = open_encoder(f"{german},{english}")
    # Of a repeated line, in a file or between files, the first counts.
    assert encoder.encode(["c", "a", "b"]).tolist() == [[3, 0], [1, 0], [2, 0]]
    with pytest.raises(LabseError, match="no vector for 'd'"):
        encoder.encode(["a", "d"])


def test_lines_may_have_another_name(tmp_path: Path) -> None:
    path = write_vectors(tmp_path, "x", ["a"], [[1.0, 2]])
    (tmp_path / "lines").write_text("z\n")
    assert open_encoder(f"{tmp_path / 'lines'}={path}").encode(["z"]).tolist() == [[1, 2]]
    (tmp_path / "x").write_text("y\n")
    assert open_encoder(path).encode(["y"]).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0], [2.0]], "2 rows for 1 lines"),
        ([1.0], "expected floats of shape"),
        ([[1]], "expected floats of shape"),
    ],
)
def test_vectors_that_do_not_fit_their_lines_are_bad_data(
    tmp_path: Path, rows: object, message: str
) -> None:
    with pytest.raises(LabseError, match=message):
        open_encoder(write_vectors(tmp_path, "x", ["a"], rows))


def test_missing_broken_or_unequal_vector_files_are_bad_data(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="no such file"):
        open_encoder(tmp_path / "absent.npy")
    (tmp_path / "broken.npy").write_bytes(b"no array")
    with pytest.raises(LabseError, match=r"no \.npy array"):
        open_encoder(tmp_path / "broken.npy")
    narrow = write_vectors(tmp_path, "x", ["a"], [[1.0]])
    wide = write_vectors(tmp_path, "y", ["b"], [[1.0, 2]])
    with pytest.raises(LabseError, match="2 dimensions, the first file has 1"):
        open_encoder(f"{narrow},{wide}")


@pytest.fixture
def bert_folder(tmp_path: Path, vocab_folder: Path) -> Path:
    """A folder that labse does not run itself: RoBERTa, the maximum over tokens."""
    transformers = pytest.importorskip("transformers", reason="builds the folder")
    library = pytest.importorskip("sentence_transformers", reason="writes the folder")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(vocab_folder / "tokenizer.json"),
        pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]",
    )  # fmt: skip
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=40,
    )  # fmt: skip
    transformers.RobertaModel(config).save_pretrained(tmp_path / "roberta")
    tokenizer.save_pretrained(tmp_path / "roberta")
    modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
    transformer = modules.Transformer(str(tmp_path / "roberta"), max_seq_length=16)
    pooling = modules.Pooling(16, pooling_mode="max")
    library.SentenceTransformer(modules=[transformer, pooling], device="cpu").save(
        str(tmp_path / "peer")
    )
    return tmp_path / "peer"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_folder_of_sentence_transformers_gives_that_librarys_vectors(bert_folder: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="runs the folder")
    encoder = open_encoder(f"sentence-transformers:{bert_folder}")
    vectors = encode_sentences(encoder, ["free", "All are equal.", "free"])
    expected = library.SentenceTransformer(str(bert_folder), device="cpu").encode(
        ["free", "All are equal.", "free"]
    )
    assert vectors == pytest.approx(expected, abs=1e-6)
    assert describe_length(encoder) == "16"
    with pytest.raises(LabseError):  # Of another shape than LaBSE.
        open_encoder(bert_folder)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_folder_that_the_library_cannot_load_is_bad_data(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="refuses the folder")
    with pytest.raises(LabseError, match="no such folder; nothing is downloaded"):
        open_encoder("sentence-transformers:sentence-transformers/LaBSE")
    (tmp_path / "modules.json").write_text("{")
    with pytest.raises(LabseError, match="cannot load it"):
        open_encoder(f"sentence-transformers:{tmp_path}")
