"""Models of others; the oracle of the pooled output is transformers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError
from labse.model_folder.folder import ModelFolder, read_model_folder, write_model_folder
from labse.model_folder.formats.foreign import is_plain_model, load_foreign_tokenizer
from labse.vocab.tokenizer import SPECIAL_TOKENS

BuildModel = Callable[..., ModelFolder]
TENSORFLOW = Path(__file__).parents[2] / "data/tensorflow"
VOCAB = [*SPECIAL_TOKENS, *"ABCDEFGHabcdefghijklmnopqrstuvwxyz ,"][:40]
VOCAB[-1] = "##a"


@pytest.fixture
def bert_folder(tmp_path: Path, build_model: BuildModel, vocab_folder: Path) -> Path:
    """What BertModel.save_pretrained writes: a pooler, and nothing of sentence-transformers."""
    written = tmp_path / "written"
    write_model_folder(written, build_model(), vocab_folder=vocab_folder, manifest={})
    folder = tmp_path / "bert"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(written / name, folder / name)
    return folder


def test_the_vector_of_a_plain_bert_is_its_pooled_output(
    bert_folder: Path, sentences: list[str]
) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    sentences = [sentence for sentence in sentences if len(sentence) < 24]
    model = transformers.AutoModel.from_pretrained(bert_folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert_folder)
    inputs = tokenizer(sentences, padding=True, return_tensors="pt")
    with torch.no_grad():
        pooled = model(**inputs).pooler_output.numpy()

    embeddings = SentenceEncoder.from_pretrained(bert_folder, runtime="torch").encode(sentences)

    expected = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(embeddings, expected, atol=2e-6)


def test_without_a_pooler_it_is_the_mean_and_the_choice_is_told(
    bert_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    weights = load_file(bert_folder / "model.safetensors")
    plain = {name: array for name, array in weights.items() if not name.startswith("pooler")}
    save_file(plain, bert_folder / "model.safetensors")

    config = read_model_folder(bert_folder).config

    assert (config.pooling, config.projection, config.max_seq_length) == ("mean", "none", 40)
    assert "no modules.json; the vector is the mean" in caplog.text


def test_a_pooling_folder_whose_modules_json_is_gone_is_no_plain_bert(bert_folder: Path) -> None:
    (bert_folder / "1_Pooling").mkdir()
    with pytest.raises(LabseError, match="1_Pooling but no modules"):
        read_model_folder(bert_folder)


@pytest.mark.parametrize("layout", ["bert", "hub", "garden"])
def test_a_checkpoint_of_google_is_read_whole(tmp_path: Path, layout: str) -> None:
    folder = tmp_path / layout
    shutil.copytree(TENSORFLOW / layout, folder)
    (folder / "assets").mkdir()
    (folder / "assets/cased_vocab.txt").write_text("".join(f"{piece}\n" for piece in VOCAB))
    if layout == "bert":
        sizes = {"vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 2}
        sizes |= {"num_attention_heads": 2, "intermediate_size": 12, "max_position_embeddings": 16}
        (folder / "bert_config.json").write_text(json.dumps(sizes))

    model = read_model_folder(folder)

    expected = np.load(TENSORFLOW / "expected.npz")
    assert (model.config.pooling, model.config.projection) == ("cls", "tanh")
    assert model.config.bert.num_hidden_layers == 2
    assert model.config.bert.num_attention_heads == 2
    assert model.config.bert.hidden_act == "gelu_tanh"
    np.testing.assert_array_equal(model.weights["dense.weight"], expected["pooler.dense.weight"])
    assert model.tokenizer.encode("ab A").tokens == ["[CLS]", "[UNK]", "A", "[SEP]"]
    assert model.tokenizer.encode("a" * 101).tokens == ["[CLS]", "[UNK]", "[SEP]"]


def test_a_vocabulary_of_lowered_text_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "a", "##b"]) + "\n")
    with pytest.raises(LabseError, match=r"vocab.txt: a vocabulary of lower-cased text"):
        load_foreign_tokenizer(tmp_path)

    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "a", "B"]) + "\n")
    assert load_foreign_tokenizer(tmp_path).encode("B").tokens[1] == "B"
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    with pytest.raises(LabseError, match=r"vocab.txt: a vocabulary of lower-cased text"):
        load_foreign_tokenizer(tmp_path)


def test_files_that_disagree_on_lower_case_are_refused(bert_folder: Path) -> None:
    path = bert_folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "do_lower_case": True}))
    with pytest.raises(LabseError, match=r"do_lower_case is True, but tokenizer.json says"):
        read_model_folder(bert_folder)


def test_two_checkpoints_and_other_variables_are_errors(tmp_path: Path) -> None:
    folder = tmp_path / "two"
    shutil.copytree(TENSORFLOW / "bert", folder)
    shutil.copyfile(folder / "bert_model.ckpt.index", folder / "other.index")
    with pytest.raises(LabseError, match="holds 2 checkpoints"):
        is_plain_model(folder)
    assert not is_plain_model(tmp_path)
