"""The interface of OpenAI: `/v1/embeddings` and `/v1/models`.

Takes: requests as the `openai` package sends them. Gives: what it expects.
Source: the OpenAI API reference. The package asks for base64, little-endian float32, by default.
"""

import base64
import time

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.responses import Response

from labse.serving.answers import ApiError, json_response
from labse.serving.bodies import (
    EmbeddingsBody,
    check_count,
    check_not_empty,
    openapi_body,
    receive_body,
)
from labse.serving.state import state_of

__all__ = ["router"]

router = APIRouter()
_STARTED = int(time.time())


@router.post("/v1/embeddings", openapi_extra=openapi_body(EmbeddingsBody))
async def create_embeddings(request: Request) -> Response:
    """Embeds a text, a list of texts, or token ids of this model."""
    state = state_of(request)
    body = await receive_body(request, EmbeddingsBody, status=400)
    if body.model not in (state.model_name, "labse"):
        raise ApiError(404, f"there is no model {body.model[:100]!r} here, but {state.model_name}")
    size = state.service.encoder.embedding_size
    if body.dimensions not in (None, size):
        raise ApiError(
            400, f"dimensions is {body.dimensions}; the vectors of this model have {size}"
        )

    # A text, texts, ids of one text, or ids of several.
    given = [body.input] if isinstance(body.input, str) else body.input
    if not given:
        raise ApiError(400, "input is empty; give at least one text")
    if isinstance(given[0], int):
        given = [given]
    check_count("input", len(given), state.options.max_inputs, status=400)
    if isinstance(given[0], str):
        texts: list[str] = given
        check_not_empty("input", texts, status=400)
        embedded = await state.service.embed(texts)
    else:
        embedded = await state.service.embed_ids(given)

    is_base64 = body.encoding_format == "base64"
    usage = {"prompt_tokens": embedded.num_tokens, "total_tokens": embedded.num_tokens}

    def write() -> Response:
        rows = embedded.embeddings
        vectors = _to_base64(rows) if is_base64 else list(rows)
        data = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(vectors)
        ]
        content = {
            "object": "list",
            "data": data,
            "model": state.model_name,
            "usage": usage,
            "truncated": embedded.num_truncated,
        }
        headers = {"x-labse-truncated": str(embedded.num_truncated)}
        return json_response(content, headers=headers)

    return await state.write_answer(write, embedded.embeddings.size)


@router.get("/v1/models")
async def list_models(request: Request) -> Response:
    """Lists the one model of this server."""
    model = _describe(state_of(request).model_name)
    return json_response({"object": "list", "data": [model]})


@router.get("/v1/models/{name}")
async def retrieve_model(request: Request, name: str) -> Response:
    """Describes the model."""
    known = state_of(request).model_name
    if name not in (known, "labse"):
        raise ApiError(404, f"there is no model {name[:100]!r} here, but {known}")
    return json_response(_describe(known))


def _describe(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": _STARTED, "owned_by": "labse"}


def _to_base64(rows: NDArray[np.float32]) -> list[str]:
    little = rows.astype("<f4", copy=False)
    return [base64.b64encode(row.tobytes()).decode() for row in little]
