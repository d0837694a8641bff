"""sentence-transformers behind FastAPI and labse serve: the same model, machine and client.

A small BERT of random weights is built, so nothing is fetched. Each server is a process of its own;
64 connections ask each in turn for vectors of a few sentences, and must get the same ones.

    python benchmarks/serving.py --seconds 10 --out benchmarks/results/serving.json
"""

import argparse
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from encode import SMALL, build_random
from load import ask_many

from labse.model_folder.hub import DEFAULT_NAME, locate_model

_OVERLOAD = 10
_OVERLOAD_CONNECTIONS = 4000
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

        rates: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
        many = {"seconds": options.seconds, "sentences": options.sentences}
        for _ in range(options.rounds):
            for name, port in zip(commands, ports, strict=True):
                rates[name].append(ask_many(port, connections=options.connections, **many))
                print(f"{name}: {rates[name][-1]}", flush=True)
        best = [max(row["requests_per_second"] for row in rates[name]) for name in commands]
        print(f"labse serve answers {best[1] / best[0]:.1f} times as many requests a second")

        # Ten times what it can: most are refused, and those that are taken must not wait for it.
        rate = _OVERLOAD * best[1]
        overload = ask_many(ports[1], connections=_OVERLOAD_CONNECTIONS, rate=rate, **many)
        print(f"labse serve, asked {rate:.0f} times a second: {overload}")
        settings = {name: value for name, value in vars(options).items() if name != "out"}
        machine = {"processor": platform.processor() or platform.machine(), "cpus": os.cpu_count()}
        return settings | {
            "least_cosine": least,
            "machine": machine,
            "rates": rates,
            "overload": overload,
        }
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


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
