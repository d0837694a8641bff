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
        ("score", "a.de", "a.en", "--json", "--out", "a.en"),
        ("hard-negatives", "a.tsv", "--out", "a.tsv"),
        ("calibrate", "a.tsv", "--out", "a.tsv"),
        ("corpus", "split", "a.de", "--out", "a.de", "--format", "txt"),
        ("corpus", "convert", "a.tsv", "--out", "a.tsv"),
        ("corpus", "convert", "a.tsv", "--out", "k.de", "--out", "a.tsv"),
        ("corpus", "overlap", "a.tsv", "--tests", ".", "--out", "a.tsv"),
        ("corpus", "quality", "apply", "model", "a.de", "--out", "a.de"),
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


@pytest.mark.parametrize("command", [("export", "default"), ("prune", "default", "--langs", "de")])
def test_a_model_goes_to_a_folder_of_its_own(
    files: Callable[[], list[str]], capsys: pytest.CaptureFixture[str], command: Sequence[str]
) -> None:
    for out, code, message in (
        ("x.bin", 2, "a model is a folder"),
        (".", 3, "is not empty and not a model folder"),
    ):
        assert main([*command[:2], out, *command[2:]]) == code
        assert message in capsys.readouterr().err
    assert not Path("x.bin").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("mine", "no.de", "a.en", "--out", "a.de/x.tsv"),
        ("align", "no.de", "a.en", "--out", "a.de/x.tsv"),
        ("score", "no.de", "a.en", "--out", "a.de/x.tsv"),
        ("filter", "no.tsv", "--min-cosine", "0", "--out", "a.de/x.tsv"),
        ("encode", "no.de", "--out", "a.de/x.npy"),
        ("encode", "no.de", "--out", "a.de/x"),
        ("hard-negatives", "no.tsv", "--out", "a.de/x.tsv"),
        ("calibrate", "no.tsv", "--out", "a.de/x.json"),
        ("calibrate", "no.tsv", "--plot", "a.de/x.png"),
        ("vocab", "no.tsv", "--out", "a.de/x"),
        ("vocab", "no.tsv", "--out", "v", "--report", "a.de/x"),
        ("export", "default", "a.de/x.onnx"),
        ("export", "default", "a.de/x"),
        ("prune", "default", "a.de/x", "--langs", "de"),
        ("evaluate", "sts", "no.tsv", "--out", "a.de/x"),
        ("evaluate", "all", "no", "--out", "a.de/x"),
        ("corpus", "extract", "no.wet", "--out", "a.de/x.tsv"),
        ("corpus", "convert", "no.tsv", "--out", "a.de/x.tsv"),
        ("corpus", "clean", "no.tsv", "--out", "a.de/x"),
        ("corpus", "dedup", "no.tsv", "--out", "a.de/x"),
        ("corpus", "overlap", "no.tsv", "--tests", "no", "--out", "a.de/x.tsv"),
        ("corpus", "stats", "no.tsv", "--out", "a.de/x.png"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_a_line_is_read(
    files: Callable[[], list[str]], capsys: pytest.CaptureFixture[str], arguments: Sequence[str]
) -> None:
    code = main(arguments)
    error = capsys.readouterr().err
    assert (code, "a.de" in error, len(error.splitlines())) == (4, True, 1), error
    assert files() == [GERMAN, ENGLISH]
