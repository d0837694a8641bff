"""The interface of text-embeddings-inference: `/embed`, `/similarity`, `/tokenize`, `/info`.

Takes: requests as `huggingface_hub.InferenceClient` sends them. Gives: bare lists, as it expects,
and the number of texts that were cut in the header `x-labse-truncated`.
Source: TEI's openapi.json.
"""

from fastapi import APIRouter, Request
from starlette.responses import Response

from labse import __version__
from labse.serving.answers import ApiError, json_response
from labse.serving.bodies import (
    EmbedBody,
    SimilarityBody,
    TokenizeBody,
    check_count,
    check_not_empty,
    openapi_body,
    receive_body,
)
from labse.serving.service import Embedded
from labse.serving.state import ServerState, state_of

__all__ = ["router"]

router = APIRouter()


@router.post("/embed", openapi_extra=openapi_body(EmbedBody))
async def embed(request: Request) -> Response:
    """Returns a list with the vector of each text."""
    return await _embed(state_of(request), await receive_body(request, EmbedBody))


@router.post("/similarity", openapi_extra=openapi_body(SimilarityBody))
async def similarity(request: Request) -> Response:
    """Returns the cosine of a text with each of some others."""
    return await _compare(state_of(request), await receive_body(request, SimilarityBody))


@router.post("/", include_in_schema=False)
async def predict(request: Request) -> Response:
    """Does either, by the body: clients of one address send all to its root."""
    start = (await request.body())[:1_000]
    if b'"source_sentence"' in start:
        return await similarity(request)
    return await embed(request)


async def _embed(state: ServerState, body: EmbedBody) -> Response:
    size = state.service.encoder.embedding_size
    if body.normalize is False:
        raise ApiError(422, "normalize: LaBSE ends in its norm, its vectors are unit rows")
    if body.dimensions not in (None, size):
        raise ApiError(422, f"dimensions: {body.dimensions}; the vectors of this model have {size}")
    if (body.truncation_direction or "right").lower() != "right":
        raise ApiError(422, "truncation_direction: long texts are cut at their right end")
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    check_count("inputs", len(texts), state.options.max_inputs)
    check_not_empty("inputs", texts)
    embedded = await state.service.embed(
        texts, prompt_name=body.prompt_name, may_truncate=bool(body.truncate)
    )
    rows = embedded.embeddings
    return await state.write_answer(
        lambda: json_response(rows, headers=_truncated(embedded)), rows.size
    )


async def _compare(state: ServerState, body: SimilarityBody) -> Response:
    given = body.parameters or {}
    if unknown := sorted(given.keys() - {"truncate", "prompt_name", "truncation_direction"}):
        raise ApiError(422, f"parameters.{unknown[0]}: there is no such parameter")
    texts = [body.inputs.source_sentence, *body.inputs.sentences]
    check_count("inputs.sentences", len(texts) - 1, state.options.max_inputs)
    check_not_empty("inputs.sentences", texts[1:])
    check_not_empty("inputs.source_sentence", texts[:1])
    name = given.get("prompt_name")
    embedded = await state.service.embed(
        texts,
        prompt_name=name if isinstance(name, str) else None,
        may_truncate=bool(given.get("truncate")),
    )
    cosines = embedded.embeddings[1:] @ embedded.embeddings[0]
    return json_response(cosines, headers=_truncated(embedded))


@router.post("/tokenize", openapi_extra=openapi_body(TokenizeBody))
async def tokenize(request: Request) -> Response:
    """Returns the pieces of each text, not cut: id, text, whether special, where it stands."""
    state = state_of(request)
    body = await receive_body(request, TokenizeBody)
    if body.prompt_name is not None:
        raise ApiError(422, "prompt_name: put the prompt before the text")
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    check_count("inputs", len(texts), state.options.max_inputs)
    check_not_empty("inputs", texts)
    tokenizer = state.service.encoder.tokenizer

    def write() -> Response:
        encoded = tokenizer.encode_batch(texts, add_special_tokens=body.add_special_tokens)
        return json_response(
            [
                [
                    {
                        "id": number,
                        "text": piece,
                        "special": bool(is_special),
                        "start": None if is_special else start,
                        "stop": None if is_special else stop,
                    }
                    for number, piece, is_special, (start, stop) in zip(
                        one.ids, one.tokens, one.special_tokens_mask, one.offsets, strict=True
                    )
                ]
                for one in encoded
            ]
        )

    return await state.service.in_thread(write)


@router.get("/info")
async def info(request: Request) -> Response:
    """Tells what the model is and what a request may hold."""
    state = state_of(request)
    encoder = state.service.encoder
    content = {
        "model_id": state.model_name,
        "model_sha": encoder.hash_model(),
        "model_dtype": encoder.precision or "float32",
        "model_type": {"embedding": {"pooling": "labse"}},
        "embedding_size": encoder.embedding_size,
        "max_input_length": encoder.max_seq_length,
        "max_batch_tokens": state.service.batch_tokens,
        "max_client_batch_size": state.options.max_inputs,
        "max_lines": state.options.max_lines,
        "max_body_bytes": state.options.max_body_bytes,
        "auto_truncate": False,
        "runtime": encoder.runtime_name,
        "version": __version__,
    }
    return json_response(content)


def _truncated(embedded: Embedded) -> dict[str, str]:
    return {"x-labse-truncated": str(embedded.num_truncated)}
