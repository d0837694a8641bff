"""An encoder on a random model without layers, and a call that fills a folder with it."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from labse.encoder.job.encode_files import encode_files
from labse.encoder.job.encode_folder import EncodedFolder
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.model_folder.folder import ModelFolder, write_model_folder


@pytest.fixture
def model_folder(
    tmp_path: Path, build_model: Callable[..., ModelFolder], vocab_folder: Path
) -> Path:
    folder = tmp_path / "model"
    write_model_folder(
        folder, build_model(0, pooling="mean"), vocab_folder=vocab_folder, manifest={}
    )
    return folder


@pytest.fixture
def folders(
    tmp_path: Path, build_model: Callable[..., ModelFolder], vocab_folder: Path
) -> dict[int, Path]:
    """A model folder by its number of layers."""
    for layers in (0, 2):
        model = build_model(layers, pooling="mean", max_seq_length=17)
        path = tmp_path / f"layers-{layers}"
        write_model_folder(path, model, vocab_folder=vocab_folder, manifest={})
    return {layers: tmp_path / f"layers-{layers}" for layers in (0, 2)}


@pytest.fixture
def encoder(model_folder: Path) -> SentenceEncoder:
    return SentenceEncoder.from_pretrained(model_folder)


@pytest.fixture
def fill(encoder: SentenceEncoder, tmp_path: Path) -> Callable[..., EncodedFolder]:
    """Encodes sentences to a folder in shards of four rows."""

    def call(sentences: Iterable[str], out: Path, **options: object) -> EncodedFolder:
        path = tmp_path / "texts.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in sentences))
        settings = {"encoder": encoder, "shard_rows": 4, **options}
        written = encode_files([path], out, **settings)  # type: ignore[arg-type]
        assert isinstance(written, EncodedFolder)
        return written

    return call
