"""An encoder on a random model without layers, and a call that fills a folder with it."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pytest

from labse.encoder.job.shard_run import EncodedFolder, encode_folder
from labse.encoder.job.workers import Workers
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
def encoder(model_folder: Path) -> SentenceEncoder:
    return SentenceEncoder.from_pretrained(model_folder)


@pytest.fixture
def fill(encoder: SentenceEncoder, model_folder: Path) -> Callable[..., EncodedFolder]:
    """Encodes sentences to a folder in shards of four rows."""

    def call(
        sentences: Iterable[str],
        out: Path,
        *,
        storage: str = "float32",
        jobs: int = 1,
        settings: dict[str, object] | None = None,
        **options: object,
    ) -> EncodedFolder:
        load = partial(SentenceEncoder.from_pretrained, model_folder)
        with Workers(encoder, jobs=jobs, load=load) as workers:
            return encode_folder(
                workers,
                sentences,
                out,
                settings={"model_sha256": "m", "storage": storage, **(settings or {})},
                shard_rows=4,
                storage=storage,
                **options,
            )

    return call
