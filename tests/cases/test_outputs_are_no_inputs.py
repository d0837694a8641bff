"""A result never takes the place of a file that it is made of, or of another result."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from labse.cli import main

GERMAN = "Das ist ein Hund.\nWo ist der Bahnhof?\n"
ENGLISH = "That is a dog.\nWhere is the station?\n"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    monkeypatch.chdir(tmp_path)
    Path("a.de").write_text(GERMAN)
    Path("a.en").write_text(ENGLISH)
    Path("link.de").symlink_to("a.de")
    return lambda: [Path("a.de").read_text(), Path("a.en").read_text()]


@pytest.mark.parametrize(
    "arguments",
    [
        ("mine", "a.de", "a.en", "--format", "tsv", "--out", "a.de"),
        ("mine", "link.de", "a.en", "--format", "tsv", "--out", "a.de"),
        ("align", "a.de", "a.en", "--format", "ladder", "--out", "a.en"),
        ("filter", "a.de", "a.en", "--min-cosine", "0", "--scores", "a.de"),
        ("filter", "a.de", "a.en", "--min-cosine", "0", "--out", "k.tsv", "--scores", "k.tsv"),
        ("filter", "a.de", "a.en", "--min-cosine", "0", "--out", "k.tsv", "--rejects", "k.tsv"),
    ],
)
def test_it_is_refused_before_any_work(
    files: Callable[[], list[str]],
    capsys: pytest.CaptureFixture[str],
    arguments: Sequence[str],
) -> None:
    assert main(arguments) == 2
    assert "would replace; name another file" in capsys.readouterr().err
    assert files() == [GERMAN, ENGLISH]
    assert not Path("k.tsv").exists()
