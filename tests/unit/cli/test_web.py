"""`labse web`: stage after stage from a folder of HTML, and each mistake in one line."""

from pathlib import Path

import pyarrow.parquet
import pytest

from labse.cli import main

PAGES = {
    "en/dog.html": ("Our dog", "The dog sleeps under the kitchen table.", "He is seven years old."),
    "de/dog.html": (
        "Unser Hund",
        "Der Hund schläft unter dem Küchentisch.",
        "Er ist sieben Jahre alt.",
    ),
    "en/rain.html": ("The weather", "It has been raining for three days.", "The wind is cold."),
    "de/rain.html": ("Das Wetter", "Es regnet seit drei Tagen.", "Der Wind ist kalt."),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    for name, (title, *texts) in PAGES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        body = f"<h1>{title}</h1>" + "".join(f"<p>{text}</p>" for text in texts)
        (folder / name).write_text(f"<html><body>{body}</body></html>", encoding="utf-8")
    return folder


def test_each_stage_reads_what_the_one_before_has_written(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages, pairs, beads = (str(tmp_path / name) for name in ("pages", "pairs", "beads"))
    address = ["--base-url", "https://example.com"]
    assert main(["web", "pages", str(site), *address, "--out", pages]) == 0
    assert main(["web", "pairs", pages, "--langs", "de,en", "--out", pairs]) == 0
    assert main(["web", "align", pages, pairs, "--out", beads]) == 0
    for name in ("bitext.parquet", "bitext.tmx", "bitext.jsonl.gz"):
        assert main(["web", "bitext", beads, "--out", str(tmp_path / name)]) == 0, name

    rows = pyarrow.parquet.read_table(tmp_path / "bitext.parquet").to_pylist()
    dog = next(row for row in rows if row["source"].startswith("Der Hund"))
    assert dog["target"] == "The dog sleeps under the kitchen table."
    assert dog["source_urls"] == ["https://example.com/de/dog.html"]
    assert "https://example.com/en/dog.html" in (tmp_path / "bitext.tmx").read_text("utf-8")
    assert "document pairs: deu-eng 2" in capsys.readouterr().err


def test_all_stages_are_one_command_whose_report_is_json(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "W")
    arguments = ["--base-url", "https://example.com", "--langs", "de,en", "--out", out, "--json"]
    assert main(["web", "run", str(site), *arguments]) == 0
    assert capsys.readouterr().out.lstrip().startswith("{")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["pages", "nowhere.warc", "--out", "x"], 3),
        (["pairs", "nowhere", "--langs", "de,en", "--out", "x"], 3),
        (["align", "nowhere", "nowhere", "--out", "x"], 3),
        (["bitext", "nowhere", "--out", "x.foo"], 2),
        (["pairs", ".", "--langs", "de", "--out", "x"], 2),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["web", *arguments]) == code
    error = capsys.readouterr().err
    assert error.count("labse: error:") == 1
    assert "Traceback" not in error
