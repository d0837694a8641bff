"""What every engine must do: one contract, run on each."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from labse.index.rows import IndexRow
from labse.index.store import VectorStore
from labse.index.where import And, Compare, Equals, IsMissing, Not, Or, Where, matches


def unit_rows(num_rows: int, seed: int = 0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((num_rows, 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def some_rows(num_rows: int) -> list[IndexRow]:
    langs = ("deu", "fra", "rus")
    return [
        IndexRow(f"id {number}", f"text {number}", langs[number % 3], {"year": 2000 + number % 7})
        for number in range(num_rows)
    ]


def test_the_nearest_rows_are_those_of_the_exact_search(store: VectorStore) -> None:
    rows, embeddings, queries = some_rows(300), unit_rows(300), unit_rows(5, seed=1)
    assert store.add(rows, embeddings) == 0
    cosines = queries @ embeddings.T
    for query_cosines, hits in zip(cosines, store.search(queries, 10), strict=True):
        best = np.argsort(-query_cosines)[:10]
        assert [hit.id for hit in hits] == [f"id {number}" for number in best]
        np.testing.assert_allclose([hit.score for hit in hits], query_cosines[best], atol=1e-5)
        first = rows[best[0]]
        assert (hits[0].text, hits[0].lang, hits[0].metadata) == (
            first.text,
            first.lang,
            first.metadata,
        )


def test_a_row_added_again_replaces_the_one_of_its_id(store: VectorStore) -> None:
    embeddings = unit_rows(3)
    store.add(some_rows(2), embeddings[:2])
    assert store.add([IndexRow("id 1", "other", "und", {"n": True})], embeddings[2:]) == 1
    assert store.count() == 2
    (hits,) = store.search(embeddings[2:], 1)
    assert (hits[0].id, hits[0].text, hits[0].metadata) == ("id 1", "other", {"n": True})


def test_deleted_rows_are_gone_also_after_compaction(store: VectorStore) -> None:
    embeddings = unit_rows(50)
    store.add(some_rows(50), embeddings)
    assert store.delete(["id 3", "id 3", "no such row", "id 4"]) == 2
    for _ in range(2):
        assert store.count() == store.info().num_rows == 48
        (hits,) = store.search(embeddings[3:4], 50)
        assert {hit.id for hit in hits}.isdisjoint({"id 3", "id 4"})
        store.compact()


def test_a_scan_gives_each_row_once_with_its_vector(store: VectorStore) -> None:
    rows, embeddings = some_rows(25), unit_rows(25)
    store.add(rows, embeddings)
    found = {}
    for part, vectors in store.scan(10):
        assert len(part) == len(vectors) <= 10
        found |= {row.id: (row, vector) for row, vector in zip(part, vectors, strict=True)}
    assert store.read(["id 7", "no such row", "id 2"]) == [rows[7], rows[2]]
    german = [row.id for part, _ in store.scan(10, Equals("lang", ("deu",))) for row in part]
    assert sorted(german) == sorted(row.id for row in rows if row.lang == "deu")
    assert {row.id: row for row, _ in found.values()} == {row.id: row for row in rows}
    for row, vector in zip(rows, embeddings, strict=True):
        np.testing.assert_allclose(found[row.id][1], vector, atol=1e-6)


def test_more_neighbours_than_rows_are_all_rows(store: VectorStore) -> None:
    assert store.search(unit_rows(1), 5) == [[]]
    store.add(some_rows(3), unit_rows(3))
    assert len(store.search(unit_rows(1), 5)[0]) == 3


ODD_NAMES = ("year", "a b.c", "größe", "x[0]", "select", "it's", "per%cent", "$1", ";--")
values = st.one_of(
    st.sampled_from(["a", "A", "", "12", "it's", "%_\\", "deu", "年"]),
    st.integers(-3, 3),
    st.sampled_from([12, 12.0, 0.5, -1.5]),
    st.booleans(),
)
names = st.sampled_from(ODD_NAMES)
conditions: st.SearchStrategy[Where] = st.recursive(
    st.one_of(
        st.builds(Equals, names, st.lists(values, min_size=1, max_size=3).map(tuple)),
        st.builds(
            Compare,
            names,
            st.sampled_from(["<", "<=", ">", ">="]),
            st.sampled_from([-1.0, 0.5, 2.0]),
        ),
        st.builds(IsMissing, names),
        st.builds(Equals, st.just("lang"), st.just(("deu",))),
        st.builds(Equals, st.just("id"), st.just(("0", "2"))),
    ),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=5,
)


def mixed_rows() -> list[IndexRow]:
    """Returns rows in whose columns texts, numbers and truth values stand side by side."""
    found = ["a", "A", "", "12", "it's", "%_\\", "deu", "年", -1, 0, 2, 12, 0.5, 12.0, True, False]
    rng = np.random.default_rng(0)
    rows = []
    for number in range(60):
        chosen = rng.choice(len(ODD_NAMES), 4, replace=False)
        columns = {ODD_NAMES[name]: found[rng.integers(len(found))] for name in chosen}
        rows.append(IndexRow(str(number), "text", "deu" if number % 2 else "rus", columns))
    return rows


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=conditions)
def test_a_condition_is_true_where_its_definition_says_so(store: VectorStore, where: Where) -> None:
    rows = mixed_rows()
    if not store.count():
        store.add(rows, unit_rows(60))
    wanted = {row.id for row in rows if matches(where, row)}
    (hits,) = store.search(unit_rows(1), 60, where)
    assert {hit.id for hit in hits} == wanted
    assert store.count(where) == len(wanted)
