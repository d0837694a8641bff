"""A client of an application in this process, and the model that comes with labse."""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import httpx
import pytest

from labse import SentenceEncoder
from labse.serving.app import build_app
from labse.serving.options import ServingOptions

Call: TypeAlias = Callable[..., httpx.Response]


@pytest.fixture(scope="session")
def encoder() -> SentenceEncoder:
    return SentenceEncoder.from_pretrained()


@pytest.fixture(scope="session")
def connect(encoder: SentenceEncoder) -> Callable[..., Call]:
    """Builds an application with some options; the result calls a path of it."""

    def build(**options: object) -> Call:
        app = build_app(encoder, options=ServingOptions(**options))
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]

        async def ask(method: str, path: str, **arguments: object) -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **arguments)

        def call(path: str, body: object = None, **arguments: object) -> httpx.Response:
            if body is not None:
                arguments["json"] = body
            method = "GET" if body is None and "content" not in arguments else "POST"
            return asyncio.run(ask(method, path, **arguments))

        return call

    return build


@pytest.fixture(scope="session")
def call(connect: Callable[..., Call]) -> Call:
    return connect()
