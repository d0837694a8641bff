"""`labse serve` as a process: the clients people have, slow ones, and its end."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from labse import SentenceEncoder

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

TEXTS = ["Das ist ein Hund.", "Wo ist der Bahnhof?"]
KEY = "a-key-of-more-than-sixteen"
HEAD = b"POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(*arguments: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Runs a server; at the end of the block it is told to end, and must do so in peace."""
    port = free_port()
    command = [sys.executable, "-m", "labse", "serve", "--port", str(port), *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert any("listening on" in line for line in process.stderr)
            yield process, port
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as (_, port):
        yield port


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return SentenceEncoder.from_pretrained().encode(TEXTS)


def post(port: int, path: str, body: object) -> tuple[int, object]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_client_of_openai(port: int, expected: np.ndarray) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
    for options in ({}, {"encoding_format": "float"}, {"dimensions": 384}):
        answer = client.embeddings.create(model="labse", input=TEXTS, **options)
        rows = np.array([row.embedding for row in answer.data])
        np.testing.assert_allclose(rows, expected, atol=1e-6)
        assert answer.usage.prompt_tokens == 15
    assert [model.id for model in client.models.list()] == ["labse"]
    with pytest.raises(openai.NotFoundError, match="no model 'gpt' here"):
        client.embeddings.create(model="gpt", input=TEXTS)
    with pytest.raises(openai.BadRequestError, match="have 384"):
        client.embeddings.create(model="labse", input=TEXTS, dimensions=2)
    client.close()


def test_the_client_of_langchain(port: int, expected: np.ndarray) -> None:
    langchain = pytest.importorskip("langchain_openai")
    options = {"base_url": f"http://127.0.0.1:{port}/v1", "api_key": "none", "model": "labse"}
    client = langchain.OpenAIEmbeddings(check_embedding_ctx_length=False, **options)
    np.testing.assert_allclose(client.embed_documents(TEXTS), expected, atol=1e-6)


def test_the_client_of_hugging_face(port: int, expected: np.ndarray) -> None:
    hub = pytest.importorskip("huggingface_hub")
    client = hub.InferenceClient(f"http://127.0.0.1:{port}")
    row = client.feature_extraction(TEXTS[0], truncate=True, normalize=True)
    np.testing.assert_allclose(row, expected[:1], atol=1e-6)
    cosines = client.sentence_similarity(TEXTS[0], other_sentences=TEXTS)
    np.testing.assert_allclose(cosines, expected @ expected[0], atol=1e-5)


def test_slow_clients_do_not_stop_a_fast_one(port: int) -> None:
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    for number, one in enumerate(slow):
        one.sendall(HEAD[: 40 if number % 2 else None])  # Half of a head ...
        if number % 2 == 0:
            one.sendall(b"Content-Length: 100\r\n\r\n{")  # ... or a body that does not come.
    time.sleep(0.5)  # Until they are seen to be slow, they have the places of others.
    begin = time.monotonic()
    for _ in range(20):
        assert post(port, "/embed", {"inputs": TEXTS})[0] == 200
    assert time.monotonic() - begin < 10
    for one in slow:
        one.close()
    assert post(port, "/embed", {"inputs": TEXTS})[0] == 200


def test_a_client_that_keeps_its_body_back_is_told_so() -> None:
    with (
        serving("--body-seconds", "0.3") as (_, port),
        socket.create_connection(("127.0.0.1", port), timeout=20) as client,
    ):
        client.sendall(HEAD + b"Content-Length: 100\r\n\r\n{")
        assert client.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_requests_in_flight_are_answered_or_refused_when_it_is_ended() -> None:
    bodies = [{"inputs": [f"Satz {number} von {n}." for n in range(2000)]} for number in range(12)]
    with serving() as (process, port), ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(post, port, "/embed", body) for body in bodies]
        time.sleep(0.15)
        process.send_signal(signal.SIGTERM)
        statuses = [answer.result(60)[0] for answer in answers]
    assert set(statuses) <= {200, 429, 503}
    assert 200 in statuses


def test_a_signal_is_not_lost_when_the_loop_is_behind() -> None:
    # More wake-ups wait than the loop's pipe holds, so that a signal does not fit in.
    code = """
import asyncio, os, signal, sys
from labse import serve

def fall_behind(_):
    for _ in range(2000):
        asyncio.get_running_loop().call_soon_threadsafe(int)
    os.kill(os.getpid(), signal.SIGTERM)

serve(port=int(sys.argv[1]), on_start=fall_behind)
os._exit(0)
"""
    command = [sys.executable, "-c", code, str(free_port())]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_what_cannot_be_served_is_told_before_the_model_is_loaded(port: int) -> None:
    command = [sys.executable, "-m", "labse", "serve", "--port", str(port)]
    taken = subprocess.run(command, capture_output=True, text=True, check=False)
    assert taken.returncode == 4
    assert f"cannot listen on 127.0.0.1, port {port}" in taken.stderr
