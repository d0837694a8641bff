"""A folder of work of which a file was changed is refused by name, or the file is made again."""

import shutil
from pathlib import Path

import pytest

from labse.cli import main

COMMAND = ["mine", "a.de", "a.en", "--work", "work", "--out", "mined.tsv"]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("a.de", "Satz Nummer {}."), ("a.en", "Sentence number {}.")):
        lines = "".join(text.format(number) + "\n" for number in range(30))
        (tmp_path / name).write_text(lines, encoding="utf-8")
    assert main(COMMAND) == 0
    return tmp_path / "work"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, change, empty, Path.unlink], ids=lambda f: f.__name__)
def test_each_file_that_is_damaged_is_named_or_made_again(
    work: Path, damage: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(damage)
    names = [str(path.relative_to(work)) for path in sorted(work.rglob("*")) if path.is_file()]
    kept, mined = work.with_name("kept"), work.with_name("mined.tsv")
    right = mined.read_bytes()
    shutil.copytree(work, kept)
    for name in names:
        if Path(name).name in (".lock", "progress.jsonl"):
            continue
        shutil.rmtree(work)
        shutil.copytree(kept, work)
        damage(work / name)
        mined.unlink()
        capsys.readouterr()
        if main(COMMAND) == 0:
            assert mined.read_bytes() == right, name
        else:
            assert Path(name).name.partition(".")[0] in capsys.readouterr().err
        mined.write_bytes(right)


def test_work_that_is_whole_is_gone_on_with(work: Path) -> None:
    mined = work.with_name("mined.tsv")
    before = mined.read_bytes()
    assert main(COMMAND) == 0
    assert mined.read_bytes() == before
