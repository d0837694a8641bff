"""The index as its user sees it."""

from pathlib import Path

import pytest
from tests.unit.index.conftest import ToyEncoder

from labse.errors import LabseError, UsageError
from labse.index.embedding_index import Added, EmbeddingIndex

pytest.importorskip("qdrant_edge")


@pytest.fixture
def index(tmp_path: Path, toy_encoder: ToyEncoder) -> EmbeddingIndex:
    made = EmbeddingIndex.create(tmp_path / "store", encoder=toy_encoder)
    made.add(
        ["the dog barks", "the station is closed", "der Bahnhof ist zu"],
        ids=["a", "b", "c"],
        langs=["en", "en", "de"],
        metadata=[{"year": 2019}, {"year": 2021}, {}],
    )
    return made


def test_a_sentence_gives_hits_and_a_list_gives_a_list_for_each(index: EmbeddingIndex) -> None:
    with index:
        hits = index.search("dog barks", 2)
        assert hits[0].id == "a"
        assert hits[0].score > hits[1].score
        many = index.search(["dog barks", "Bahnhof"], 1)
        assert [[hit.id for hit in found] for found in many] == [["a"], ["c"]]
        assert index.search([], 1) == []


def test_a_language_and_a_condition_hold_together(index: EmbeddingIndex) -> None:
    with index:
        assert [hit.id for hit in index.search("dog", lang="eng", where="year > 2020")] == ["b"]
        assert index.count(where="year is null") == 1
        assert [hit.id for hit in index.search("dog", where="lang in (de, fr)")] == ["c"]
        with pytest.raises(UsageError, match=r"no column 'yera'.*id, text, lang, year"):
            index.search("dog", where="yera > 2020")


def test_rows_stay_when_the_index_is_opened_again(tmp_path: Path, index: EmbeddingIndex) -> None:
    encoder = ToyEncoder()
    index.close()
    with EmbeddingIndex.open(tmp_path / "store", encoder=encoder) as again:
        assert len(again) == 3
        assert again.add(["the cat", " ", "x", "y"], ids=["a", "e", "f", "f"]) == Added(1, 2, 1)
        assert again.delete("c") == 1
        assert again.delete(["c", "f"]) == 1
        assert {row.text for rows, _ in again.scan() for row in rows} == {
            "the cat",
            "the station is closed",
        }


def test_another_model_another_process_and_another_folder_are_refused(
    tmp_path: Path, index: EmbeddingIndex, toy_encoder: ToyEncoder
) -> None:
    store = tmp_path / "store"
    with pytest.raises(UsageError, match="another process"):
        EmbeddingIndex.open(store, encoder=toy_encoder)
    index.close()
    with pytest.raises(UsageError, match="of another model"):
        EmbeddingIndex.open(store, encoder=ToyEncoder("other"))
    with pytest.raises(UsageError, match="not empty"):
        EmbeddingIndex.create(store, encoder=toy_encoder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        EmbeddingIndex.create(tmp_path / "mine", encoder=toy_encoder)
    with pytest.raises(LabseError, match="is not an index"):
        EmbeddingIndex.open(tmp_path / "mine", encoder=toy_encoder)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"ids": [""]}, "id ''"),
        ({"ids": ["\ud800"]}, "lone surrogate"),
        ({"sentences": ["a\ud800"]}, "lone surrogate"),
        ({"sentences": [7]}, "expected text"),
        ({"metadata": [{"year": float("nan")}]}, "'year' is nan"),
        ({"metadata": [{"year": 2**70}]}, "64 bits"),
        ({"metadata": [{"year": [1]}]}, "is list"),
        ({"metadata": [{"id": 1}]}, "itself uses"),
        ({"metadata": [{'"': 1}]}, "double quote"),
        ({"metadata": [{str(number): 1 for number in range(300)}]}, "over 256 columns"),
        ({"ids": ["a", "b"]}, "2 for 1 sentences"),
        ({"embeddings": [[1.0]]}, "expected"),
    ],
)
def test_a_row_that_cannot_be_stored_says_why(
    index: EmbeddingIndex, row: dict[str, object], message: str
) -> None:
    with index, pytest.raises((ValueError, LabseError), match=message):
        index.add(**{"sentences": ["text"], "ids": ["new"], **row})  # type: ignore[arg-type]
    assert not index._store.header.columns[1:]


def test_a_server_keeps_an_index_as_a_folder_does(
    postgres_address: str, toy_encoder: ToyEncoder
) -> None:
    address = f"{postgres_address}&table=sentences"
    with pytest.raises(LabseError, match="table=sentences: no index"):
        EmbeddingIndex.open(address, encoder=toy_encoder)
    with EmbeddingIndex.create(address, encoder=toy_encoder) as index:
        index.add(["a dog", "a cat"], ids=["1", "2"], metadata=[{"year": 2020}, {"city": "Rome"}])
    with (
        EmbeddingIndex.open(address, encoder=toy_encoder) as index,
        EmbeddingIndex.open(address, encoder=toy_encoder) as other,
    ):
        other.add(["a sun"], ids=["3"], metadata=[{"ok": True}])
        index.add(["a moon"], ids=["4"], metadata=[{"year": 1}])
        assert [hit.id for hit in index.search("dog", where="year > 2000")] == ["1"]
        index.compact(graph=True)
        assert index.info().is_graph
        assert len(index.search("dog", 3)) == 3
    with pytest.raises(UsageError, match="is there already"):
        EmbeddingIndex.create(address, encoder=toy_encoder)
    with pytest.raises(UsageError, match="of another model"):
        EmbeddingIndex.open(address, encoder=ToyEncoder("other"))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("mysql://host/db", "not the address of an index"),
        ("qdrant://host:6333", "the name of the index"),
        ("postgresql://host/db?table=x;drop", "table 'x;drop'"),
        (
            "postgresql://me:secret@127.0.0.1:9/db",
            r"^postgresql://me@127.0.0.1:9/db.table=labse_index: ",
        ),
        ("qdrant://127.0.0.1:9/rows", "cannot be reached"),
    ],
)
def test_an_address_that_leads_nowhere_says_so(address: str, message: str) -> None:
    with pytest.raises(LabseError, match=message) as caught:
        EmbeddingIndex.open(address, encoder=ToyEncoder())
    assert "secret" not in str(caught.value)
