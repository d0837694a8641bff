"""The command `labse serve`."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import say
from labse.cli.options import (
    ModelOption,
    PrecisionOption,
    RuntimeOption,
    ThreadsOption,
    load_encoder,
    parse_size,
)
from labse.errors import UsageError
from labse.index.addresses import is_server
from labse.serving.options import ServingOptions, read_api_keys
from labse.serving.server import serve as run_server

__all__ = ["serve"]

_LIMITS_PANEL = "Limits"


def serve(
    model: ModelOption = None,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; 0.0.0.0 is reached from other machines too."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
    stores: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Folder of the stores of labse index that may be searched."
        ),
    ] = None,
    store: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=ADDRESS",
            help="Store of labse index on a server, such as texts=qdrant://HOST:6333/texts; may be "
            "repeated.",
        ),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with an API key in each line; a request must bring one of them.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Name under which the server may be called, such as that of a proxy; may be "
            "repeated. Without it, on a loopback address, those of this machine alone.",
        ),
    ] = None,
    model_name: Annotated[
        str | None,
        typer.Option(help="Name of the model for clients; without it, that of its folder."),
    ] = None,
    batch_tokens: Annotated[
        int | None,
        typer.Option(
            min=1, help="Tokens of a batch; without it, 2048.", rich_help_panel=_LIMITS_PANEL
        ),
    ] = None,
    max_queued_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tokens that may wait before a client is told to come again (429); without it, "
            "16 batches.",
            rich_help_panel=_LIMITS_PANEL,
        ),
    ] = None,
    max_wait: Annotated[
        float,
        typer.Option(
            help="Seconds: a request that would wait for longer is told so at once (429).",
            rich_help_panel=_LIMITS_PANEL,
        ),
    ] = 5.0,
    max_requests: Annotated[
        int,
        typer.Option(
            min=1,
            help="Requests that are worked on at a time; one too many is told so at once (429).",
            rich_help_panel=_LIMITS_PANEL,
        ),
    ] = 100,
    max_lines: Annotated[
        int,
        typer.Option(
            min=1,
            help="Lines of a side of one request to mine, align or score.",
            rich_help_panel=_LIMITS_PANEL,
        ),
    ] = 20_000,
    max_body: Annotated[
        str,
        typer.Option(
            metavar="SIZE", help="Largest body of a request.", rich_help_panel=_LIMITS_PANEL
        ),
    ] = "16M",
    request_seconds: Annotated[
        float,
        typer.Option(
            help="Seconds after which a request that still waits is given up (503).",
            rich_help_panel=_LIMITS_PANEL,
        ),
    ] = 30.0,
    job_seconds: Annotated[
        float,
        typer.Option(
            help="The same for a request that mines, aligns or scores.",
            rich_help_panel=_LIMITS_PANEL,
        ),
    ] = 600.0,
    body_seconds: Annotated[
        float,
        typer.Option(
            help="Seconds in which the body of a request must have come (408).",
            rich_help_panel=_LIMITS_PANEL,
        ),
    ] = 20.0,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Serve vectors to programs, as OpenAI and TEI do, and a page to people.

    Open http://127.0.0.1:8080 in a browser. Ctrl-C or SIGTERM ends the server when the requests in
    flight are answered. Needs the extra serve, and for stores the extra index.

    [bold]Examples[/bold]

    labse serve

    labse serve --model LaBSE --stores stores --port 9000

    labse serve --host 0.0.0.0 --api-key-file keys.txt
    """
    options = ServingOptions(
        batch_tokens=batch_tokens,
        max_queued_tokens=max_queued_tokens,
        max_wait_seconds=max_wait,
        max_requests=max_requests,
        max_lines=max_lines,
        max_body_bytes=parse_size(max_body),
        request_seconds=request_seconds,
        job_seconds=job_seconds,
        body_seconds=body_seconds,
        stores=stores,
        servers=dict(map(_parse_store, store or ())),
        api_keys=() if api_key_file is None else read_api_keys(api_key_file),
        hosts=tuple(allow_host or ()),
    )
    if host not in ("localhost", "127.0.0.1", "::1") and not options.api_keys:
        say("no --api-key-file: whoever reaches this machine may use the server")
    name = model_name or ("labse" if model is None else model.name)
    run_server(
        partial(load_encoder, model, precision, runtime, threads),
        host=host,
        port=port,
        options=options,
        model_name=name,
        on_start=lambda address: say(f"{name}: listening on {address}"),
    )
    # All is answered. Python's own end would abort the process (SIGABRT) in one of 47 trials, with
    # clients that hold their connections (granian 2.8, Python 3.11, 2026-11-30): a thread of
    # granian asks for Python's lock while Py_FinalizeEx runs, so Python ends that thread, through
    # frames of Rust: "panic in a function that cannot unwind", says Rust, and aborts.
    sys.stderr.flush()
    os._exit(0)


def _parse_store(given: str) -> tuple[str, str]:
    name, _, address = given.partition("=")
    if not name or not is_server(address):
        raise UsageError(
            f"--store {given}: give NAME=ADDRESS, such as texts=qdrant://localhost:6333/texts; for "
            "stores in a folder there is --stores"
        )
    return name, address
