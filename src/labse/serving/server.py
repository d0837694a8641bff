"""The server: one process with one model, which ends without dropping a request.

Takes: an encoder, an address, limits. Gives: a server until SIGTERM or SIGINT.
Source: granian's embedded server, which leaves signals to its caller.
"""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from labse.encoder.source import EncoderSource
from labse.errors import ResourceError
from labse.runtime import answer_signals, require
from labse.serving.options import ServingOptions

if TYPE_CHECKING:
    from labse.serving.entrance import Entrance

__all__ = ["serve"]

# Names of this machine that no page of another one can have.
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_PACKAGES = ("fastapi", "granian", "orjson", "prometheus_client")
_LOGGER = logging.getLogger(__name__)
_HEADER_MILLISECONDS = 10_000  # Of a head; granian waits 30 s.
_CONNECTIONS = 4096
_OTHER_FILES = 1024  # Stores above all.
# For a request that comes, a thread of granian takes Python's lock several times. At 5 ms a turn,
# Python's own value, requests queue there unseen when the loop is busy: at ten times the capacity
# the answer 429 took up to 2.5 s, at .5 ms up to .3 s (two cores, 2026-11-30).
_SWITCH_SECONDS = 0.0005


def serve(
    encoder: EncoderSource = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    options: ServingOptions | None = None,
    model_name: str = "labse",
    on_start: Callable[[str], object] | None = None,
) -> None:
    """Serves vectors over HTTP until SIGTERM or SIGINT, then answers what is in flight and ends.

    On a loopback address the names of this machine and `options.hosts` are answered alone. A script
    that ends right after this call does so by `os._exit(0)`, as the command: see there why.

    Args:
        encoder: an encoder, its name or folder, what loads one, or None for the model that comes
            with labse.
        host: address to listen on.
        port: its port.
        options: limits, keys, and the folder of stores.
        model_name: as clients call it.
        on_start: called with the address of the server when it listens.

    Raises:
        ResourceError: nobody can listen there, or the extra `serve` is not installed.
        LabseError, UsageError: the model cannot be loaded or served.
    """
    for package in _PACKAGES:
        require(package, "serve")
    from labse.serving.app import build_app

    options = options or ServingOptions()
    if options.hosts or host in _LOOPBACK_NAMES:
        options = replace(options, hosts=(*_LOOPBACK_NAMES, *options.hosts))
    _check_address(host, port)
    app = build_app(encoder, options=options, model_name=model_name)
    _allow_connections()
    with _short_turns():
        asyncio.run(_serve(app, host, port, on_start))


def _allow_connections() -> None:
    """Raises the limit of open files, of which most systems give a program 1,024 unasked."""
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def _short_turns() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _check_address(host: str, port: int) -> None:
    """Tells before a model is loaded that nobody can listen there."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ResourceError(
            f"cannot listen on {host}, port {port}: {reason}; give another --host or --port"
        ) from None


async def _serve(
    app: "Entrance", host: str, port: int, on_start: Callable[[str], object] | None
) -> None:
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.server.embed import Server

    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=_CONNECTIONS,
        backpressure=_CONNECTIONS,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADER_MILLISECONDS),
        log_enabled=False,
    )
    is_asked = asyncio.Event()
    serving = asyncio.ensure_future(server.serve())
    asking = asyncio.ensure_future(is_asked.wait())
    try:
        with _ending_signals(is_asked):
            if on_start is not None:
                await _wait_until_open(host, port, serving)
                on_start(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
            await asyncio.wait((serving, asking), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()  # It failed: nobody asked it to end.
                return
            if num_left := await app.drain():
                _LOGGER.warning("%d requests were not done in time", num_left)
    finally:
        asking.cancel()
        server.stop()  # type: ignore[no-untyped-call]
        await asyncio.gather(serving, return_exceptions=True)


@contextmanager
def _ending_signals(is_asked: asyncio.Event) -> Iterator[None]:
    """Sets the event when SIGTERM or SIGINT arrives in the block."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, is_asked.set)  # Wakes a loop that sleeps.
    # The loop reads signals from the pipe of all that wakes it. Under load that is full, and the
    # signal would be lost: so it is answered by Python too.
    signal.set_wakeup_fd(signal.set_wakeup_fd(-1), warn_on_full_buffer=False)
    with answer_signals(lambda _: loop.call_soon_threadsafe(is_asked.set)):
        yield


async def _wait_until_open(host: str, port: int, serving: "asyncio.Future[None]") -> None:
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        return
