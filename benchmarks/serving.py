"""sentence-transformers behind FastAPI and labse serve: the same model, machine and client.

A small BERT of random weights is built, so nothing is fetched. Each server is a process of its own;
64 connections ask each in turn for vectors of a few sentences, and must get the same ones.

    python benchmarks/serving.py --seconds 10 --out benchmarks/results/serving.json
"""

import argparse
import json
import os
import platform
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
from encode import SMALL, build_random

from labse.model_folder.hub import DEFAULT_NAME, locate_model

# The same server around the model, so that what is compared is what happens with a request.
PEER = """
import asyncio
import sys

import torch
from fastapi import FastAPI
from granian.constants import Interfaces
from granian.server.embed import Server
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

torch.set_num_threads(int(sys.argv[3]))
model, app = SentenceTransformer(sys.argv[1], device="cpu"), FastAPI()


class Body(BaseModel):
    inputs: list[str]


@app.post("/embed")
def embed(body: Body) -> list[list[float]]:
    return model.encode(body.inputs, normalize_embeddings=True, show_progress_bar=False).tolist()


@app.get("/health")
def health() -> str:
    return "ok"


asyncio.run(Server(app, port=int(sys.argv[2]), interface=Interfaces.ASGI).serve())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="Of each measurement.")
    parser.add_argument("--connections", type=int, default=64, help="Clients that ask at a time.")
    parser.add_argument("--sentences", type=int, default=1, help="Sentences of a request.")
    parser.add_argument("--rounds", type=int, default=2, help="Turns of each server.")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="Of each model.")
    parser.add_argument("--layers", type=int, default=4, help="Of the model, 384 wide.")
    parser.add_argument("--out", type=Path, help="JSON file to write.")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        bert = SMALL.model_copy(update={"num_hidden_layers": options.layers})
        model = build_random(locate_model(DEFAULT_NAME), Path(folder) / "model", bert, 128)
        peer = Path(folder) / "peer.py"
        peer.write_text(PEER)
        ports = free_port(), free_port()
        threads = str(options.threads)
        commands = {
            "sentence-transformers behind FastAPI": [
                *(sys.executable, str(peer), str(model), str(ports[0]), threads)
            ],
            "labse serve": [
                *(sys.executable, "-m", "labse", "serve", "--model", str(model)),
                *("--port", str(ports[1]), "--threads", threads),
            ],
        }
        results = compare(commands, ports, options)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


def compare(
    commands: dict[str, list[str]], ports: tuple[int, int], options: argparse.Namespace
) -> dict[str, object]:
    processes = [subprocess.Popen(command) for command in commands.values()]
    try:
        for port in ports:
            wait_until_healthy(port)
        probe = ["Das ist ein Hund.", "Where is the station?"]
        rows = [np.array(ask(port, probe)) for port in ports]
        least = float(np.einsum("nd,nd->n", *rows).min())
        print(f"least cosine of their vectors: {least:.6f}")

        rates: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, port in zip(commands, ports, strict=True):
                rates[name].append(measure(port, options))
                print(f"{name}: {rates[name][-1]}", flush=True)
        best = [max(row["requests_per_second"] for row in rates[name]) for name in commands]
        print(f"labse serve answers {best[1] / best[0]:.1f} times as many requests a second")
        settings = {name: value for name, value in vars(options).items() if name != "out"}
        machine = {"processor": platform.processor() or platform.machine(), "cpus": os.cpu_count()}
        return settings | {"least_cosine": least, "machine": machine, "rates": rates}
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def measure(port: int, options: argparse.Namespace) -> dict[str, float]:
    """Asks over all connections for some seconds; the first second does not count."""
    seconds: list[float] = []
    faults: list[int] = []
    begin = time.perf_counter() + 1
    end = begin + options.seconds

    def run(seed: int) -> None:
        generator = random.Random(seed)
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        while (start := time.perf_counter()) < end:
            body = json.dumps({"inputs": draw_sentences(generator, options.sentences)})
            connection.request("POST", "/embed", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                faults.append(answer.status)
            elif start >= begin:
                seconds.append(time.perf_counter() - start)
        connection.close()

    clients = [threading.Thread(target=run, args=(seed,)) for seed in range(options.connections)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return {
        "requests_per_second": round(len(seconds) / options.seconds, 1),
        "p50_ms": round(float(p50), 1),
        "p99_ms": round(float(p99), 1),
        "faults": len(faults),
    }


def draw_sentences(generator: random.Random, number: int) -> list[str]:
    """Returns sentences of 4 to 24 words; few are equal."""
    words = [
        "das",
        "ist",
        "ein",
        "hund",
        "where",
        "station",
        "the",
        "it",
        "rains",
        "days",
        "three",
        "wir",
        "gehen",
        "nach",
        "hause",
    ]
    return [
        " ".join(generator.choices(words, k=generator.randint(4, 24))) + "." for _ in range(number)
    ]


def ask(port: int, sentences: list[str]) -> list[list[float]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/embed",
        json.dumps({"inputs": sentences}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        rows: list[list[float]] = json.load(answer)
    return rows


def wait_until_healthy(port: int) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"nothing answers on port {port}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
