from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labse.encoder.export.model import export_model
from labse.encoder.export.prune import prune_folder
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError, UsageError
from labse.model_folder.folder import ModelFolder, read_model_folder, write_model_folder

BuildModel = Callable[..., ModelFolder]
ENGLISH = "All human beings are born free and equal in dignity and rights."
RUSSIAN = "Все люди рождаются свободными и равными в своем достоинстве и правах."


@pytest.mark.parametrize("storage", ["float32", "int8", "int4"])
@pytest.mark.parametrize("layers", [0, 1])
def test_covered_text_keeps_its_vectors_bit_for_bit(
    tmp_path: Path, build_model: BuildModel, vocab_folder: Path, storage: str, layers: int
) -> None:
    full, pruned = tmp_path / "full", tmp_path / "pruned"
    model = build_model(layers, pooling="mean")
    write_model_folder(tmp_path / "source", model, vocab_folder=vocab_folder, manifest={})
    export_model(tmp_path / "source", full, storage=storage)  # type: ignore[arg-type]
    (tmp_path / "text.txt").write_text(f"{ENGLISH}\nfree 🎉\n\n")

    report = prune_folder(full, pruned, text=[tmp_path / "text.txt"])

    sentences = [ENGLISH, "free 🎉", "", "free and equal"]
    before, after = (SentenceEncoder.from_pretrained(folder) for folder in (full, pruned))
    np.testing.assert_array_equal(before.encode(sentences), after.encode(sentences))
    assert report.vocab_size_after == read_model_folder(pruned).config.bert.vocab_size < 60
    assert report.parameters_before - report.parameters_after == 32 * (
        report.vocab_size_before - report.vocab_size_after
    )
    assert (pruned / f"model.{storage}.safetensors").is_file() == (storage != "float32")


def test_scripts_keep_all_of_their_text(source: Path, tmp_path: Path) -> None:
    report = prune_folder(source, tmp_path / "out", langs=["rus"])

    before, after = (SentenceEncoder.from_pretrained(path) for path in (source, tmp_path / "out"))
    np.testing.assert_array_equal(before.encode([RUSSIAN]), after.encode([RUSSIAN]))
    assert report.changed_tokens == 0 < report.held_out_tokens
    assert not np.allclose(before.encode([ENGLISH]), after.encode([ENGLISH]))


def test_only_the_sides_in_the_languages_are_read(source: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    header = "source_lang\ttarget_lang\tsource\ttarget"
    pairs.write_text(f"{header}\nrus\teng\t{RUSSIAN}\t{ENGLISH}\n")

    both = prune_folder(source, tmp_path / "both", text=[pairs])
    one = prune_folder(source, tmp_path / "one", text=[pairs], langs=["ru"])

    assert one.vocab_size_after < both.vocab_size_after
    with pytest.raises(LabseError, match=r"pairs.tsv: no text in de"):
        prune_folder(source, tmp_path / "none", text=[pairs], langs=["de"])


def test_held_out_text_and_the_least_count(source: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("free free\nin\n")
    (tmp_path / "held.txt").write_text("in free\n")

    report = prune_folder(
        source,
        tmp_path / "out",
        text=[tmp_path / "text.txt"],
        min_count=2,
        held_out=tmp_path / "held.txt",
    )

    assert (report.changed_tokens, report.held_out_tokens) == (2, 6)  # "in" became [UNK].


def test_neither_languages_nor_text_is_an_error(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --langs, --text or both"):
        prune_folder(source, tmp_path / "out")
    with pytest.raises(UsageError, match="only pieces of --text are counted"):
        prune_folder(source, tmp_path / "out", langs=["de"], min_count=2)
