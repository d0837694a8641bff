"""The layer that every request passes first: who may come in, how much, and for how long.

Takes: an ASGI application. Gives: one that reads whole bodies within bounds, refuses what is
dangerous with a sentence, stops work for clients that have gone, and ends without dropping any.
Source: RFC 9112, section 6.1 (both lengths is an attack); granian has no time-out for bodies.
"""

import asyncio
import contextlib
import hashlib
import hmac
import logging
import time
import traceback
from collections.abc import MutableMapping
from typing import Any, TypeAlias

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labse.serving.answers import ApiError, error_response
from labse.serving.metrics import Metrics
from labse.serving.options import ServingOptions
from labse.serving.places import Place, Places

__all__ = ["Entrance"]

_LOGGER = logging.getLogger(__name__)
_OPEN_PATHS = ("/", "/health", "/ready", "/favicon.ico")
_OPEN_FOLDER = "/page/"  # Nothing but the files of the page, which ask for the key.
_SHAPES = ("/", "/v1/")  # Paths of the two shapes of errors.
_GONE = 499  # As nginx counts a client that did not wait.
_BODIES_AT_A_TIME = 8
_DRAIN_BODY_SECONDS = 2.0
_QUICK_SECONDS = 0.02  # A request that takes no longer is answered, whether its client is there.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}

Timeouts: TypeAlias = set[asyncio.Timeout]


