from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from labse.corpus.equal_texts import hash_texts
from labse.dual_encoder.data.arrays import FileChoice, scan_step
from labse.errors import LabseError, UsageError


def scan(path: Path, out: Path, **options: object) -> dict[str, object]:
    values = {"langs": [], "source_lang": None, "target_lang": None} | options
    return dict(scan_step(asdict(FileChoice(str(path), **values)), str(out)))  # type: ignore[arg-type]


def test_kept_pairs_have_their_rows_languages_and_hashes(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("lang\tenglish\ttext\ndeu\ta\t \nfra\ta\tb\ndeu\ta\ta\ndeu\tc\td\n")
    found = scan(path, tmp_path / "out")
    assert found == {
        "num_rows": 4,
        "dropped": {"blank": 1, "copies": 1},
        "lang_pairs": ["eng-fra", "eng-deu"],
        "langs": ["deu", "eng", "fra"],
    }
    assert np.load(tmp_path / "out" / "rows.npy").tolist() == [2, 4]
    assert np.load(tmp_path / "out" / "langs.npy").tolist() == [0, 1]
    expected = hash_texts(["a", "b", "c", "d"])
    assert np.array_equal(np.load(tmp_path / "out" / "hashes.npy"), expected)


def test_a_file_without_languages_takes_those_given(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("source\ttarget\none\teins\n")
    found = scan(path, tmp_path / "out", source_lang="en", target_lang="de")
    assert found["lang_pairs"] == ["eng-deu"]
    with pytest.raises(UsageError, match="has no column source_lang"):
        scan(path, tmp_path / "out")


def test_a_file_without_rows_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("lang\tenglish\ttext\n")
    with pytest.raises(LabseError, match=r"pairs\.tsv: empty"):
        scan(path, tmp_path / "out")
