import json
from pathlib import Path

import pytest

from labse.errors import LabseError, UsageError
from labse.model_folder.layout import build_layout_files, read_layout
from labse.network.config import BertConfig, DualEncoderConfig

CONFIG = DualEncoderConfig(bert=BertConfig(vocab_size=9, hidden_size=8, num_attention_heads=2))


def write(folder: Path, config: DualEncoderConfig = CONFIG) -> Path:
    for name, text in build_layout_files(config).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def change(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_modules(folder: Path, edit: str, *, index: int = 0) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    if edit == "remove":
        del modules[index]
    elif edit == "repeat":
        modules.append(modules[index])
    elif edit == "reverse":
        modules.reverse()
    else:
        modules[index]["type" if "." in edit and "/" not in edit else "path"] = edit
    (folder / "modules.json").write_text(json.dumps(modules))


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize(
    ("projection", "embedding_size"),
    [("tanh", None), ("tanh", 5), ("linear", 12), ("none", None)],
)
def test_the_files_read_back_as_the_configuration(
    tmp_path: Path, pooling: str, projection: str, embedding_size: int | None
) -> None:
    settings = {"pooling": pooling, "projection": projection, "embedding_size": embedding_size}
    config = DualEncoderConfig.model_validate({**dict(CONFIG), **settings, "max_seq_length": 33})

    assert read_layout(write(tmp_path, config)).config == config


def test_the_modules_are_those_of_labse_in_order() -> None:
    modules = json.loads(build_layout_files(CONFIG)["modules.json"])

    assert [module["path"] for module in modules] == ["", "1_Pooling", "2_Dense", "3_Normalize"]
    assert modules[3]["type"] == "sentence_transformers.models.Normalize"


def test_names_of_sentence_transformers_6_are_read(tmp_path: Path) -> None:
    write(tmp_path)
    home = "sentence_transformers.sentence_transformer.modules"
    change_modules(tmp_path, f"{home}.pooling.Pooling", index=1)
    pooling = {"embedding_dimension": 8, "pooling_mode": "mean", "include_prompt": True}
    (tmp_path / "1_Pooling/config.json").write_text(json.dumps(pooling))

    assert read_layout(tmp_path).config.pooling == "mean"


def test_a_folder_without_normalize_or_dense_is_read(tmp_path: Path) -> None:
    write(tmp_path)
    change_modules(tmp_path, "remove", index=3)
    change_modules(tmp_path, "remove", index=2)

    layout = read_layout(tmp_path)

    assert layout.dense is None
    assert layout.config.projection == "none"


@pytest.mark.parametrize(
    ("edit", "index", "message"),
    [
        ("sentence_transformers.models.LSTM", 2, "LSTM' is not supported"),
        ("evil.Pooling", 1, r"'evil.Pooling' is not supported"),
        ("../other", 2, "leads out of the folder"),
        ("/etc/other", 2, "leads out of the folder"),
        ("repeat", 2, "more than one Dense"),
        ("reverse", 0, "must come in the order"),
        ("remove", 1, "no Pooling module"),
        ("remove", 0, "no Transformer module"),
    ],
)
def test_modules_that_do_not_fit_are_named(
    tmp_path: Path, edit: str, index: int, message: str
) -> None:
    change_modules(write(tmp_path), edit, index=index)

    with pytest.raises(LabseError, match=message):
        read_layout(tmp_path)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("config.json", {"model_type": "mpnet"}, "model_type 'mpnet' is not supported"),
        ("config.json", {"position_embedding_type": "relative_key"}, "relative_key"),
        ("config.json", {"is_decoder": True}, "is_decoder True"),
        ("config.json", {"hidden_act": "relu"}, "hidden_act"),
        ("config.json", {"hidden_size": None}, "hidden_size"),
        ("sentence_bert_config.json", {"do_lower_case": True}, "do_lower_case"),
        ("sentence_bert_config.json", {"max_seq_length": 2}, "max_seq_length"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, r"\['cls', 'max'\] is not"),
        ("1_Pooling/config.json", {"pooling_mode": "lasttoken"}, "lasttoken"),
        ("1_Pooling/config.json", {"word_embedding_dimension": 9}, "pools 9 values"),
        ("2_Dense/config.json", {"in_features": 9}, "in_features is 9"),
        ("2_Dense/config.json", {"out_features": None}, "out_features is None"),
        ("2_Dense/config.json", {"use_residual": True}, "use_residual"),
        ("2_Dense/config.json", {"module_output_name": "other"}, "named inputs"),
        (
            "2_Dense/config.json",
            {"activation_function": "torch.nn.modules.activation.ReLU"},
            "ReLU' is not supported",
        ),
        ("2_Dense/config.json", {"activation_function": "evil.Tanh"}, "is not supported"),
    ],
)
def test_settings_that_do_not_fit_are_bad_data_and_named(
    tmp_path: Path, name: str, changes: dict[str, object], message: str
) -> None:
    change(write(tmp_path) / name, **changes)

    with pytest.raises(LabseError, match=message) as caught:
        read_layout(tmp_path)
    assert not isinstance(caught.value, UsageError)


def test_a_missing_size_folder_or_list_of_modules_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="no such model folder"):
        read_layout(tmp_path / "sentence-transformers/LaBSE")
    with pytest.raises(LabseError, match=r"it has no modules.json"):
        read_layout(tmp_path)

    write(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    del values["intermediate_size"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(LabseError, match="intermediate_size is missing"):
        read_layout(tmp_path)

    (tmp_path / "modules.json").write_text('["Transformer"]')
    with pytest.raises(LabseError, match="not a list of modules"):
        read_layout(tmp_path)


@pytest.mark.parametrize(
    ("own", "tokenizer", "expected"),
    [(256, 99, 256), (1000, None, 512), (None, 99, 99), (None, 1e30, 512), (None, None, 512)],
)
def test_max_seq_length_is_the_modules_then_the_tokenizers_within_the_positions(
    tmp_path: Path, own: int | None, tokenizer: float | None, expected: int
) -> None:
    write(tmp_path)
    change(tmp_path / "sentence_bert_config.json", max_seq_length=own)
    if tokenizer is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": tokenizer}))

    assert read_layout(tmp_path).config.max_seq_length == expected


def test_a_max_seq_length_that_is_no_number_is_told(tmp_path: Path) -> None:
    write(tmp_path)
    change(tmp_path / "sentence_bert_config.json", max_seq_length=float("nan"))
    with pytest.raises(LabseError, match="max_seq_length is nan"):
        read_layout(tmp_path)
