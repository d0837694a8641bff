"""Many clients in one process, so that they leave the processors to the server.

Either each connection asks again as soon as it is answered, or requests come at a rate, whether
the server keeps up or not. For benchmarks/serving.py; alone, against a server that runs:

    python benchmarks/load.py --port 8080 --connections 4000 --rate 5000 --seconds 60
"""

import argparse
import contextlib
import json
import random
import re
import resource
import selectors
import socket
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_WARM_SECONDS = 1.0
_WORDS = ["das", "ist", "ein", "hund", "where", "station", "the", "it", "rains", "drei", "nach"]


@dataclass
class Client:
    """A connection; `start` is when its request was sent, None when it waits for none."""

    socket: socket.socket
    start: float | None = None
    answer: bytearray = field(default_factory=bytearray)


def ask_many(
    port: int, *, seconds: float, connections: int, rate: float | None = None, sentences: int = 1
) -> dict[str, object]:
    """Asks for vectors and says how long the answers took; the first second does not count.

    Args:
        port: of a server on this machine.
        seconds: for which it is asked.
        connections: with a rate, at most so many.
        rate: requests a second; None: each connection asks when it is answered.
        sentences: of a request.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    requests = draw_requests(sentences)
    generator = random.Random(2)
    selector = selectors.DefaultSelector()
    idle: list[Client] = []
    num_open = num_waiting = num_unsent = num_dropped = 0
    times: dict[int, list[float]] = {}
    begin = time.perf_counter() + _WARM_SECONDS
    end, due = begin + seconds, begin - _WARM_SECONDS

    while (now := time.perf_counter()) < end or num_waiting:
        # Send what is due, over a connection that is free or a new one.
        while now < end and (due <= now if rate else num_waiting < connections):
            due += 1 / rate if rate else 0
            if not idle and num_open < connections:
                idle.append(Client(socket.create_connection(("127.0.0.1", port))))
                selector.register(idle[-1].socket, selectors.EVENT_READ, idle[-1])
                num_open += 1
            if not idle:
                num_unsent += 1
                continue
            client = idle.pop()
            client.start = time.perf_counter()
            with contextlib.suppress(ConnectionError):  # What is read next says so.
                client.socket.sendall(generator.choice(requests))
            num_waiting += 1

        # Read what has come.
        wait = max(min(due - now, 0.05), 0) if rate else 0.05
        for key, _ in selector.select(wait):
            client = key.data
            try:
                part = client.socket.recv(1 << 16)
            except ConnectionResetError:
                part = b""
            if not part:  # The server closes what was idle for ten seconds.
                selector.unregister(client.socket)
                client.socket.close()
                num_open -= 1
                if client.start is None:
                    idle.remove(client)
                else:  # In the moment in which it was asked.
                    num_waiting -= 1
                    num_dropped += 1
                continue
            client.answer += part
            is_whole = is_answer(client.answer)
            if is_whole and client.start is not None:
                num_waiting -= 1
                if begin <= client.start < end:
                    took = time.perf_counter() - client.start
                    times.setdefault(int(client.answer[9:12]), []).append(took)
            if is_whole:
                client.start = None
                client.answer.clear()
                idle.append(client)
    for key in list(selector.get_map().values()):
        key.data.socket.close()
    counts = {"unsent": num_unsent, "dropped": num_dropped} if rate else {}
    return describe(times, seconds) | counts


def draw_requests(sentences: int, number: int = 2000) -> list[bytes]:
    """Returns requests of sentences of 4 to 24 words, of which few are equal."""
    generator = random.Random(1)
    requests = []
    for _ in range(number):
        texts = [
            " ".join(generator.choices(_WORDS, k=generator.randint(4, 24))) + "."
            for _ in range(sentences)
        ]
        body = json.dumps({"inputs": texts}).encode()
        head = (
            "POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        requests.append(head.encode() + body)
    return requests


def is_answer(text: bytearray) -> bool:
    """Says whether an answer has come as a whole."""
    head = text.find(b"\r\n\r\n")
    if head < 0:
        return False
    length = _LENGTH.search(text, 0, head)
    return length is not None and len(text) >= head + 4 + int(length[1])


def describe(times: dict[int, list[float]], seconds: float) -> dict[str, object]:
    taken = times.get(200, [float("nan")])
    p50, p99 = (round(float(value) * 1000, 1) for value in np.percentile(taken, [50, 99]))
    rate = round(len(times.get(200, [])) / seconds, 1)
    refused = Counter({status: len(those) for status, those in times.items() if status != 200})
    report = {"requests_per_second": rate, "p50_ms": p50, "p99_ms": p99, "refused": refused}
    if 429 in times:
        report["p99_ms_of_429"] = round(float(np.percentile(times[429], 99)) * 1000, 1)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=64, help="At most, with a rate.")
    parser.add_argument("--rate", type=float, help="Requests a second, answered or not.")
    parser.add_argument("--sentences", type=int, default=1, help="Sentences of a request.")
    print(json.dumps(ask_many(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
