"""Files into an index, and the commands around it."""

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.index.conftest import ToyEncoder
from tests.unit.json_executor import JsonExecutor

from labse.cli import main
from labse.cluster.tasks import Task
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import InterruptedRunError, LabseError, UsageError
from labse.files.stage import Result
from labse.index.embedding_index import EmbeddingIndex
from labse.index.index_files import IndexTasks, add_files, index_files
from labse.index.near_equal import find_near_equal
from labse.index.read_files import RowOptions
from labse.index.rows import IndexRow

pytest.importorskip("qdrant_edge")


def rows_of(folder: Path, encoder: ToyEncoder) -> dict[str, IndexRow]:
    with EmbeddingIndex.open(folder, encoder=encoder) as index:
        return {row.id: row for rows, _ in index.scan() for row in rows}


def test_an_index_that_was_killed_before_its_first_row_is_gone_on_with(
    tmp_path: Path, toy_encoder: ToyEncoder
) -> None:
    (tmp_path / "a.en").write_text("a dog\n", encoding="utf-8")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / ".manifest.json.123-0123abcd.tmp").touch()  # Killed at its first file.
    EmbeddingIndex.create(tmp_path / "store", encoder=toy_encoder).close()
    assert index_files([tmp_path / "a.en"], tmp_path / "store", encoder=toy_encoder).num_rows == 1


def test_a_finished_index_is_finished_for_the_same_call_and_not_for_another(
    tmp_path: Path, toy_encoder: ToyEncoder
) -> None:
    text, other, store = tmp_path / "a.en", tmp_path / "b.en", tmp_path / "store"
    text.write_text("a dog\na cat\n")
    other.write_text("the sun\n")
    index_files([text], store, encoder=toy_encoder)
    again = index_files([text], store, encoder=toy_encoder)  # As after a kill at the very end.
    assert (again.num_resumed, again.num_added, again.num_rows) == (2, 2, 2)
    with pytest.raises(UsageError, match=r"begun with another .*b\.en"):
        index_files([text, other], store, encoder=toy_encoder)

    # What was changed in between is not taken for what the call had made.
    with EmbeddingIndex.open(store, encoder=toy_encoder) as index:
        index.delete(f"{text}:1")
    with pytest.raises(UsageError, match="2 rows were stored and 1 are left"):
        index_files([text], store, encoder=toy_encoder)
    with EmbeddingIndex.open(store, encoder=toy_encoder) as index:
        add_files(index, [other])
    with pytest.raises(UsageError, match="is not empty; labse index add"):
        index_files([text], store, encoder=toy_encoder)


def test_objects_become_rows_too(tmp_path: Path, toy_encoder: ToyEncoder) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.pipe({"/index/a.en": b"a dog\n", "/index/b.tsv": b"id\ttext\nx\ta cat\n"})
    done = index_files(["memory://index/*"], tmp_path / "store", encoder=toy_encoder)
    assert done.num_added == 2
    assert rows_of(tmp_path / "store", toy_encoder) == {
        "memory://index/a.en:1": IndexRow("memory://index/a.en:1", "a dog", "eng"),
        "x": IndexRow("x", "a cat", "und"),
    }
    with pytest.raises(LabseError, match=r"memory://index/c\.en: no such object"):
        index_files(["memory://index/c.en"], tmp_path / "other", encoder=toy_encoder)
    assert not (tmp_path / "other").exists()
    memory.rm("/index", recursive=True)


def test_the_model_of_an_index_gets_the_threads_that_were_asked_for(tmp_path: Path) -> None:
    EmbeddingIndex.create(tmp_path / "store").close()
    with EmbeddingIndex.open(tmp_path / "store", threads=1) as index:
        encoder = index.encoder
    assert isinstance(encoder, SentenceEncoder)
    assert encoder.threads == 1


