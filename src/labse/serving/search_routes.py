"""Indexes: `/stores` lists them, `/search` searches one, `/map` draws its rows on a plane.

Takes: questions and filters. Gives: hits, the best first; points between 0 and 1.
"""

from dataclasses import asdict

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.responses import Response

from labse.corpus.languages import is_language
from labse.corpus.records import UNKNOWN_LANG
from labse.index.embedding_index import EmbeddingIndex
from labse.index.rows import Hit, IndexRow
from labse.serving.answers import ApiError, json_response
from labse.serving.bodies import (
    MapBody,
    SearchBody,
    check_count,
    check_not_empty,
    openapi_body,
    receive_body,
)
from labse.serving.state import state_of

__all__ = ["router"]

router = APIRouter()
_SHOWN_CHARACTERS = 300
_MAX_QUERIES = 256


@router.get("/stores")
async def list_stores(request: Request) -> Response:
    """Lists the stores that may be searched."""
    return json_response({"stores": state_of(request).stores.list_names()})


@router.post("/search", openapi_extra=openapi_body(SearchBody))
async def search(request: Request) -> Response:
    """Finds the rows of a store that are nearest to each query."""
    state = state_of(request)
    body = await receive_body(request, SearchBody)
    queries = [body.query] if isinstance(body.query, str) else body.query
    check_count("query", len(queries), _MAX_QUERIES)
    check_not_empty("query", queries)
    embedded = await state.service.embed(queries)
    if not embedded.is_known.all():
        row = int(embedded.is_known.argmin())
        raise ApiError(422, f"query.{row}: the model knows no piece of it, so it finds nothing")

    def find(index: EmbeddingIndex) -> list[list[Hit]]:
        if body.lang and not is_language(body.lang) and not index.count(lang=body.lang):
            raise ValueError(f"lang: {body.lang[:50]!r} is no language, and no row has it")
        return index.search_embeddings(
            embedded.embeddings, body.k, where=body.where or None, lang=body.lang or None
        )

    found = await state.service.in_job(state.stores.use, body.store, find)
    results = [[_to_json(hit) for hit in hits] for hits in found]
    return json_response({"results": results, "truncated": embedded.num_truncated})


def _to_json(hit: Hit) -> dict[str, object]:
    return asdict(hit) | {"lang": _lang_or_none(hit.lang)}


@router.post("/map", openapi_extra=openapi_body(MapBody))
async def draw_map(request: Request) -> Response:
    """Places rows of a store on a plane, by the two directions in which they differ most."""
    state = state_of(request)
    body = await receive_body(request, MapBody)

    def draw(index: EmbeddingIndex) -> dict[str, object]:
        rows, embeddings = _first_rows(index, body.count)
        places = project_to_plane(embeddings)
        points = [
            {
                "x": x,
                "y": y,
                "id": row.id,
                "text": row.text[:_SHOWN_CHARACTERS],
                "lang": _lang_or_none(row.lang),
            }
            for row, (x, y) in zip(rows, places.round(4).tolist(), strict=True)
        ]
        return {"num_rows": len(index), "points": points}

    drawn = await state.service.in_job(state.stores.use, body.store, draw)
    return json_response(drawn)


def _first_rows(index: EmbeddingIndex, count: int) -> tuple[list[IndexRow], NDArray[np.float32]]:
    """Returns rows in the order of the store, which is that of the hashes of their ids."""
    rows: list[IndexRow] = []
    parts = []
    for found, embeddings in index.scan():
        rows += found
        parts.append(embeddings)
        if len(rows) >= count:
            break
    if not rows:
        raise ValueError("the store is empty; there is nothing to draw")
    return rows[:count], np.concatenate(parts)[:count]


def project_to_plane(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns (N, 2) places between 0 and 1: the first two principal components.

    The sign of a component is free; the largest value is made positive, so that a picture stays as
    it is when it is drawn again.
    """
    centred = embeddings - embeddings.mean(axis=0)
    covariance = centred.T @ centred
    _, vectors = np.linalg.eigh(covariance)
    places = centred @ vectors[:, :-3:-1]
    furthest = np.abs(places).argmax(axis=0)
    places *= np.where(places[furthest, [0, 1]] < 0, -1, 1).astype(np.float32)
    low, high = places.min(axis=0), places.max(axis=0)
    spread = np.where(high - low > 0, high - low, 1)
    result: NDArray[np.float32] = ((places - low) / spread).astype(np.float32)
    return result


def _lang_or_none(lang: str) -> str | None:
    return None if lang == UNKNOWN_LANG else lang
