"""How the server is: `/health`, `/ready`, `/metrics`.

Takes: requests of an operator's programs. Gives: 200 or 503; the numbers of Prometheus.
"""

import time

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from labse.encoder.check.sample import sample_sentences
from labse.serving.answers import ApiError, json_response
from labse.serving.state import ServerState, state_of

__all__ = ["router"]

router = APIRouter()

_MIN_COSINE = 0.999  # Another batch, other kernels: the sixth digit in float32, more in int8.
_CHECKED_SECONDS = 5.0


@router.get("/health")
async def health() -> Response:
    """Says that the server answers."""
    return json_response({"status": "ok"})


@router.get("/ready")
async def ready(request: Request) -> Response:
    """Says whether a vector is still the one that it was at the start.

    Its way is that of a request, through queue and batch. The answer holds for five seconds, so
    that nobody can keep the model busy with it.
    """
    state = state_of(request)
    last = getattr(request.app.state, "ready_at", -_CHECKED_SECONDS)
    if time.monotonic() - last >= _CHECKED_SECONDS:
        await _check_vector(state)
        request.app.state.ready_at = time.monotonic()
    return json_response({"status": "ready", "model": state.model_name})


async def _check_vector(state: ServerState) -> None:
    embedded = await state.service.embed(sample_sentences(1))
    cosine = float((embedded.embeddings @ state.golden).sum())
    if not np.isfinite(cosine) or cosine < _MIN_COSINE:
        raise ApiError(503, f"the model does not give the vector it did (cosine {cosine:.5f})")


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Returns the page that Prometheus reads."""
    text = state_of(request).metrics.render()
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
