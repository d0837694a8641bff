from pathlib import Path

import pytest

from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import UsageError


@pytest.mark.parametrize(
    ("layers", "precision", "expected"),
    [
        (0, "float32", "NumpyRuntime"),
        (0, "int8", "NumpyRuntime"),
        (0, "bfloat16", "TorchRuntime"),
        (2, "float32", "CTranslate2Runtime"),
        (2, "int8", "CTranslate2Runtime"),
        (2, "bfloat16", "TorchRuntime"),
    ],
)
def test_auto_takes_a_runtime_that_can(
    folders: dict[int, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    layers: int,
    precision: str,
    expected: str,
) -> None:
    monkeypatch.setenv("LABSE_CACHE", str(tmp_path / "cache"))

    encoder = SentenceEncoder.from_pretrained(folders[layers], precision=precision)

    assert type(encoder._runtime).__name__ == expected
    assert encoder.max_seq_length == 17
    assert encoder.encode(["free"]).shape == (1, 32)


@pytest.mark.parametrize(
    ("layers", "options", "message"),
    [
        (2, {"runtime": "torch", "precision": "int8"}, "torch has no int8.*ctranslate2 and numpy"),
        (2, {"runtime": "ctranslate2", "precision": "bfloat16"}, "no bfloat16.*is in torch"),
        (2, {"runtime": "numpy"}, "without layers only, this one has 2"),
        (0, {"runtime": "ctranslate2"}, "at least one layer"),
        (0, {"runtime": "numpy", "precision": "bfloat16"}, "numpy has no bfloat16"),
        (2, {"threads": 0}, "threads is 0"),
        (2, {"runtime": "onnx"}, "choose one of auto, ctranslate2, numpy, torch"),
        (2, {"precision": "float64"}, "choose one of float32, int8, bfloat16"),
    ],
)
def test_what_cannot_be_had_is_a_usage_error_that_says_why(
    folders: dict[int, Path], layers: int, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        SentenceEncoder.from_pretrained(folders[layers], **options)


def test_threads_may_be_given_with_every_model(folders: dict[int, Path]) -> None:
    for layers in (0, 2):
        encoder = SentenceEncoder.from_pretrained(folders[layers], threads=2)
        assert encoder.encode(["free"]).shape == (1, encoder.embedding_size)


def test_threads_of_torch_hold_for_the_process(folders: dict[int, Path]) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        SentenceEncoder.from_pretrained(folders[2], runtime="torch", threads=before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
