"""Ends a process when another one of the run has died or failed, whatever it waits for.

Takes: a process group. Gives: within seconds, the rank that died or failed. Source: TCP, which
closes the connections of a dead process, and whose keepalive finds a dead host.

The collectives of torch.distributed do not say which rank is missing, and NCCL waits for it until a
timeout that must be longer than the slowest step. Nor does torchrun: when one of three processes on
gloo was killed, its report gave another one, which had crashed for it, as the root cause (measured
2026-11-29, torch 2.13). So each process holds a connection to rank 0, and rank 0 tells the others.
"""

import contextlib
import os
import secrets
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

from labse.errors import InterruptedRunError, ResourceError

__all__ = ["Presence"]

FromMain = Callable[[list[Any] | None], list[Any]]
_Connections = tuple[dict[int, socket.socket], dict[int, str]]  # And names, by rank.

_KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}  # Gone after 25 seconds.
_GRACE_SECONDS = 5.0  # In which a process may end with an error of its own.
_JOIN_SECONDS = 60.0
_MAX_WAITING = 128  # Strangers that are heard at a time: descriptors are few.
_MAX_LINE_BYTES = 1024  # A token, a rank, a name with that of the host (at most 255 characters).
_END_OF_LINE = b"\n"
_LEFT = "left"
_HINT = "it was killed, or its machine was; the same command goes on from the last checkpoint"


class Presence:
    """The connections of one process.

    A process that is left without another prints one line and ends with the exit code of an
    interrupted run, if it has not ended by itself after a grace of 5 seconds: it may be inside a
    collective that never returns. What it has on the disk is whole at any time.
    """

    def __init__(self, connections: Mapping[int, socket.socket], names: Mapping[int, str]) -> None:
        """Watches connections by rank: those of rank 0 to all others, that of others to rank 0."""
        self._connections, self._names = connections, names
        self._loss = ""
        self._is_leaving = threading.Event()
        self._has_loss = threading.Event()
        for connection in connections.values():
            _keep_alive(connection)
        threading.Thread(target=self._watch, daemon=True, name="presence").start()

    @classmethod
    @contextlib.contextmanager
    def join(cls, rank: int, size: int, from_main: FromMain) -> Iterator[Self]:
        """Connects the processes of a run for the block, whose errors are told to the others.

        Args:
            from_main: function that all call, and that returns on all what rank 0 gives it.

        Raises:
            ResourceError: rank 0 cannot be reached.
        """
        name = f"rank {rank} of {size} (process {os.getpid()} on {socket.gethostname()})"
        connected = _accept(name, size, from_main) if rank == 0 else _connect(name, rank, from_main)
        presence = cls(*connected)
        last_line = _LEFT
        try:
            yield presence
        except BaseException as error:
            text = " ".join(str(error).split()) or type(error).__name__
            last_line = f"{name} stopped: {text}"
            raise
        finally:
            presence._leave(last_line)

    def wait_for_loss(self) -> str:
        """Returns what happened to another process; empty if nothing does within some seconds."""
        self._has_loss.wait(_GRACE_SECONDS)
        return self._loss

    def _watch(self) -> None:
        """Reads a line from each: `left`, or what has happened. An end without one is a death."""
        with selectors.DefaultSelector() as selector:
            buffers = dict.fromkeys(self._connections, "")
            for rank, connection in self._connections.items():
                selector.register(connection, selectors.EVENT_READ, rank)
            while selector.get_map():
                for key, _ in selector.select():
                    rank = key.data
                    try:
                        received = self._connections[rank].recv(4096)
                    except OSError:
                        received = b""
                    buffers[rank] += received.decode(errors="replace")
                    line, has_end, _ = buffers[rank].partition("\n")
                    if received and not has_end:
                        continue
                    selector.unregister(self._connections[rank])
                    if self._is_leaving.is_set():
                        return
                    if line != _LEFT:
                        self._end(line or f"{self._names[rank]} is gone; {_HINT}")
                        return

    def _end(self, loss: str) -> None:
        self._loss = loss
        self._has_loss.set()
        self._tell(loss)
        time.sleep(_GRACE_SECONDS)
        if not self._is_leaving.is_set():
            sys.stderr.write(f"labse: error: {self._loss}\n")
            sys.stderr.flush()
            os._exit(InterruptedRunError.exit_code)

    def _tell(self, line: str) -> None:
        for connection in self._connections.values():
            with contextlib.suppress(OSError):
                connection.sendall(f"{line}\n".encode())

    def _leave(self, last_line: str) -> None:
        self._is_leaving.set()
        if not self._loss:
            self._tell(last_line)
        for connection in self._connections.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)


