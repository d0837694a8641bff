"""What a Python user meets first: names, types, one path or one text where many are meant."""

import ast
from pathlib import Path

import pytest

import labse
from labse.alignment.align import align_documents
from labse.corpus.languages import canonical_tags
from labse.evaluation.datasets import read_tatoeba
from labse.vocab.folder import learn_vocabulary


def test_the_types_of_all_public_names_are_told() -> None:
    stub = ast.parse(Path(labse.__file__).with_suffix(".pyi").read_text("utf-8"))
    told = {
        alias.asname: f"{node.module}"
        for node in ast.walk(stub)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == labse._HOMES
    assert {*told, "__version__"} == {*labse.__all__}


def test_one_path_is_a_list_of_one_path(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("eins zwei\neins zwei\n", "utf-8")
    for number, files in enumerate((str(path), path, [path])):
        out = tmp_path / f"vocab{number}"
        summary = learn_vocabulary(files, out, vocab_size=60, lang="de")
        assert summary.num_word_tokens == 4


def test_one_language_is_a_list_of_one_language() -> None:
    folder = Path(__file__).parents[2] / "recipes/tiny/data/tatoeba"
    assert [found.lang for found in read_tatoeba(folder, "de")] == ["deu"]
    with pytest.raises(TypeError, match=r"langs: give source and target, such as \('de', 'en'\)"):
        canonical_tags("de")  # type: ignore[arg-type]


def test_one_text_where_many_are_meant_is_told() -> None:
    encoder = labse.SentenceEncoder()
    for call in (
        lambda: encoder.find_unknown("one"),
        lambda: encoder.encode_stream("one"),
        lambda: align_documents(encoder, "one", ["one"]),
        lambda: labse.paraphrase_mining(encoder, "one"),
    ):
        with pytest.raises(TypeError, match=r"list of (texts|sentences)"):
            call()
