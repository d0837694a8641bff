"""The command `labse verify`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import count, print_json
from labse.cli.options import JsonOption
from labse.encoder.job.embeddings import verify_embeddings

__all__ = ["verify"]


def verify(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Folder made by labse encode, or a .npy file.")
    ],
    json: JsonOption = False,
) -> None:
    """Check vectors: the hash of each file, shapes, rows, finite values, length 1.

    The exit code is 3 if something is not as it was written.

    [bold]Examples[/bold]

    labse verify vectors

    labse verify vectors.npy --json
    """
    found = verify_embeddings(path)
    if json:
        print_json({**asdict(found), "path": str(found.path)})
        return
    print(f"{path}: {found.num_rows:,} rows of {found.embedding_size}, {found.storage}, all well")
    print(f"  {count(found.num_shards, 'shard')} in {count(found.num_files, 'file')}")
    if found.model_sha256:
        print(f"  model {found.model_sha256[:12]}")