def _accept(name: str, size: int, from_main: FromMain) -> _Connections:
    """Listens, tells the others where, and waits for all of them.

    The port is open to whoever finds it, so that a stranger costs neither time nor memory: all
    are heard at once, each up to the bound of a line, and the oldest goes when there are too many.

    Raises:
        ResourceError: a rank has not come in time.
    """
    token = secrets.token_hex(16)
    deadline = time.monotonic() + _JOIN_SECONDS
    connections: dict[int, socket.socket] = {}
    names: dict[int, str] = {}
    waiting: dict[socket.socket, bytes] = {}  # What each has said so far, the oldest first.
    with (
        socket.create_server(("", 0), backlog=size + _MAX_WAITING) as server,
        selectors.DefaultSelector() as selector,
        contextlib.ExitStack() as open_strangers,
    ):
        open_strangers.callback(_close, waiting)
        from_main([server.getsockname()[1], token, name])
        server.setblocking(False)
        selector.register(server, selectors.EVENT_READ)
        while len(connections) < size - 1:
            # Wait for someone to knock or to speak, no longer than all have together.
            ready = [key.fileobj for key, _ in selector.select(deadline - time.monotonic())]
            if time.monotonic() >= deadline:
                absent = [str(rank) for rank in range(1, size) if rank not in connections]
                raise ResourceError(
                    f"rank {', '.join(absent)} of {size} did not reach rank 0 within "
                    f"{_JOIN_SECONDS:.0f} seconds"
                )
            if server in ready:
                with contextlib.suppress(OSError):  # Gone again, or no descriptor left.
                    connection, _ = server.accept()
                    connection.setblocking(False)
                    selector.register(connection, selectors.EVENT_READ)
                    waiting[connection] = b""

            # Those that have spoken join by their line, or go.
            for connection in [connection for connection in waiting if connection in ready]:
                waiting[connection] += _receive_line(connection, waiting[connection])
                line = waiting[connection]
                if not line.endswith(_END_OF_LINE):
                    continue
                del waiting[connection]
                selector.unregister(connection)
                rank = _find_rank(line, token, size)
                if rank is None or rank in connections:
                    connection.close()
                    continue
                connection.setblocking(True)
                connections[rank] = connection
                names[rank] = line.decode(errors="replace").strip().split(" ", 2)[2]
            if len(waiting) > size + _MAX_WAITING:
                oldest = next(iter(waiting))
                del waiting[oldest]
                selector.unregister(oldest)
                oldest.close()
    return connections, names


def _close(connections: Iterable[socket.socket]) -> None:
    for connection in connections:
        connection.close()


def _receive_line(connection: socket.socket, start: bytes) -> bytes:
    """Returns what has come of a line, and a line end in place of what will never be one.

    What comes after the line stays in the connection, for `_watch`.
    """
    try:
        seen = connection.recv(_MAX_LINE_BYTES, socket.MSG_PEEK)
        length = seen.find(_END_OF_LINE) + 1 or len(seen)
        received = connection.recv(length) if length else b""
    except BlockingIOError:
        return b""
    except OSError:
        return _END_OF_LINE
    is_over = not received or len(start) + len(received) > _MAX_LINE_BYTES
    return _END_OF_LINE if is_over else received


def _find_rank(line: bytes, token: str, size: int) -> int | None:
    """Returns the rank that a line of this run gives; None if it is a stranger's."""
    said = line.decode(errors="replace").strip().split(" ", 2)
    if len(said) < 3 or not secrets.compare_digest(said[0].encode(), token.encode()):
        return None
    is_rank = said[1].isascii() and said[1].isdigit() and 0 < int(said[1]) < size
    return int(said[1]) if is_rank else None


def _connect(name: str, rank: int, from_main: FromMain) -> _Connections:
    port, token, main = from_main(None)
    host = os.environ["MASTER_ADDR"]
    try:
        connection = socket.create_connection((host, port), timeout=_JOIN_SECONDS)
    except OSError as error:
        raise ResourceError(
            f"rank {rank} cannot reach rank 0 on port {port} of {host}: {error}"
        ) from None
    connection.sendall(f"{token} {rank} {name}\n".encode())
    connection.settimeout(None)
    return {0: connection}, {0: main}


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if option := getattr(socket, name, None):  # Linux.
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
