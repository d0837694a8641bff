"""Whatever one command writes of pairs, every other reads: the stages connect in any order."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from labse.cli import main

GERMAN = "Das ist ein Hund.\nWo ist der Bahnhof?\nEs regnet seit drei Tagen.\n"
ENGLISH = "That is a dog.\nWhere is the station?\nIt has been raining for three days.\n"
LANGS = ("--source-lang", "de", "--target-lang", "en")
PAIRS = ("--kind", "pairs")
WRITERS = {
    "mine.tsv": ("mine", "a.de", "a.en", *LANGS, "--margin", "absolute", "--out"),
    "align.parquet": ("align", "a.de", "a.en", *LANGS, "--out"),
    "score.jsonl": ("score", "mine.tsv", "--margin", "none", "--out"),
    "filter.tsv.gz": ("filter", "mine.tsv", "--max-length-ratio", "9", "--out"),
    "convert.tmx": ("corpus", "convert", "mine.tsv", "--out"),
    "clean": ("corpus", "clean", "mine.tsv", *PAIRS, "--no-language-id", "--out"),
    "dedup": ("corpus", "dedup", "mine.tsv", *PAIRS, "--out"),
    "hard.tsv": ("hard-negatives", "mine.tsv", "--k", "1", "--neighbours", "2", "--out"),
}
READERS: dict[str, tuple[str, ...]] = {
    "score": ("--margin", "none", "--out", "{}.tsv"),
    "filter": ("--max-length-ratio", "9", "--out", "{}.tsv"),
    "encode": ("--column", "target", "--out", "{}.npy"),
    "vocab": ("--counts", "{}"),
    "hard-negatives": ("--k", "1", "--neighbours", "2", "--out", "{}.jsonl"),
    "corpus convert": ("--out", "{}.tsv"),
    "corpus clean": (*PAIRS, "--no-language-id", "--out", "{}"),
    "corpus dedup": (*PAIRS, "--out", "{}"),
    "corpus overlap": (*PAIRS, "--tests", "tests"),
    "corpus stats": (),
}


def _model_of(command: str, model: str) -> tuple[str, ...]:
    takes_one = command in ("mine", "align", "score", "filter", "encode", "hard-negatives")
    return ("--model", model) if takes_one else ()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Path:
    pytest.importorskip("pyarrow")
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "a.de").write_text(GERMAN)
    (folder / "a.en").write_text(ENGLISH)
    (folder / "tests").mkdir()
    (folder / "tests/a.txt").write_text("nothing of it\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, arguments in WRITERS.items():
            assert main([*arguments, name, *_model_of(arguments[0], tiny_model)]) == 0, name
    return folder


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_takes_what_each_writer_wrote(
    reader: str,
    folder: Path,
    tiny_model: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    for writer in WRITERS:
        out = f"read/{reader.split()[-1]}-{writer.replace('.', '-')}"
        arguments: Sequence[str] = [option.format(out) for option in READERS[reader]]
        code = main([*reader.split(), writer, *arguments, *_model_of(reader, tiny_model)])
        assert code == 0, (reader, writer, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("numbers.tsv", "1.2\t{0}\t{1}\n", "score=1,source=2,target=3"),
        ("names.tsv", "id\tsource\tsrc\ttgt\n{0}\tCC\t{0}\t{1}\n", "source=src,target=tgt"),
        ("langs.jsonl", '{{"de": "{0}", "en": "{1}"}}\n', "source=de,target=en"),
    ],
)
def test_tables_of_others_are_read_by_the_columns_that_are_named(
    tmp_path: Path, tiny_model: str, name: str, content: str, columns: str
) -> None:
    Path(name).write_text(content.format("Das ist ein Hund.", "That is a dog."))
    Path("tests").mkdir()
    Path("tests/a.txt").write_text("nothing of it\n")
    for reader, options in READERS.items():
        langs = () if reader in ("score", "filter") else LANGS
        if reader != "encode":
            arguments = [option.format(f"read/{reader.split()[-1]}") for option in options]
            arguments += ["--columns", columns, *langs, *_model_of(reader, tiny_model)]
            assert main([*reader.split(), name, *arguments]) == 0, (reader, name)
    assert Path("read/convert.tsv").read_text() == (
        "source\ttarget\tsource_lang\ttarget_lang\nDas ist ein Hund.\tThat is a dog.\tdeu\teng\n"
    )


@pytest.mark.parametrize(
    ("columns", "code", "message"),
    [
        ("source", 2, "give numbers or names, such as source=3,target=4"),
        ("source=1,source=2", 2, "each once"),
        ("quelle=1", 2, "known: source, target"),
        ("source=1,target=en", 2, "give numbers, of a table without header, or names, not both"),
        ("source=0,target=1", 2, "the first column is 1"),
        ("source=1,target=7", 3, "no column '7' for target; its columns are '1', '2'"),
        ("source=a,target=x", 3, "no column 'x' for target; its columns are 'a', 'b'"),
    ],
)
def test_columns_that_are_not_there_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], columns: str, code: int, message: str
) -> None:
    (tmp_path / "t.tsv").write_text("a\tb\n1\t2\n")
    table, out = str(tmp_path / "t.tsv"), str(tmp_path / "o.tsv")
    arguments = ["corpus", "convert", table, "--columns", columns, *LANGS, "--out", out]
    assert main(arguments) == code
    assert message in capsys.readouterr().err