class Entrance:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, options: ServingOptions, metrics: Metrics) -> None:
        """Keeps the rules; `metrics` counts every answer."""
        self._app, self._options, self._metrics = app, options, metrics
        self._key_hashes = [_hash_key(key) for key in options.api_keys]
        self._num_open = 0
        self._num_bytes = 0
        self._is_draining = False
        self._is_idle = asyncio.Event()
        self._bodies: Timeouts = set()
        self._running: set[asyncio.Task[Any]] = set()
        self._places = Places(options.max_requests)
        self._busy = [_to_messages(shape, options) for shape in _SHAPES]

    @property
    def num_open(self) -> int:
        """Requests that are not answered yet."""
        return self._num_open

    async def drain(self) -> int:
        """Refuses what comes from now on, and waits for what is there; returns how many it ended.

        A body that is still on its way has two more seconds. What is not done within
        `drain_seconds` is answered 503.
        """
        self._is_draining = True
        limit = asyncio.get_running_loop().time() + _DRAIN_BODY_SECONDS
        for timeout in self._bodies:
            timeout.reschedule(min(timeout.when() or limit, limit))
        await self._wait_until_idle(self._options.drain_seconds)
        num_left = self._num_open
        for task in self._running:
            task.cancel()
        await self._wait_until_idle(_DRAIN_BODY_SECONDS)
        return num_left

    async def _wait_until_idle(self, seconds: float) -> None:
        if self._num_open:
            self._is_idle.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_idle.wait(), seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; other kinds of connections go on as they are."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        if scope["method"] == "POST" and self._places.is_full:
            # Before anything is checked: those turned away must not slow the others down.
            await self._turn_away(scope, send)
            self._metrics.count_turned_away()
            return
        self._num_open += 1
        start = time.perf_counter()
        answer = _Answer(send, must_close=False)
        try:
            await self._answer(scope, receive, answer)
        except Exception as error:
            # The client reads no traceback: it may hold paths and texts of others.
            _LOGGER.error("%s %s: %r", scope["method"], scope["path"], error)
            _LOGGER.debug("%s", traceback.format_exc())
            if answer.status is None:
                fault = ApiError(500, "the server failed; its log says more")
                await self._refuse(scope, answer, fault)
        finally:
            self._num_open -= 1
            if not self._num_open:
                self._is_idle.set()
            route = getattr(scope.get("route"), "path", "other")
            status = _GONE if answer.status is None else answer.status
            self._metrics.count_request(route, status, time.perf_counter() - start)

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        parts: list[bytes] = []
        place = None
        answer.must_close = _is_chunked(scope)
        try:
            self._check_head(scope)
            if scope["method"] == "POST":
                place = Place(self._places)
                await self._read_body(receive, parts)
                if not place.keep():
                    await self._turn_away(scope, answer)
                    return
        except ApiError as refused:
            # What is left of its body would be read as the next request.
            answer.must_close = True
            await self._refuse(scope, answer, refused)
        except _GoneError:
            return
        else:
            await self._run(scope, b"".join(parts), receive, answer)
        finally:
            self._num_bytes -= sum(map(len, parts))
            if place is not None:
                place.leave()

    async def _turn_away(self, scope: Scope, send: Send) -> None:
        if _is_chunked(scope):
            send = _Answer(send, must_close=True)
        for message in self._busy[scope["path"].startswith(_SHAPES[1])]:
            await send({**message})

    async def _refuse(self, scope: Scope, answer: "_Answer", error: ApiError) -> None:
        await error_response(scope["path"], error)(scope, _never_receive, answer)

    # ---- the head ----------------------------------------------------------------------------

    def _check_head(self, scope: Scope) -> None:
        """Refuses what can be told from the head.

        Raises:
            ApiError: with the status that fits.
        """
        headers = Headers(scope=scope)
        if self._is_draining:
            raise ApiError(503, "the server is stopping", headers={"Retry-After": "5"})
        if scope["method"] == "CONNECT":  # Its address is another server's.
            raise ApiError(405, "this server is no proxy", headers={"Allow": "GET, POST"})
        if "content-length" in headers and "transfer-encoding" in headers:
            raise ApiError(400, "both Content-Length and Transfer-Encoding are set; send one")
        # A browser always says whom it calls; a check of HTTP/1.0 need not, and granian says "".
        if self._options.hosts and headers.get("host"):
            name = _host_name(headers["host"])
            if name not in self._options.hosts:
                raise ApiError(
                    421, f"this server is not {name[:100]}; start it with --allow-host {name[:100]}"
                )
        self._check_key(scope["path"], headers)
        if scope["method"] == "POST":
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                raise ApiError(415, "send JSON, with the header Content-Type: application/json")
            if (encoding := headers.get("content-encoding", "identity")) != "identity":
                raise ApiError(415, f"Content-Encoding is {encoding[:40]}; send JSON as it is")
            length = headers.get("content-length", "0")
            if not (length.isascii() and length.isdigit()):
                raise ApiError(400, "Content-Length is no number")
            if int(length) > self._options.max_body_bytes:
                raise self._too_large()

    def _check_key(self, path: str, headers: Headers) -> None:
        if not self._key_hashes or path in _OPEN_PATHS or path.startswith(_OPEN_FOLDER):
            return
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = _hash_key(key.strip() if scheme.lower() == "bearer" else "")
        # All of them, so that the time says nothing of which one is near.
        matches = [hmac.compare_digest(given, known) for known in self._key_hashes]
        if not any(matches):
            raise ApiError(
                401,
                "give an API key of this server: Authorization: Bearer KEY",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _too_large(self) -> ApiError:
        limit = self._options.max_body_bytes
        return ApiError(413, f"the body has more than {limit:,} bytes; send it in parts")

    # ---- the body ----------------------------------------------------------------------------

    async def _read_body(self, receive: Receive, parts: list[bytes]) -> None:
        """Reads the whole body into `parts`; what they hold counts until the request is answered.

        Raises:
            ApiError: it is too large, too slow, or one of too many.
        """
        limit, seconds, num_bytes = self._options.max_body_bytes, self._options.body_seconds, 0
        try:
            async with asyncio.timeout(seconds) as timeout:
                self._bodies.add(timeout)
                is_whole = False
                while not is_whole:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _GoneError
                    parts.append(message.get("body", b""))
                    num_bytes += len(parts[-1])
                    self._num_bytes += len(parts[-1])
                    if num_bytes > limit:
                        raise self._too_large()
                    if self._num_bytes > _BODIES_AT_A_TIME * limit:
                        wait = {"Retry-After": "2"}
                        raise ApiError(429, "too many large requests at a time", headers=wait)
                    is_whole = not message.get("more_body", False)
        except TimeoutError:
            raise ApiError(408, f"the body did not come within {seconds:g} s") from None
        finally:
            self._bodies.discard(timeout)

    # ---- the answer --------------------------------------------------------------------------

    async def _run(self, scope: Scope, body: bytes, receive: Receive, answer: "_Answer") -> None:
        """Runs the application until it has answered, or its client has gone.

        It runs in this very task: with another one, each request would go round the loop three
        times more, and wait each time for all those that are turned away meanwhile.
        """
        has_gone = asyncio.Event()
        is_read = False

        async def replay() -> Message:
            nonlocal is_read
            if is_read:
                await has_gone.wait()
                return {"type": "http.disconnect"}
            is_read = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def watch(task: asyncio.Task[Any]) -> None:
            await asyncio.sleep(_QUICK_SECONDS)
            while (await receive())["type"] != "http.disconnect":
                pass
            has_gone.set()
            task.cancel()

        task = asyncio.current_task()
        assert task is not None
        watching = asyncio.ensure_future(watch(task))
        self._running.add(task)
        try:
            await self._app(scope, replay, answer)
        except asyncio.CancelledError:
            task.uncancel()
            if answer.status is None and not has_gone.is_set():
                fault = ApiError(503, "the server is stopping", headers={"Retry-After": "5"})
                await self._refuse(scope, answer, fault)
        finally:
            self._running.discard(task)
            watching.cancel()


def _is_chunked(scope: Scope) -> bool:
    """Says whether a body comes in chunks, after which the connection is closed.

    hyper, below granian, drops a Content-Length beside it, by which another server before this one
    may have cut the requests: what follows could be another client's.
    """
    return any(name == b"transfer-encoding" for name, _ in scope["headers"])


def _to_messages(path: str, options: ServingOptions) -> tuple[Message, Message]:
    """Returns the answer to a request too many, ready to be sent."""
    wait = {"Retry-After": "1"}
    sentence = f"the server is busy with {options.max_requests} requests; try again in 1 s"
    response = error_response(path, ApiError(429, sentence, headers=wait))
    headers = MutableHeaders(raw=response.raw_headers)
    headers.update(_HEADERS | {"cache-control": "no-store"})
    start = {"type": "http.response.start", "status": 429, "headers": headers.raw}
    return start, {"type": "http.response.body", "body": response.body}


class _GoneError(Exception):
    """The client went away before its body had come."""


class _Answer:
    """What sends an answer: adds headers, and remembers the status."""

    def __init__(self, send: Send, *, must_close: bool) -> None:
        self._send = send
        self.must_close = must_close
        self.status: int | None = None

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
            if self.must_close:
                headers["connection"] = "close"
        await self._send(message)


async def _never_receive() -> Message:
    raise NotImplementedError


def _hash_key(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _host_name(host: str) -> str:
    """Returns the name of a Host header, without the port."""
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[")
    return host.partition(":")[0].lower()
