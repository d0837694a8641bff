"""The application: routes, limits and one model.

Takes: an encoder and limits. Gives: an ASGI application for any server; `labse serve` runs it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from labse import __version__
from labse.encoder.check.sample import sample_sentences
from labse.encoder.source import EncoderSource, load_encoder
from labse.errors import LabseError
from labse.serving import (
    openai_routes,
    page_routes,
    pair_routes,
    review_routes,
    search_routes,
    state_routes,
    tei_routes,
)
from labse.serving.answers import ApiError, error_response
from labse.serving.entrance import Entrance
from labse.serving.metrics import Metrics
from labse.serving.options import ServingOptions
from labse.serving.service import EmbeddingService
from labse.serving.state import ServerState
from labse.serving.stores import Stores

__all__ = ["build_app"]

_ROUTERS = (
    openai_routes,
    tei_routes,
    search_routes,
    pair_routes,
    review_routes,
    state_routes,
    page_routes,
)
_SENTENCES = {
    404: "there is nothing at this address; /openapi.json lists what there is",
    405: "this address takes another method; /openapi.json lists them",
}


def build_app(
    encoder: EncoderSource = None,
    *,
    options: ServingOptions | None = None,
    model_name: str = "labse",
) -> Entrance:
    """Builds the ASGI application; the threads of the model end with its lifespan.

    Args:
        encoder: an encoder, its name or folder, or None for the model that comes with labse.
        options: its limits.
        model_name: as clients call it; `labse` is understood too.

    Raises:
        LabseError, UsageError: the model cannot be loaded or served.
    """
    options, metrics = options or ServingOptions(), Metrics()
    loaded = load_encoder(encoder)
    service = EmbeddingService(loaded, options, metrics)
    stores = Stores(options.stores, loaded, servers=options.servers)
    golden = loaded.encode(sample_sentences(1))[0]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()
        stores.close()

    # The pages of FastAPI load their scripts from elsewhere.
    app = FastAPI(
        title="labse", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan
    )
    app.state.server = ServerState(service, stores, options, metrics, model_name, golden)
    for module in _ROUTERS:
        app.include_router(module.router)
    app.add_exception_handler(ApiError, _answer_refusal)
    app.add_exception_handler(LabseError, _answer_refusal)
    app.add_exception_handler(HTTPException, _answer_refusal)

    entrance = Entrance(app, options, metrics)
    metrics.watch(
        "labse_queue_tokens",
        "Tokens that wait or are computed.",
        lambda: service.batcher.num_tokens,
    )
    metrics.watch(
        "labse_queue_requests",
        "Requests of which a part waits.",
        lambda: service.batcher.num_waiting,
    )
    metrics.watch(
        "labse_open_requests", "Requests without an answer yet.", lambda: entrance.num_open
    )
    return entrance


async def _answer_refusal(request: Request, error: Exception) -> Response:
    """Puts an error into the shape of the interface that was called."""
    if isinstance(error, HTTPException):
        sentence = _SENTENCES.get(error.status_code, str(error.detail))
        error = ApiError(error.status_code, sentence, headers=error.headers)
    elif not isinstance(error, ApiError):
        error = ApiError(422, str(error))
    return error_response(request.url.path, error)
