import json
from pathlib import Path

import pytest
from tests.unit.json_executor import JsonExecutor

from labse.corpus.extract_files import extract_files
from labse.errors import LabseError, UsageError


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    texts = {
        "a.txt": "Es regnet. Wir gehen heim.\n\nUnd dann?\n",
        "b.jsonl": json.dumps({"text": "It rains. We go.", "lang": "en", "document": "d"}) + "\n",
        "c.txt": "",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, "utf-8")
    return [str(tmp_path / name) for name in texts]


@pytest.mark.parametrize("suffix", ["parquet", "tsv.gz", "txt"])
def test_files_that_are_split_elsewhere_give_the_same_bytes(
    files: list[str], tmp_path: Path, suffix: str
) -> None:
    here, there = tmp_path / f"here.{suffix}", tmp_path / f"there.{suffix}"
    alone = extract_files(files, here, is_split=True)
    work = tmp_path / "work"
    for _ in range(2):  # The second call finds what the first has done.
        spread = extract_files(files, there, is_split=True, workers=JsonExecutor(), work=work)
        assert spread == alone
        assert here.read_bytes() == there.read_bytes()
    assert alone.langs == {"und": 4, "eng": 2}


def test_what_cannot_be_done_elsewhere_is_told(files: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read by other processes"):
        extract_files(["-"], tmp_path / "out.tsv", workers=JsonExecutor())
    (tmp_path / "d.jsonl").write_text("{")
    with pytest.raises(LabseError, match=r"d\.jsonl"):
        extract_files([str(tmp_path / "d.jsonl")], tmp_path / "out.tsv", workers=JsonExecutor())
    assert not (tmp_path / "out.tsv").exists()
