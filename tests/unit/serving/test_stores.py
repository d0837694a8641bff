"""Searching the indexes of a folder over HTTP, and letting go of them."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.unit.serving.conftest import Call

from labse import SentenceEncoder
from labse.errors import UsageError
from labse.files.atomic import claim_folder
from labse.index.embedding_index import EmbeddingIndex
from labse.serving.answers import ApiError
from labse.serving.search_routes import project_to_plane
from labse.serving.stores import Stores

pytest.importorskip("qdrant_edge")

TEXTS = ["That is a dog.", "Where is the station?", "Es regnet seit drei Tagen.", "A cat sleeps."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, encoder: SentenceEncoder) -> Path:
    folder = tmp_path_factory.mktemp("stores")
    with EmbeddingIndex.create(folder / "texts", encoder=encoder) as index:
        index.add(
            TEXTS,
            ids=["a", "b", "c", "d"],
            langs=["en", "en", "de", None],
            metadata=[{"year": year} for year in (2019, 2020, 2021, 2022)],
        )
    return folder


@pytest.fixture(scope="module")
def call(connect: Callable[..., Call], folder: Path) -> Call:
    return connect(stores=folder)


def test_a_search_gives_the_nearest_rows_of_each_query(call: Call) -> None:
    assert call("/stores").json() == {"stores": ["texts"]}
    body = {"store": "texts", "query": ["Wo ist der Bahnhof?", "Das ist ein Hund."], "k": 2}
    answer = call("/search", body).json()
    assert [hits[0]["id"] for hits in answer["results"]] == ["b", "a"]
    best = answer["results"][1][0]
    query, text = SentenceEncoder().encode(["Das ist ein Hund.", TEXTS[0]])
    assert best["score"] == pytest.approx(float(query @ text), abs=0.01)
    assert (best["text"], best["lang"], best["metadata"]) == (TEXTS[0], "eng", {"year": 2019})

    body = {"store": "texts", "query": "Hund", "lang": "de", "where": "year >= 2020"}
    (hits,) = call("/search", body).json()["results"]
    assert [hit["id"] for hit in hits] == ["c"]


def test_a_map_places_every_row(call: Call) -> None:
    drawn = call("/map", {"store": "texts"}).json()
    assert drawn["num_rows"] == 4
    assert {point["text"] for point in drawn["points"]} == set(TEXTS)
    assert {point["lang"] for point in drawn["points"]} == {"eng", "deu", None}
    places = np.array([[point["x"], point["y"]] for point in drawn["points"]])
    assert places.min() == 0
    assert places.max() == 1


def test_the_plane_is_that_of_the_largest_differences() -> None:
    rows = np.zeros((4, 5), np.float32)
    rows[:, 3] = [0, 4, 8, 2]
    rows[:, 1] = [1, 0, 0, 0]
    places = project_to_plane(rows)
    np.testing.assert_allclose(places[:, 0], [0, 0.5, 1, 0.25], atol=0.06)
    assert (project_to_plane(np.ones((3, 5), np.float32)) == 0).all()


@pytest.mark.parametrize(
    ("change", "status", "sentence"),
    [
        ({"store": "../texts"}, 404, "there is: texts"),
        ({"where": "year >"}, 422, "year"),
        ({"where": "month = 3"}, 422, "month"),
        ({"lang": "no such language"}, 422, "no such language"),
        ({"query": ""}, 422, "query.0: the text is empty"),
        ({"query": "\U0001f469"}, 422, "knows no piece of it"),
        ({"k": 0}, 422, "greater than or equal to 1"),
    ],
)
def test_a_wrong_search_gets_a_sentence_without_a_path(
    call: Call, folder: Path, change: dict[str, object], status: int, sentence: str
) -> None:
    answer = call("/search", {"store": "texts", "query": "dog"} | change)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]
    assert str(folder) not in answer.text


def test_a_store_of_another_process_or_model_is_told(
    connect: Callable[..., Call], tmp_path: Path, encoder: SentenceEncoder
) -> None:
    EmbeddingIndex.create(tmp_path / "one", encoder=encoder).close()
    call = connect(stores=tmp_path / "one")
    body = {"store": "one", "query": "dog"}
    with claim_folder(tmp_path / "one"):
        held = call("/search", body)
    assert (held.status_code, held.headers["retry-after"]) == (503, "5")
    assert held.json()["error"] == "another process is writing the store one"
    empty = call("/map", {"store": "one"})
    assert "empty" in empty.json()["error"]

    manifest = tmp_path / "one/manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"model_sha256": "0" * 64}))
    other = connect(stores=tmp_path)("/search", body)
    assert other.status_code == 422
    assert "vectors of another model" in other.json()["error"]
    manifest.write_text("{")
    assert connect(stores=tmp_path)("/search", body).status_code == 422


def test_a_server_that_does_not_answer_is_told_without_its_address(
    connect: Callable[..., Call],
) -> None:
    pytest.importorskip("qdrant_client")
    call = connect(servers={"far": "qdrant://127.0.0.1:9/secret"})
    assert call("/stores").json() == {"stores": ["far"]}
    answer = call("/search", {"store": "far", "query": "dog"})
    assert answer.status_code == 503
    assert answer.json()["error"] == "the store far cannot be reached"


def test_a_store_that_nobody_uses_is_let_go_of(tmp_path: Path, encoder: SentenceEncoder) -> None:
    with EmbeddingIndex.create(tmp_path / "texts", encoder=encoder) as index:
        index.add(TEXTS, ids=TEXTS)
    stores = Stores(tmp_path, encoder, idle_seconds=0.05)
    assert [stores.use("texts", len) for _ in range(2)] == [4, 4]
    for _ in range(100):
        time.sleep(0.05)
        try:
            EmbeddingIndex.open(tmp_path / "texts", encoder=encoder).close()
            break
        except UsageError:
            continue
    else:
        raise AssertionError("it is held for ever")
    assert stores.use("texts", len) == 4
    stores.close()
    with pytest.raises(ApiError, match="there is: none"):
        Stores(None, encoder).use("texts", len)
