"""The help of each command, as a terminal of 100 columns without colours shows it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import labse

FOLDER = Path(__file__).parent / "help"
PROTOCOLS = ("tatoeba", "bucc", "un", "xsim", "retrieval", "sts", "all")
COMMANDS = [
    "",
    *("corpus", *(f"corpus {name}" for name in ("extract", "split", "convert", "stats"))),
    *("corpus clean", "corpus decide", "corpus dedup"),
    *("corpus quality", "corpus quality train", "corpus quality apply"),
    *("vocab", "pretrain", "hard-negatives", "train", "plot", "encode", "verify", "evaluate"),
    *(f"evaluate {protocol}" for protocol in PROTOCOLS),
    *("compare", "mine", "score", "filter", "export", "prune"),
    *("rate", "calibrate", "align", "info", "doctor"),
]


def help_of(command: str) -> str:
    """Runs a process of its own: the width and colours of help are settled at its start."""
    environment = {
        "PYTHONPATH": str(Path(labse.__file__).parents[1]),
        "PYTHONIOENCODING": "utf-8",
        "COLUMNS": "100",
        "TERM": "dumb",
    }
    done = subprocess.run(
        [sys.executable, "-m", "labse.cli", *command.split(), "--help"],
        capture_output=True,
        env=environment,
        check=True,
    )
    lines = done.stdout.decode().splitlines()
    return "\n".join(line.rstrip() for line in lines).strip("\n") + "\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_has_not_moved(command: str) -> None:
    path = FOLDER / f"{'-'.join(['labse', *command.split()])}.txt"
    found = help_of(command)
    if os.environ.get("LABSE_REWRITE_GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(found, "utf-8")
    assert found == path.read_text("utf-8")


def test_every_command_has_examples() -> None:
    for command in COMMANDS:
        if command not in ("", "corpus", "corpus quality", "evaluate"):
            text = (FOLDER / f"{'-'.join(['labse', *command.split()])}.txt").read_text("utf-8")
            assert f"labse {command} " in text.partition("Examples")[2].partition("╭")[0]
