"""The server around the application: one process, which ends without dropping a request.

Takes: an application, an address. Gives: a server until SIGTERM or SIGINT.
Source: granian's embedded server, which leaves signals to its caller.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from labse.errors import ResourceError
from labse.serving.entrance import Entrance

__all__ = ["LOOPBACK_NAMES", "check_address", "run_server"]

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
"""Names of this machine that no page of another one can have."""

_LOGGER = logging.getLogger(__name__)
_HEADER_MILLISECONDS = 10_000  # Of a head; granian waits 30 s.
_CONNECTIONS = 4096


def check_address(host: str, port: int) -> None:
    """Tells before a model is loaded that nobody can listen there.

    Raises:
        ResourceError: the port is taken, or the address is not of this machine.
    """
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


def run_server(
    app: Entrance, host: str, port: int, *, on_start: Callable[[], object] | None = None
) -> None:
    """Serves until SIGTERM or SIGINT, then answers what is in flight and ends.

    Args:
        app: what `build_app` gave.
        host: address to listen on.
        port: its port.
        on_start: called when the server listens.
    """
    asyncio.run(_serve(app, host, port, on_start))


async def _serve(
    app: Entrance, host: str, port: int, on_start: Callable[[], object] | None
) -> None:
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
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, is_asked.set)

    serving = asyncio.ensure_future(server.serve())
    asking = asyncio.ensure_future(is_asked.wait())
    try:
        if on_start is not None:
            await _wait_until_open(host, port, serving)
            on_start()
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


async def _wait_until_open(host: str, port: int, serving: "asyncio.Future[None]") -> None:
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        return
