"""The entrance: who comes in, how much, for how long, and what happens at the end."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.unit.serving.conftest import Call

from labse.errors import UsageError
from labse.serving.entrance import Entrance
from labse.serving.metrics import Metrics
from labse.serving.options import ServingOptions, read_api_keys

JSON = (b"content-type", b"application/json")
KEY = "a-key-of-more-than-sixteen"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def slow_echo(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.2)
    await echo(scope, receive, send)


async def ask(
    entrance: Entrance,
    parts: list[bytes | float | None],
    *headers: tuple[bytes, bytes],
    method: str = "POST",
    path: str = "/embed",
) -> tuple[int | None, dict[bytes, bytes]]:
    """Sends parts of a body, with pauses of seconds; None: the client goes away."""
    sent: list[Any] = []
    left = list(parts)

    async def receive() -> dict[str, Any]:
        while left and isinstance(left[0], float):
            await asyncio.sleep(left.pop(0))  # type: ignore[arg-type]
        if not left:
            await asyncio.sleep(60)
        part = left.pop(0)
        if part is None:
            return {"type": "http.disconnect"}
        return {
            "type": "http.request",
            "body": part,
            "more_body": any(isinstance(one, bytes) for one in left),
        }

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [JSON, *headers]}
    await entrance(scope, receive, send)
    start = next((one for one in sent if one["type"] == "http.response.start"), None)
    return (start["status"], dict(start["headers"])) if start else (None, {})


def enter(
    parts: list[bytes | float | None],
    *headers: tuple[bytes, bytes],
    method: str = "POST",
    path: str = "/embed",
    **options: float,
) -> tuple[int | None, dict[bytes, bytes]]:
    entrance = Entrance(echo, ServingOptions(**options), Metrics())
    return asyncio.run(ask(entrance, parts, *headers, method=method, path=path))


@pytest.mark.parametrize(
    ("parts", "headers", "status"),
    [
        ([b"a", b"b"], [], 200),
        ([b"a" * 8, b"b" * 8], [], 413),
        ([b""], [(b"content-length", b"11")], 413),
        ([b""], [(b"content-length", b"x")], 400),
        ([b"a", 5.0, b"b"], [], 408),
        ([b"a"], [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")], 400),
        ([b"a"], [(b"content-encoding", b"gzip")], 415),
        ([b"a", None, b"b"], [], None),
    ],
)
def test_a_body_is_read_within_bounds(
    parts: list[bytes | float | None], headers: list[tuple[bytes, bytes]], status: int | None
) -> None:
    answered, sent = enter(parts, *headers, max_body_bytes=10, body_seconds=0.2)
    assert answered == status
    if status not in (200, None):
        assert sent[b"connection"] == b"close"


def test_a_connection_is_closed_after_a_body_in_chunks() -> None:
    status, headers = enter([b"a"], (b"transfer-encoding", b"chunked"))
    assert (status, headers[b"connection"]) == (200, b"close")


def test_a_client_that_wants_a_proxy_is_told_that_there_is_none() -> None:
    assert enter([b""], method="CONNECT", path="")[0] == 405


def test_keys_hosts_and_kinds_are_checked_before_the_body(connect: Callable[..., Call]) -> None:
    guarded = connect(api_keys=(KEY,), hosts=("test",))
    body = {"inputs": "a"}
    assert guarded("/embed", body).status_code == 401
    wrong = guarded("/v1/embeddings", body, headers={"authorization": "Bearer wrong"})
    assert wrong.json()["error"]["type"] == "authentication_error"
    right = {"authorization": f"Bearer {KEY}"}
    assert guarded("/embed", body, headers=right).status_code == 200
    assert guarded("/health").status_code == 200
    assert guarded("/metrics").status_code == 401

    assert guarded("/health", headers={"host": "evil.example"}).status_code == 421
    assert guarded("/health", headers={"host": "test:8080"}).status_code == 200
    assert guarded("/health", headers={"host": ""}).status_code == 200
    plain = guarded("/embed", content=b'{"inputs": "a"}', headers=right)
    assert plain.status_code == 415, "a form of another page could send it"


def test_one_request_too_many_is_told_so_before_it_is_read() -> None:
    async def run() -> tuple[list[int | None], dict[bytes, bytes], list[bytes | float | None]]:
        entrance = Entrance(slow_echo, ServingOptions(max_requests=2), Metrics())
        running = [asyncio.ensure_future(ask(entrance, [b"a"])) for _ in range(2)]
        await asyncio.sleep(0.02)
        unread: list[bytes | float | None] = [b"a"]
        status, headers = await ask(entrance, unread)
        later = [status, *[(await one)[0] for one in running], (await ask(entrance, [b"a"]))[0]]
        return later, headers, unread

    statuses, headers, unread = asyncio.run(run())
    assert statuses == [429, 200, 200, 200]
    assert unread == [b"a"]
    assert headers[b"retry-after"] == b"1"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert b"connection" not in headers, "the client comes again on the same one"


def test_slow_bodies_keep_nobody_out_and_are_refused_when_all_places_are_taken() -> None:
    async def run() -> list[int | None]:
        entrance = Entrance(slow_echo, ServingOptions(max_requests=1), Metrics())
        slow = [asyncio.ensure_future(ask(entrance, [0.3, b"a"]))]
        await asyncio.sleep(0.1)
        slow.append(asyncio.ensure_future(ask(entrance, [0.3, b"a"])))
        await asyncio.sleep(0.5)
        fast = asyncio.ensure_future(ask(entrance, [b"a"]))
        return [(await one)[0] for one in (*slow, fast)]

    assert asyncio.run(run()) == [200, 429, 200]


def test_a_client_that_goes_away_ends_its_work() -> None:
    ended = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(True)
            raise

    entrance = Entrance(slow, ServingOptions(), Metrics())
    assert asyncio.run(ask(entrance, [b"a", 0.05, None])) == (None, {})
    assert ended == [True]


def test_a_fault_of_ours_is_an_answer_without_its_text() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("/home/someone/secret")

    entrance = Entrance(broken, ServingOptions(), Metrics())
    assert asyncio.run(ask(entrance, [b"a"]))[0] == 500


def test_a_server_that_ends_answers_what_is_there_and_refuses_the_rest() -> None:
    async def run() -> tuple[Any, int, Any]:
        entrance = Entrance(slow_echo, ServingOptions(drain_seconds=5), Metrics())
        running = asyncio.ensure_future(ask(entrance, [b"a"]))
        await asyncio.sleep(0.05)
        draining = asyncio.ensure_future(entrance.drain())
        await asyncio.sleep(0.05)
        refused = await ask(entrance, [b"a"])
        return await running, await draining, refused

    (status, _), num_left, (refused, headers) = asyncio.run(run())
    assert (status, num_left, refused) == (200, 0, 503)
    assert headers[b"retry-after"] == b"5"


def test_what_is_not_done_when_the_time_is_over_is_refused_and_not_dropped() -> None:
    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(60)

    async def run() -> tuple[tuple[int | None, dict[bytes, bytes]], int]:
        entrance = Entrance(endless, ServingOptions(drain_seconds=0.1), Metrics())
        running = asyncio.ensure_future(ask(entrance, [b"a"]))
        await asyncio.sleep(0.05)
        num_ended = await entrance.drain()
        return await running, num_ended

    (status, headers), num_ended = asyncio.run(run())
    assert (status, num_ended) == (503, 1)
    assert headers[b"retry-after"] == b"5"


def test_a_file_of_keys_holds_long_ones(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(f"# of the office\n\n{KEY}\n  another-one-that-is-long \n")
    assert read_api_keys(path) == (KEY, "another-one-that-is-long")
    for text, message in (("# none\n", "no key"), ("short\n", "shorter than 16")):
        path.write_text(text)
        with pytest.raises(UsageError, match=message):
            read_api_keys(path)


def test_limits_are_checked_before_a_model_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="max_lines is 0"):
        ServingOptions(max_lines=0)
    with pytest.raises(UsageError, match="no such folder"):
        ServingOptions(stores=tmp_path / "missing")
