"""The command `labse info`."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import print_json
from labse.cli.options import JsonOption
from labse.encoder.job.embeddings import describe_embeddings
from labse.errors import LabseError
from labse.model_folder.hub import locate_model
from labse.training.lineage import describe_folder

__all__ = ["info"]

_SHOWN_INPUTS = 4  # Of a kind: a model may come from hundreds of files.


def info(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="Folder of a model, vocabulary, run, checkpoint or vectors, of counts, a cleaned "
            "corpus, alignments, a stage of labse web or scores of labse cds; or `default`.",
        ),
    ],
    json: JsonOption = False,
) -> None:
    """Tell what a folder is, what it was made from, and whether its files are unchanged.

    The exit code is 3 if a file is missing or not the one that was written.

    [bold]Examples[/bold]

    labse info runs/tiny/run/model

    labse info runs/tiny/vocab --json

    labse info default
    """
    described = describe_embeddings(path) or describe_folder(locate_model(path))
    if json:
        print_json({"path": str(path), **asdict(described)})
    else:
        print(f"{path}: {described.kind}")
        facts, num_left_out = _shorten(described.facts)
        width = max(map(len, facts), default=0)
        for name, value in facts.items():
            print(f"  {name:<{width}}  {_format(value)}")
        if num_left_out:
            print(f"  and {num_left_out:,} further inputs, which --json names")
        for file in described.files:
            print(f"  {file.state:<9} {file.num_bytes:>13,} bytes  {file.name}")

    if broken := [file.name for file in described.files if file.state in ("changed", "missing")]:
        raise LabseError(
            f"{path}: {len(broken)} files are missing or not those written, the first {broken[0]}; "
            "copy the folder again"
        )


def _shorten(facts: dict[str, str | int | float]) -> tuple[dict[str, str | int | float], int]:
    """Returns the facts with the first inputs of a kind, and how many it leaves out."""
    shown: dict[str, str | int | float] = {}
    num_inputs: Counter[str] = Counter()
    for name, value in facts.items():
        kind, is_input, _ = name.partition("input ")
        num_inputs[kind] += bool(is_input)
        if not is_input or num_inputs[kind] <= _SHOWN_INPUTS:
            shown[name] = value
    return shown, len(facts) - len(shown)


def _format(value: str | int | float) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    return value if isinstance(value, str) else f"{value:,}"