def test_text_and_tables_become_rows_with_typed_metadata(
    tmp_path: Path, toy_encoder: ToyEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("news.de").write_text("Ein Hund\n\nEine Katze\n", encoding="utf-8")
    Path("t.tsv").write_text(
        "id\ttext\tlang\tyear\tcode\nx\ta dog\ten\t2020\t7\ny\ta cat\txx-unknown\t\t007\n",
        encoding="utf-8",
    )
    lines = [{"id": 7, "text": "un chien", "ok": True, "none": None}, {"text": "z", "share": 0.5}]
    Path("j.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = index_files(["news.de", "t.tsv", "j.jsonl"], "store", encoder=toy_encoder)
    assert (done.num_read, done.num_added, done.num_empty, done.num_rows) == (7, 6, 1, 6)
    assert rows_of(Path("store"), toy_encoder) == {
        row.id: row
        for row in (
            IndexRow("news.de:1", "Ein Hund", "deu"),
            IndexRow("news.de:3", "Eine Katze", "deu"),
            IndexRow("x", "a dog", "eng", {"year": 2020, "code": "7"}),
            IndexRow("y", "a cat", "xx-unknown", {"code": "007"}),
            IndexRow("7", "un chien", "und", {"ok": True}),
            IndexRow("j.jsonl:2", "z", "und", {"share": 0.5}),
        )
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a", "year": NaN}', "line 2: column 'year' is nan"),
        ('{"text": "a", "tags": [1]}', "line 2: column 'tags' is list.*--metadata"),
        ('{"text": "a\\ud800"}', "line 2: text: holds a lone surrogate"),
        ('{"text": null}', "line 2: 'text' is missing"),
        ('{"text": "a", "id": 0.5}', "line 2: id is 0.5"),
        ('{"text": "a", "id": ""}', "line 2: id ''"),
        ("[1]", "line 2: expected a JSON object"),
    ],
)
def test_a_value_that_cannot_be_stored_is_told_with_its_line(
    tmp_path: Path, toy_encoder: ToyEncoder, line: str, message: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "fine"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(LabseError, match=message):
        index_files([path], tmp_path / "store", encoder=toy_encoder)


def test_what_cannot_work_is_told_before_the_index_is_made(
    tmp_path: Path, toy_encoder: ToyEncoder
) -> None:
    text = tmp_path / "a.txt"
    text.write_text("a\n")
    store = tmp_path / "store"
    with pytest.raises(LabseError, match="no such file"):
        index_files([text, tmp_path / "b.txt"], store, encoder=toy_encoder)
    with pytest.raises(UsageError, match="text has no columns"):
        index_files([text], store, encoder=toy_encoder, options=RowOptions(column="body"))
    assert not store.exists()


class StoppedEncoder(ToyEncoder):
    """Is interrupted at its third call."""

    num_calls = 0

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        self.num_calls += 1
        if self.num_calls == 3:
            raise KeyboardInterrupt
        return super().encode(sentences)


def test_a_stopped_call_goes_on_after_the_rows_it_has_stored(
    tmp_path: Path, toy_encoder: ToyEncoder
) -> None:
    text = tmp_path / "a.txt"
    text.write_text("".join(f"sentence {number}\n" for number in range(200)))
    store, memory = tmp_path / "store", 1 << 20  # Batches of 64 rows.
    with pytest.raises(InterruptedRunError, match="goes on"):
        index_files([text], store, encoder=StoppedEncoder(), memory_bytes=memory)
    done = index_files([text], store, encoder=toy_encoder, memory_bytes=memory)
    assert (done.num_resumed, done.num_read, done.num_added, done.num_rows) == (64, 200, 200, 200)
    with EmbeddingIndex.open(store, encoder=toy_encoder) as index:
        again = add_files(index, [text])
        assert (again.num_resumed, again.num_added, again.num_replaced) == (0, 0, 200)


class StoppedExecutor(JsonExecutor):
    """Is interrupted after its second task."""

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        yield from itertools.islice(super().run(tasks), 2)
        raise KeyboardInterrupt


def test_rows_that_others_embed_are_those_of_one_process(tmp_path: Path) -> None:
    text, work = tmp_path / "a.en", tmp_path / "work"
    lines = [f"The train number {number} is late." for number in range(130)]
    lines[7], lines[60], lines[129] = " ", "long " * 999, lines[3]
    text.write_text("\n".join(lines) + "\n")
    here = index_files([text], tmp_path / "here", memory_bytes=1 << 20)

    # The command is stopped while others embed, and goes on with the shards that are there.
    stopped = IndexTasks(StoppedExecutor(), work, shard_rows=30)
    with pytest.raises(InterruptedRunError, match="1 shards with 30 rows are in"):
        index_files([text], tmp_path / "there", tasks=stopped, memory_bytes=1 << 20)
    tasks = IndexTasks(JsonExecutor(), work, shard_rows=30)
    there = index_files([text], tmp_path / "there", tasks=tasks, memory_bytes=1 << 20)
    assert there == replace(here, path=str(tmp_path / "there"))
    assert (there.num_added, there.num_empty, there.num_truncated) == (129, 1, 1)
    assert not list(work.iterdir())
    found = []
    for store in ("here", "there"):
        with EmbeddingIndex.open(tmp_path / store) as index:
            found += [*index.scan()]
    assert found[0][0] == found[1][0]
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-6)  # Of other batches.


def test_what_tasks_cannot_do_is_told_before_the_index_is_made(tmp_path: Path) -> None:
    tasks = IndexTasks(JsonExecutor())
    with pytest.raises(UsageError, match="cannot be standard input"):
        index_files(["-"], tmp_path / "store", tasks=tasks)
    (tmp_path / "a.en").write_text("a dog\n")
    with pytest.raises(UsageError, match="needs --work FOLDER"):
        index_files([tmp_path / "a.en"], "qdrant://localhost:1/x", tasks=tasks)


def test_near_equal_texts_form_groups_across_languages(
    tmp_path: Path, toy_encoder: ToyEncoder
) -> None:
    with EmbeddingIndex.create(tmp_path / "store", encoder=toy_encoder) as index:
        texts = ["a dog barks", "barks a dog", "the sun", "Sun the", "a dog barks loud", "rain"]
        index.add(texts, ids=[str(number) for number in range(6)], langs=["en", "de"] * 3)
        groups = find_near_equal(index, min_score=0.999)
        assert [[row.id for row in group] for group in groups] == [["0", "1"], ["2", "3"]]
        assert find_near_equal(index, min_score=0.999, lang="de") == []


def test_the_commands_from_files_to_hits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("news.de").write_text("Das ist ein Hund.\nWo ist der Bahnhof?\n", encoding="utf-8")
    Path("more.tsv").write_text("id\ttext\tyear\nx\tThat is a dog.\t2020\n", encoding="utf-8")
    assert main(["index", "news.de", "--out", "store"]) == 0
    assert main(["index", "add", "store", "more.tsv"]) == 0
    capsys.readouterr()

    assert main(["search", "store", "Where is the station?", "--k", "1"]) == 0
    header, hit = capsys.readouterr().out.splitlines()
    assert header == "score\tid\tlang\ttext"
    assert hit.split("\t")[1:] == ["news.de:2", "deu", "Wo ist der Bahnhof?"]
    assert main(["search", "store", "Hund", "--where", "year >= 2020", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metadata"] == {"year": 2020}
    assert main(["search", "store", "--dedup", "--min-score", "0.8"]) == 0
    assert [line.split("\t")[:2] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["1", "news.de:1"],
        ["1", "x"],
    ]

    assert main(["index", "delete", "store", "--where", "year is null"]) == 0
    assert main(["index", "compact", "store"]) == 0
    assert main(["index", "info", "store", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_rows"] == 1
    assert main(["search", "store"]) == 2
    assert main(["search", "store", "Hund", "--where", "yera = 1"]) == 2
    assert main(["search", "nothing", "Hund"]) == 3
